"""A trained network with what belongs to it: class names, and how a video becomes a clip."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ar3d_keras.videos.sampling import ClipShape, protocol

# In the folder of a SavedModel's version: {"classes": [...], "shape": {a ClipShape's fields},
# "protocol": "...", "about": {...}}. The server ignores it.
DESCRIPTION = "assets.extra/preprocessor.json"


@dataclass(frozen=True)
class Classifier:
    """What is needed to name the action in any video.

    Attributes:
        network: anything with `predict_on_batch`, from clips uint8 (batch, T, H, W, C) to class
            probabilities (batch, classes).
        class_names: the names of its outputs.
        shape: how a clip is cut out of a video.
        origin: the run or SavedModel it came from, for the record.
        batch_size: clips a step, as evaluation takes them; in batches of another size the same
            clip's probabilities differ in the seventh digit.
    """

    network: Any
    class_names: tuple[str, ...]
    shape: ClipShape
    origin: str
    batch_size: int = 8


def describe(
    class_names: Sequence[str], shape: ClipShape, about: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What DESCRIPTION holds.

    Args:
        class_names: the names of the network's outputs.
        shape: how a clip is cut out of a video.
        about: where the network comes from: anything that JSON can hold.
    """
    return {
        "classes": list(class_names),
        "shape": asdict(shape),
        "protocol": protocol(shape, clips=1, crops=1),
        "about": dict(about or {}),
    }
