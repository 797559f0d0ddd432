"""What the networks share: how they are saved, which sizes they refuse, what is in a clip."""

import random
from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from ar3d_keras.errors import UserError

Sizes3D = int | tuple[int, int, int]


class VideoClassifier(keras.Model):
    """Clips in 0..255 to class probabilities: the base of every network.

    A subclass builds its graph in `__init__`, whose keyword arguments are the options that the
    command line may give it, with its own defaults.

    Attributes:
        needs_flow: whether a clip has five channels, red, green, blue and the optical flow dx
            and dy, instead of three. Flow is quantised like colour: 128 is no motion,
            128 + 127 d / 20 a motion of d pixels.
        sizes: the constructor's arguments.
    """

    needs_flow = False

    def __init__(self, clip, output, sizes: Mapping[str, Any], **kwargs):
        super().__init__(clip, output, **kwargs)
        self.sizes = dict(sizes)

    def get_config(self):
        # No dtype policy: weights are float32 under every precision, and a network that is
        # loaded computes in float32.
        return {**self.sizes, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config, dtype="float32")


def arguments(scope: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor, from its `locals()` before it made others."""
    return {k: v for k, v in scope.items() if k not in ("self", "kwargs", "__class__")}


def clip_input(frames: int, height: int, width: int, channels: int = 3):
    """The clip: float32 (batch, frames, height, width, channels), 0..255.

    float32, because a uint8 Input would cut the fraction off float clips; uint8 arrays are cast
    inside the graph, so they travel to the device as uint8.
    """
    return keras.Input((frames, height, width, channels), dtype="float32", name="clip")


def centred(colour):
    """Colour in 0..255 to -1..1."""
    return layers.Rescaling(1 / 127.5, offset=-1, dtype="float32", name="rescaling")(colour)


def centred_flow(flow):
    """Quantised flow to -1..1, 0 being no motion and 1 a motion of 20 pixels."""
    scale = layers.Rescaling(1 / 127, offset=-128 / 127, dtype="float32", name="flow_rescaling")
    return scale(flow)


def seeded_dropout(rate: float, dtype=None, name: str = "dropout") -> layers.Dropout:
    """Dropout whose state a checkpoint holds.

    Without a seed, Keras on torch drops by torch's global generator, which no checkpoint holds;
    with one, what was drawn is counted in a variable on every backend.
    """
    return layers.Dropout(rate, seed=random.randint(1, 10**9), dtype=dtype, name=name)


def three(sizes: Sizes3D) -> tuple[int, int, int]:
    """One integer, or (time, height, width), as three."""
    return tuple(sizes) if isinstance(sizes, list | tuple) else (sizes,) * 3


def scaled(channels: int, width_multiplier: float) -> int:
    """So many channels, at least one."""
    return max(1, round(channels * width_multiplier))


def check_sizes(sizes: Mapping[str, Any]) -> None:
    """Refuses what is a size of no network at all; names it by its flag.

    Raises:
        UserError: a count that is no whole number of at least 1, a dropout that is no share, a
            width multiplier that is not above 0, fewer than 2 classes.
    """
    for name, value in sizes.items():
        flag = "--" + name.replace("_", "-")
        if name == "dropout":
            if not 0 <= value < 1:
                raise UserError(f"{flag} {value} must lie in 0 <= dropout < 1")
        elif name == "width_multiplier":
            if not 0 < value < float("inf"):
                raise UserError(f"{flag} {value} must be above 0")
        elif not isinstance(value, bool | str):
            _check_count(flag, value)
    if sizes["num_classes"] < 2:
        raise UserError(f"a classifier needs at least 2 classes, not {sizes['classes']}")


def _check_count(flag: str, value: Any) -> None:
    numbers = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(number, int) for number in numbers):
        raise UserError(f"{flag} {value} must be of whole numbers")
    if isinstance(value, tuple) and len(value) != 3:
        raise UserError(f"{flag} {value} must be one integer or three (time, height, width)")
    if min(numbers) < 1:
        raise UserError(f"{flag} {value} must be at least 1")


def check_min_size(what: str, least: int, height: int, width: int) -> None:
    """Raises UserError where a frame is smaller than `least` x `least`."""
    if min(height, width) < least:
        raise UserError(
            f"{what} needs frames of at least {least}x{least}, not {height}x{width}: "
            "give a larger --height and --width"
        )
