"""Named options: what a preset changes in the defaults of `config`, which are the paper's."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ar3d_keras.config import Config, from_json
from ar3d_keras.networks import is_published, network

# A network adds to a preset what only holds for itself: VideoClassifier.presets. A preset that
# names a network chooses it where the user does not.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {},
    # data/demo: small moving discs. Some classes differ by left and right, so clips are not flipped.
    "demo": {
        "data": {"height": 48, "width": 48, "flip": False},
        "recipe": {"epochs": 8, "batch_size": 8, "learning_rate": 1e-3},
    },
    # Up to a few hundred videos of single actions; See docs/results.md.
    "small-data": {
        "data": {
            "height": 96, "width": 128, "resize": (96, 128), "sampling": "uniform",
        },
        "model": {
            "model": "two_stream3d", "motion_crop": (36, 48), "differences": True,
            "motion_normalization": True,
        },
        "recipe": {
            "epochs": 25, "clips_per_epoch": 480, "learning_rate": 2e-3, "weight_decay": 1e-2,
            "weight_decay_kind": "decoupled", "weight_decay_after": 0, "schedule": "cosine",
            "warmup_epochs": 1, "clip_norm": 1.0, "label_smoothing": 0.1, "keep": "last", "test_clips": 4,
            "precision": "float32",
        },
    },
}  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """A preset, and what `auto` chose besides.

    Attributes:
        preset: a key of PRESETS.
        sections: section -> option -> value, over the preset.
        reasons: a line for each decision; none if the user named the preset.
    """

    preset: str
    sections: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


# Options of published weights that do not go with others: a resize fits one size of clip, and frames
# are chosen at a rate or at a stride.
EXCLUDED_BY = {"resize": {"height", "width"}, "fps": {"clip_seconds", "stride"}}


def network_of(choice: Choice, model: str | None = None) -> str:
    """The network that holds: `model` if the user gave one, else that of the choice."""
    preset = PRESETS[choice.preset].get("model", {})
    return model or (preset | choice.sections.get("model", {})).get("model", "conv3d")


def with_shared_preset(
    base: Config,
    choice: Choice,
    model: str | None = None,
    init_from: str | None = None,
    given: Collection[str] = (),
) -> Config:
    """`base` with a network and the values of a preset that hold for every network.

    Args:
        base: the values of all other options.
        choice: the preset.
        model: a key of NETWORKS; None: the network that the preset chooses.
        init_from: has no effect; see `with_preset`.
        given: has no effect; see `with_preset`.
    """
    name = choice.preset
    base = from_json(PRESETS[name], base, f"preset {name}")
    base = from_json(choice.sections, base, "preset auto")
    model = network_of(choice, model)
    return dataclasses.replace(base, model=dataclasses.replace(base.model, model=model))


def with_preset(
    base: Config,
    choice: Choice,
    model: str | None = None,
    init_from: str | None = None,
    given: Collection[str] = (),
) -> Config:
    """`base` with a network and the values of a preset, those for this network included.

    Published weights change the clips to those that they were trained with: windows of whole
    frames in color. A preset's motion crop and frame differences do not hold for them.

    Imports the network, and so Keras; `with_shared_preset` does not.

    Args:
        base: the values of all other options.
        choice: the preset.
        model: a key of NETWORKS; None: the network that the preset chooses.
        init_from: see RecipeConfig.
        given: the options that will be set besides, which may exclude those of the weights.

    Raises:
        UserError: no network has this name.
    """
    name = choice.preset
    base = with_shared_preset(base, choice, model)
    kind = network(base.model.model)
    base = from_json(kind.presets.get(name, {}), base, f"preset {name}")
    if is_published(init_from) and kind.published:
        clips = {
            option: value
            for option, value in kind.published.data.items()
            if not set(given) & EXCLUDED_BY.get(option, set())
        }
        sections = {
            "data": {"sampling": "stride", **clips},
            "model": {
                "motion_crop": None,
                "differences": False,
                "motion_normalization": False,
            },
        }
        base = from_json(sections, base, f"weights of {base.model.model}")
    return base
