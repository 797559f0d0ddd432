"""The search space: options of the configuration, and the values of each."""

import dataclasses
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ar3d_keras.config import TrainConfig, from_json
from ar3d_keras.errors import UserError
from ar3d_keras.models import check_options, network

# Trials that differ in one of these are not comparable, or not one search.
FIXED = {
    "data.data", "data.group_by", "data.split_scheme", "data.split_by", "data.split_lists",
    "data.fold", "data.folds", "data.segments", "data.background", "data.workers",
    "recipe.epochs", "recipe.seed", "recipe.init_from", "recipe.monitor",
}  # fmt: skip
Kind = Literal["choice", "float", "int"]
FORMS = '{"choice": [...]}, {"float": [low, high], "log": true} or {"int": [low, high], "step": n}'


@dataclass(frozen=True)
class Parameter:
    """One option of the search space.

    Attributes:
        name: "section.option" of the configuration.
        kind: "choice" takes one of `values`; "float" and "int" take a number between the two
            `values`, both included.
        values: JSON values.
        log: whether a float is drawn on a logarithmic scale.
        step: the step between two ints.
    """

    name: str
    kind: Kind
    values: tuple[Any, ...]
    log: bool = False
    step: int = 1

    @property
    def option(self) -> str:
        """The name without its section."""
        return self.name.partition(".")[2]


def read_space(file: Path) -> dict[str, Any]:
    """Reads a search space file.

    Raises:
        UserError: the file cannot be read, or is not a JSON object.
    """
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"`space` {file} cannot be read ({error}): it must be a JSON object of "
            f'"section.option": {FORMS}'
        ) from None


def make_space(described: Mapping[str, Any], config: TrainConfig, where: str) -> list[Parameter]:
    """Makes the parameters and checks each of their values.

    Args:
        described: "section.option" -> one of `FORMS`.
        config: the options that all trials share.
        where: the name of the file, for the error message.

    Raises:
        UserError: the space is empty, an option is unknown or cannot be searched, or a value is
            invalid.
    """
    space = [_parameter(name, form, where) for name, form in described.items()]
    if not space:
        raise UserError(f"{where} names no option to search")
    for parameter in space:
        for value in parameter.values:
            try:
                with_values(config, {parameter.name: value}).validate()
            except UserError as error:
                raise UserError(
                    f"{where}: {parameter.name} = {json.dumps(value)}: {error}"
                ) from None
    if "model.model" not in described:
        taken = [p.option for p in space if p.name.startswith("model.")]
        check_options(config.model.model, dict.fromkeys(taken))
    return space


_KEYS: dict[Kind, set[str]] = {"choice": set(), "float": {"log"}, "int": {"step"}}


def _parameter(name: str, form: Any, where: str) -> Parameter:
    if name in FIXED:
        raise UserError(f"{where}: {name} must be the same in all trials: give it as an option")
    section, _, option = name.partition(".")
    if not (section and option):
        raise UserError(f"{where}: {name!r} must have the form section.option, such as model.dense")
    kind = next((kind for kind in _KEYS if isinstance(form, dict) and kind in form), None)
    if kind is None or not set(form) - {kind} <= _KEYS[kind] or not isinstance(form[kind], list):
        raise UserError(f"{where}: {name} must be {FORMS}")
    values, log, step = form[kind], form.get("log", False), form.get("step", 1)
    if kind == "choice":
        if not values or any(value in values[:n] for n, value in enumerate(values)):
            raise UserError(f"{where}: {name} must list different values")
    else:
        number = int if kind == "int" else (int, float)
        numbers = all(isinstance(v, number) and not isinstance(v, bool) for v in values)
        if len(values) != 2 or not numbers or not values[0] < values[1]:
            raise UserError(
                f"{where}: {name} must have two numbers of type {kind}, the lower first"
            )
        if not isinstance(log, bool) or (log and values[0] <= 0):
            raise UserError(
                f'{where}: {name}: "log" must be true or false, and needs a low value above 0'
            )
        if not isinstance(step, int) or isinstance(step, bool) or step < 1:
            raise UserError(f'{where}: {name}: "step" must be a whole number of at least 1')
    return Parameter(name, kind, tuple(values), log, step)


def with_values(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """The configuration with other JSON values, by "section.option".

    Raises:
        UserError: an option is unknown, or a value has another type.
    """
    sections: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, option = name.partition(".")
        sections.setdefault(section, {})[option] = value
    return from_json(sections, config, "the search space")


def shown(value: Any) -> str:
    """A value in the form of the command line, floats with three digits."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(shown, value))
    if isinstance(value, float):
        return f"{value:.3g}"
    return "default" if value is None else str(value)


RECIPE: dict[str, Any] = {
    "learning_rate": {"float": [1e-5, 3e-3], "log": True},
    "weight_decay": {"float": [1e-6, 1e-2], "log": True},
    "batch_size": {"choice": [8, 16, 32]},
}


def default_space(config: TrainConfig, held: Collection[str] = ()) -> list[Parameter]:
    """The default search space: the network's open sizes and the recipe.

    Args:
        config: the options that all trials share.
        held: names of options (without section) that the user gave; they are not searched.

    Raises:
        UserError: all options are held.
    """
    described = {
        name: form for name, form in _described(config) if name.partition(".")[2] not in held
    }
    return make_space(described, config, "the default search space")


def _described(config: TrainConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    spatial_downsample = config.model.spatial_downsample or 1
    extents = (
        config.data.frames,
        config.data.height // spatial_downsample,
        config.data.width // spatial_downsample,
    )
    for option, form in network(config.model.model).search_space.items():
        if option == "gate_kernel" and not config.model.attention:
            continue
        if option == "pool":
            if config.model.pool == "global":
                continue  # the other sizes depend on this kind of pooling
            form = {"choice": [pool for pool in form["choice"] if _fits(pool, extents)]}
            if len(form["choice"]) < 2:
                continue
        yield f"model.{option}", form
    for option, form in RECIPE.items():
        yield f"recipe.{option}", form


def _fits(window: Sequence[int], extents: Sequence[int]) -> bool:
    return all(size <= extent for size, extent in zip(window, extents, strict=True))


def to_json(space: Sequence[Parameter]) -> list[dict[str, Any]]:
    """The parameters as JSON values."""
    return [{**dataclasses.asdict(each), "values": list(each.values)} for each in space]
