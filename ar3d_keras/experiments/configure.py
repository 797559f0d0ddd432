"""From what a user gives (a preset, a config, single options) to one TrainConfig."""

import dataclasses
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ar3d_keras.config import (
    DEMO,
    DataConfig,
    Preset,
    TrainConfig,
    check_choice,
    from_json,
)
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError
from ar3d_keras.networks import PUBLISHED
from ar3d_keras.presets import Choice, with_preset
from ar3d_keras.progress import Reporter


def configure(
    config: TrainConfig | str | os.PathLike[str] | None = None,
    *,
    preset: Preset | None = None,
    reporter: Reporter | None = None,
    **options: Any,
) -> TrainConfig:
    """Returns the configuration that `config`, `preset` and single options describe.

    Options win over `config`, which wins over `preset`, which wins over the paper's defaults.

    Args:
        config: a TrainConfig, taken as it is; or the path of a run.json, whose options hold.
        preset: named options. `auto` chooses by the data. Default: `demo` for the demo set, else
            `paper`.
        reporter: receives the reasons of `auto`. Default: prints them.
        options: any option of `python train.py`, by its name with underscores.

    Raises:
        UserError: an unknown option, or a value of the wrong type or out of range.
    """
    if preset is not None:
        check_choice("preset", preset, Preset)
    if isinstance(config, TrainConfig):
        if preset is not None:
            raise UserError("`preset` cannot be combined with a TrainConfig: leave it out")
        configured = config.replace(**options)
    else:
        if not isinstance(config, str | os.PathLike | None):
            raise UserError(
                f"`config` must be a TrainConfig or the path of a run.json, not {config!r}"
            )
        sections = {} if config is None else read_config(Path(config))
        where = str(config or "")
        # Values are checked, and "data/mine" becomes a Path, before they choose the preset.
        given = from_json(sections, TrainConfig(), where).replace(**options)
        configured = default_config(
            sections,
            where,
            preset_for(preset, given.data),
            model=given.model.model if "model" in options else None,
            init_from=given.recipe.init_from,
            given=options,
            reporter=reporter or Console(),
        ).replace(**options)
    configured.validate()
    check_given(configured, options)
    return configured


def check_given(config: TrainConfig, given: Collection[str]) -> None:
    """Checks that no option was given that would have no effect.

    Args:
        config: all options.
        given: the names of those that the user gave as single options.

    Raises:
        UserError: names the option.
    """
    data = config.data
    timed = data.fps is not None or data.clip_seconds is not None
    for name, unused, reason in (
        ("stride", data.sampling == "uniform", "has no effect with `sampling` uniform"),
        ("stride", timed, "has no effect with `fps` or `clip_seconds`"),
        ("head_epochs", not config.recipe.fine_tune, "needs `fine_tune`"),
        ("layer_decay", not config.recipe.fine_tune, "needs `fine_tune`"),
    ):
        if unused and name in given:
            raise UserError(f"`{name}` {reason}: leave it out")


def default_config(
    sections: Mapping[str, Any],
    where: str,
    choice: Choice,
    *,
    model: str | None = None,
    init_from: str | None = None,
    given: Collection[str] = (),
    reporter: Reporter | None = None,
) -> TrainConfig:
    """The options that hold where no single option is given: `sections` over the preset.

    Args:
        sections: the content of a run.json's config; may be empty.
        where: the name of that file, for errors.
        choice: the preset.
        model: the network that will be used; None: see `chosen_model`.
        init_from: the weights that will be used.
        given: the single options, which may exclude those of the weights.
        reporter: receives the reasons of the preset `auto`.
    """
    for reason in choice.reasons:
        (reporter or Reporter()).log(f"preset auto: {reason}")
    model = chosen_model(sections, init_from, model)
    return from_json(sections, with_preset(TrainConfig(), choice, model, init_from, given), where)


def preset_for(preset: str | None, data: DataConfig) -> Choice:
    """The preset that holds: the one given, the one that `auto` chooses, or the default.

    Args:
        preset: a key of PRESETS, `auto` or None.
        data: which videos are used.
    """
    if preset == "auto":
        from ar3d_keras.experiments.auto_preset import choose_preset  # it reads videos

        return choose_preset(data)
    return Choice(preset or default_preset(data.data))


def chosen_model(
    sections: Mapping[str, Any], init_from: str | None, model: str | None = None
) -> str | None:
    """The network that the user chose: `model`, else that of weights to download, else of `sections`.

    Returns:
        A key of NETWORKS, or None: the preset chooses.
    """
    if model is None and init_from in PUBLISHED:
        return PUBLISHED[init_from][0]
    return model or sections.get("model", {}).get("model")


def default_preset(data: Path | None) -> Preset:
    """`demo` for the demo set or a pack of it, else `paper`."""
    if data is None or data == DEMO:
        return "demo"
    # They import NumPy, which --help does without.
    from ar3d_keras.videos.demo import is_demo
    from ar3d_keras.videos.packs import is_demo_pack

    return "demo" if is_demo(data) or is_demo_pack(data) else "paper"


def read_config(file: Path) -> dict[str, Any]:
    """The options in a run.json, or in a JSON file with such sections.

    Raises:
        UserError: the file cannot be read, or is not such a file.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        return dict(value.get("config", value))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"`config` {file} cannot be read as a run.json: {error}") from None


def without_fold(config: TrainConfig) -> TrainConfig:
    """The same experiment for any fold."""
    return dataclasses.replace(config, data=dataclasses.replace(config.data, fold=None))
