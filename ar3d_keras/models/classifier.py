"""What all networks share: options and their checks, clip input, class names and clip geometry."""

import dataclasses
import math
import os
import random
import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import typeguard
from keras import layers

from ar3d_keras.errors import UserError
from ar3d_keras.inference.calibration import Calibration, read_calibration
from ar3d_keras.inference.classifier import Classifier, InferencePrecision
from ar3d_keras.inference.predictor import Prediction, predict_videos
from ar3d_keras.models.precision import FLOAT32, POLICIES
from ar3d_keras.models.preparation import SHARED, TYPES, prepared_shape
from ar3d_keras.models.published import Published
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.unlabelled import find_videos

Sizes3D = int | tuple[int, int, int]

# Keyword arguments of every network, besides its options.
COMMON = ("name", "dtype", "trainable", "class_names", "clip_shape", "calibration")
# Options of .keras files that version 0.1 wrote, and their names today.
RENAMED = {
    "classes": "num_classes",
    "shrink": "spatial_downsample",
    "log_features": "log_pooling",
    "frames_network": "backbone",
}


class VideoClassifier(keras.Model):
    """Clips in 0..255 to class probabilities: the base of every network.

    A subclass declares a network. Its `__init__` builds the graph; the keyword arguments of
    `__init__` are the network's options, with their defaults. The class attributes are the rest of
    the declaration. Every network also has the options of `preparation.SHARED`: its `__init__`
    passes the scaled clip to `prepared` and the pooled features to `log_pooled`.

    The dtype policy is float32 unless `dtype` is given: Keras's global settings (keras.json, or
    `keras.config`) change nothing.

    Attributes:
        trains_in_bfloat16: whether `precision` auto may choose mixed_bfloat16.
        flows: the optical flows (`config.Flow`) that the network takes, the default first. A clip
            then has five channels (red, green, blue, and the flow dx and dy, see `videos.flow`)
            instead of three. None: it takes no flow.
        search_space: the options that `tune` searches: option -> {"choice": [...]} or
            {"float": [low, high]}.
        presets: what the network adds to a preset of `presets.PRESETS`: preset -> section -> option
            -> value.
        published: what files of published weights of this network look like; None if there are none.
        sizes: the options that this network was built with, and `num_classes`.

    Args:
        clip: the symbolic input, from `clip_input`.
        output: the symbolic class probabilities, (batch, num_classes).
        sizes: the constructor's arguments, from `arguments`.
        class_names: the names of the classes, in the order of the outputs; None if unknown.
        clip_shape: how a video becomes a clip: a ClipShape or a mapping of its fields; None if
            unknown.
        calibration: fitted on val: a Calibration or a mapping of its attributes; None if there is
            none.
        **kwargs: `name` and `trainable`, for keras.Model.

    Raises:
        UserError: `class_names`, `clip_shape` or `calibration` does not fit the network.
    """

    trains_in_bfloat16: ClassVar[bool] = True
    flows: ClassVar[tuple[str, ...]] = ()
    search_space: ClassVar[dict[str, dict[str, Any]]] = {}
    presets: ClassVar[dict[str, dict[str, dict[str, Any]]]] = {}
    published: ClassVar[Published | None] = None

    def __init__(
        self,
        clip: Any,
        output: Any,
        sizes: Mapping[str, Any],
        *,
        class_names: Sequence[str] | None = None,
        clip_shape: ClipShape | Mapping[str, Any] | None = None,
        calibration: Calibration | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(clip, output, **kwargs)
        built = {layer.name for layer in self._flatten_layers()}
        for option, default in SHARED.items():
            assert sizes[option] == default or option in built, f"{type(self)} ignores {option}"
        self.sizes = dict(sizes)
        self.class_names = class_names
        self.clip_shape = clip_shape
        self.calibration = calibration

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes, in the order of the outputs; None if unknown.

        Raises:
            UserError: when set: there are not `num_classes` different names.
        """
        return self._class_names

    @class_names.setter
    def class_names(self, names: Sequence[str] | None) -> None:
        self._class_names = None if names is None else _checked_names(names, self.sizes)

    @property
    def clip_shape(self) -> ClipShape | None:
        """How a video becomes a clip of this network; None if unknown.

        Raises:
            UserError: when set: it describes other clips than the network takes.
        """
        return self._clip_shape

    @clip_shape.setter
    def clip_shape(self, shape: ClipShape | Mapping[str, Any] | None) -> None:
        if shape is not None:
            shape = _checked_shape(shape, self.sizes, self.flows)
        self._clip_shape = shape

    @property
    def calibration(self) -> Calibration | None:
        """The temperature and thresholds that were fitted on val; None if there are none.

        The network's output does not depend on it.

        Raises:
            UserError: when set: it is damaged, or its thresholds are those of other classes.
        """
        return self._calibration

    @calibration.setter
    def calibration(self, calibration: Calibration | Mapping[str, Any] | None) -> None:
        self._calibration = read_calibration(calibration, self.class_names)

    def as_classifier(self, precision: InferencePrecision = "float32") -> Classifier:
        """This network with its class names and clip geometry, ready to predict videos.

        Args:
            precision: what it computes in.

        Raises:
            UserError: the network knows no class names or no clip geometry.
        """
        if self.class_names is None or self.clip_shape is None:
            missing = "class_names" if self.class_names is None else "clip_shape"
            raise UserError(
                f"the network {self.name!r} has no `{missing}`: load it from a run, or set it"
            )
        return Classifier(
            self.in_precision(precision),
            self.class_names,
            self.clip_shape,
            self.name,
            calibration=self.calibration,
            precision=precision,
        )

    def predict_videos(
        self,
        paths: str | os.PathLike | Sequence[str | os.PathLike],
        *,
        clips: int = 1,
        crops: int = 1,
        window_seconds: float | None = None,
        hop_seconds: float | None = None,
        workers: int | None = None,
        batch_size: int = 8,
        reporter: Reporter | None = None,
    ) -> list[Prediction]:
        """Predicts the action in videos, in float32.

        Args:
            paths: a video file, a folder of frames, a folder of videos at any depth, or several.
            clips: clips of a video (or of a window of `window_seconds`); their probabilities are
                averaged.
            crops: crops of a clip, 1 (center) or 3.
            window_seconds: predicts each window of so many seconds; None: the whole video.
            hop_seconds: from the start of a window to the start of the next; None:
                `window_seconds`.
            workers: threads that decode; None: one per core.
            batch_size: clips a step.
            reporter: shows progress and the videos that cannot be decoded.

        Returns:
            One Prediction a video, in the order of `paths`.

        Raises:
            UserError: the network knows no class names or no clip geometry, a path does not exist,
                a number is out of range, or no video can be decoded.
        """
        paths = [paths] if isinstance(paths, str | os.PathLike) else paths
        return predict_videos(
            self.as_classifier(),
            find_videos(paths),
            clips=clips,
            crops=crops,
            window_seconds=window_seconds,
            hop_seconds=hop_seconds,
            workers=workers,
            batch_size=batch_size,
            reporter=reporter,
        )

    def in_precision(self, precision: InferencePrecision) -> "VideoClassifier":
        """This network in a precision: itself, or a copy with the same weights.

        Args:
            precision: float32, or bfloat16. The weights and the probabilities are float32 in both.
        """
        types = {layer.compute_dtype for layer in self._flatten_layers()}
        if types == {"float32"} if precision == FLOAT32 else precision in types:
            return self
        copy = type(self)(**self.get_config(), dtype=POLICIES[precision])
        copy.set_weights(self.get_weights())
        return copy

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON values.

        The dtype policy is not among them: weights are float32 under every policy, and a loaded
        network computes in float32.
        """
        config = {**self.sizes, "name": self.name}
        if self.class_names is not None:
            config["class_names"] = list(self.class_names)
        if self.clip_shape is not None:
            config["clip_shape"] = dataclasses.asdict(self.clip_shape)
        if self.calibration is not None:
            config["calibration"] = self.calibration.as_json()
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Any:
        """The network of a config, also of one that version 0.1 wrote, with new weights.

        Raises:
            UserError: an option is unknown or out of range.
        """
        return cls(**{RENAMED.get(k, k): v for k, v in config.items()}, dtype="float32")


def _checked_names(names: Sequence[str], sizes: Mapping[str, Any]) -> tuple[str, ...]:
    is_list = isinstance(names, Sequence) and not isinstance(names, str)
    if not is_list or not all(isinstance(name, str) for name in names):
        raise UserError(f"`class_names` must be a list of names, not {names!r}")
    if len(names) != sizes["num_classes"]:
        raise UserError(
            f"`class_names` must have {sizes['num_classes']} names, one for each class, not "
            f"{len(names)}"
        )
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise UserError(f"`class_names` has {twice!r} twice: each class needs its own name")
    return tuple(names)


def _checked_shape(
    shape: ClipShape | Mapping[str, Any], sizes: Mapping[str, Any], flows: Sequence[str]
) -> ClipShape:
    try:
        if not isinstance(shape, ClipShape):
            shape = ClipShape(**shape)
        for name, kind in typing.get_type_hints(ClipShape).items():
            typeguard.check_type(getattr(shape, name), kind)
    except (TypeError, typeguard.TypeCheckError) as error:
        raise UserError(f"`clip_shape` does not describe a clip: {error}") from None
    for name in ("frames", "height", "width"):
        if getattr(shape, name) != sizes[name]:
            raise UserError(
                f"`clip_shape` has {name} {getattr(shape, name)}, but the network takes clips of "
                f"{name} {sizes[name]}"
            )
    if shape.resize_height < shape.height or shape.resize_width < shape.width or shape.stride < 1:
        raise UserError(
            "`clip_shape` must have a resize of at least the clip's size and a stride of at least 1"
        )
    if shape.fps is not None and not 0 < shape.fps < math.inf:
        raise UserError(f"`clip_shape` must have an fps above 0, not {shape.fps}")
    if shape.flow not in (flows or (None,)):
        takes = f"needs {' or '.join(flows)}" if flows else "takes no optical flow"
        raise UserError(f"`clip_shape` has flow {shape.flow}, but the network {takes}")
    return shape


def arguments(scope: Mapping[str, Any]) -> dict[str, Any]:
    """The checked arguments of a constructor.

    Args:
        scope: its `locals()`, before other variables are assigned.

    Returns:
        All arguments but `self` and `kwargs`, and the options of `preparation.SHARED`, by name. The
        latter are taken out of `kwargs`.

    Raises:
        UserError: an unknown keyword, a value of another type, a number out of range, fewer than 2
            classes, or options of SHARED that do not fit the clip.
    """
    network, kwargs = scope["__class__"], scope["kwargs"]
    sizes = {k: v for k, v in scope.items() if k not in ("self", "kwargs", "__class__")}
    sizes |= {name: kwargs.pop(name, default) for name, default in SHARED.items()}
    if isinstance(sizes["motion_crop"], list):  # JSON has lists
        sizes["motion_crop"] = tuple(sizes["motion_crop"])
    for name in kwargs:
        if name not in COMMON:
            known = ", ".join(f"`{each}`" for each in (*sizes, *COMMON))
            raise UserError(f"{network.__name__} has no option `{name}`: it has {known}")
    hints = typing.get_type_hints(network.__init__) | TYPES
    for name, value in sizes.items():
        _check_value(name, value, hints[name])
    if sizes["num_classes"] < 2:
        raise UserError(f"`num_classes` must be at least 2, not {sizes['num_classes']}")
    prepared_shape(sizes)
    return sizes


def _check_value(name: str, value: Any, hint: Any) -> None:
    try:
        typeguard.check_type(value, hint)
    except typeguard.TypeCheckError:
        kind = {
            int: "a whole number",
            float: "a number",
            bool: "true or false",
            str: "a name",
            TYPES["motion_crop"]: "two whole numbers (height, width)",
        }.get(hint, "one whole number or three (time, height, width)")
        words = [
            word
            for part in (hint, *typing.get_args(hint))
            if typing.get_origin(part) is typing.Literal
            for word in typing.get_args(part)
        ]
        kinds = [] if typing.get_origin(hint) is typing.Literal else [kind]
        raise UserError(f"`{name}` must be {' or '.join(kinds + words)}, not {value!r}") from None
    if name == "dropout":
        if not 0 <= value < 1:
            raise UserError(f"`dropout` must be at least 0 and below 1, not {value}")
    elif hint is float:
        if not 0 < value < math.inf:
            raise UserError(f"`{name}` must be above 0, not {value}")
    elif not isinstance(value, bool | str | None) and min(triple(value)) < 1:
        raise UserError(f"`{name}` must be at least 1, not {value}")


def check_min_size(what: str, least: int, height: int, width: int) -> None:
    """Raises UserError if a prepared frame is smaller than `least` x `least` pixels."""
    if min(height, width) < least:
        raise UserError(
            f"{what} needs frames of at least {least}x{least}, not {height}x{width}: "
            "give a larger `height` and `width`, or a larger `motion_crop`"
        )


def check_grid(grid: tuple[int, ...], extents: tuple[int, ...]) -> None:
    """Raises UserError if a grid (time, height, width) has more cells than the features."""
    for axis, cells, extent in zip(("frames", "height", "width"), grid, extents, strict=True):
        if cells > extent:
            raise UserError(
                f"`grid` {grid} has more cells than the features, which have {axis} {extent}: give "
                f"a coarser grid or a larger {axis}"
            )


def clip_input(frames: int, height: int, width: int, channels: int = 3) -> Any:
    """The clip: float32 (batch, frames, height, width, channels), 0..255.

    float32, because a uint8 Input would cut the fraction off float clips; uint8 arrays are cast
    inside the graph, so they travel to the device as uint8.
    """
    return keras.Input((frames, height, width, channels), dtype="float32", name="clip")


def centered(color: Any) -> Any:
    """Scales color from 0..255 to -1..1."""
    return layers.Rescaling(1 / 127.5, offset=-1, dtype="float32", name="rescaling")(color)


def centered_flow(flow: Any) -> Any:
    """Scales quantized flow to -1..1: 0 is no motion, 1 is a motion of 20 pixels."""
    scale = layers.Rescaling(1 / 127, offset=-128 / 127, dtype="float32", name="flow_rescaling")
    return scale(flow)


def centered_both(clip: Any) -> Any:
    """Scales a clip of color and flow, five channels, to -1..1; see `centered`, `centered_flow`."""
    both = centered(clip[..., :3]), centered_flow(clip[..., 3:])
    return layers.Concatenate(axis=-1, dtype="float32", name="color_and_flow")(both)


def seeded_dropout(rate: float, dtype: Any, name: str = "dropout") -> layers.Dropout:
    """Dropout whose random state is saved in checkpoints.

    Without a seed, Keras on torch draws from torch's global generator, which no checkpoint saves.
    With a seed, a variable of the layer counts the draws on every backend.
    """
    return layers.Dropout(rate, seed=random.randint(1, 10**9), dtype=dtype, name=name)


def triple(sizes: Sizes3D) -> tuple[int, int, int]:
    """(time, height, width) from one integer for all three, or from three."""
    # A wrong number of values is refused by `arguments`, which names the option.
    return tuple(sizes) if isinstance(sizes, list | tuple) else (sizes,) * 3  # type: ignore[return-value]


def scaled(channels: int, width_multiplier: float) -> int:
    """`channels` times `width_multiplier`, rounded, at least 1."""
    return max(1, round(channels * width_multiplier))
