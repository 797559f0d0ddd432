"""A trained network with its class names and its clip geometry."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from ar3d_keras.config import Sampling
from ar3d_keras.errors import UserError
from ar3d_keras.inference.calibration import Calibration, read_calibration
from ar3d_keras.videos.sampling import ClipShape, protocol

# In a version folder of a SavedModel. TensorFlow Serving ignores this file.
DESCRIPTION = "assets.extra/preprocessor.json"
# Version 0.1.0 wrote this name and these keys.
OLD_DESCRIPTION = "assets.extra/recogniser.json"
OLD_KEYS = {"classes": "class_names", "shape": "clip_shape"}

InferencePrecision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Classifier:
    """A network and what it takes to predict any video with it.

    Attributes:
        network: anything with `predict_on_batch`, which maps clips, uint8 (batch, T, H, W, C), to
            class probabilities, float32 (batch, classes).
        class_names: one for each output of the network.
        shape: how a clip is cut out of a video.
        origin: the run or the SavedModel that the network comes from, for the record.
        batch_size: clips a step. The default is that of evaluation; with another batch size the
            probabilities of a clip differ in the seventh digit.
        calibration: fitted on val; None if there is none.
        precision: what the network computes in. Its probabilities are float32 in any case.
    """

    network: Any
    class_names: tuple[str, ...]
    shape: ClipShape
    origin: str
    batch_size: int = 8
    calibration: Calibration | None = None
    precision: InferencePrecision = "float32"


def describe(
    class_names: Sequence[str],
    clip_shape: ClipShape,
    about: Mapping[str, Any] | None = None,
    calibration: Calibration | None = None,
    inference: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns the content of preprocessor.json.

    Args:
        class_names: one for each output of the network.
        clip_shape: how a clip is cut out of a video.
        about: where the network comes from; anything that JSON can hold.
        calibration: fitted on val; None if there is none.
        inference: `precision`, and what was measured for it; None: float32.

    Returns:
        {"class_names": [...], "clip_shape": {the fields of ClipShape}, "protocol": "...",
        "about": {...}}, and "calibration" and "inference" if they are given.
    """
    description = {
        "class_names": list(class_names),
        "clip_shape": asdict(clip_shape),
        "protocol": protocol(
            clip_shape, clips=1, crops=1, precision=precision_of({"inference": inference or {}})
        ),
        "about": dict(about or {}),
    }
    if calibration is not None:
        description["calibration"] = calibration.as_json()
    if inference is not None:
        description["inference"] = dict(inference)
    return description


def precision_of(description: Mapping[str, Any]) -> InferencePrecision:
    """What a network computes in, by its description.

    Raises:
        ValueError: the description names an unknown precision.
    """
    precision = description.get("inference", {}).get("precision", "float32")
    if precision not in get_args(InferencePrecision):
        raise ValueError(f"unknown precision {precision!r}")
    return precision


class Description(NamedTuple):
    """What the description of a SavedModel says; see `Classifier`."""

    class_names: tuple[str, ...]
    shape: ClipShape
    calibration: Calibration | None
    precision: InferencePrecision = "float32"


def read_description(version: Path) -> Description:
    """Reads the description of a SavedModel.

    Args:
        version: the folder of a version.

    Raises:
        UserError: the description is missing or damaged.
    """
    file = version / DESCRIPTION
    if not file.exists() and (version / OLD_DESCRIPTION).exists():
        file = version / OLD_DESCRIPTION
    try:
        return parse_description(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"{file} cannot be used ({reason}): only a SavedModel that `ar3d export` wrote "
            "describes its clips; export the run again"
        ) from None


def parse_description(text: str) -> Description:
    """Reads a preprocessor.json.

    Raises:
        ValueError: the text is not one.
    """
    try:
        content = json.loads(text)
        content = {OLD_KEYS.get(key, key): value for key, value in content.items()}
        class_names, shape = tuple(content["class_names"]), ClipShape(**content["clip_shape"])
        if not class_names or not all(isinstance(name, str) for name in class_names):
            raise ValueError("it names no classes")
        sizes = shape.frames, shape.height, shape.width, shape.resize_height, shape.resize_width
        if not all(type(size) is int and size > 0 for size in (*sizes, shape.stride)):
            raise ValueError("a size of its clips is no positive integer")
        if shape.sampling not in get_args(Sampling):
            raise ValueError(f"unknown sampling {shape.sampling!r}")
        calibration = read_calibration(content.get("calibration"), class_names)
        return Description(class_names, shape, calibration, precision_of(content))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(str(error)) from None
