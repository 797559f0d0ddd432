"""A trained network with what belongs to it: class names, and how a video becomes a clip."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ar3d_keras.config import TrainConfig, from_json
from ar3d_keras.models.loading import load_model
from ar3d_keras.runs import Run
from ar3d_keras.videos.dataset import clip_shape
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


def from_run(run: Run) -> Classifier:
    """The network that a run kept, computing in float32.

    Raises:
        UserError: the run is damaged, or its network cannot be loaded.
    """
    record = run.record()
    config = from_json(record["config"], TrainConfig(), str(run.folder))
    return Classifier(
        load_model(run.best),
        tuple(record["classes"]),
        clip_shape(config.data),
        str(run.folder),
        config.recipe.batch_size,
    )


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


def describe_run(run: Run) -> dict[str, Any]:
    """What DESCRIPTION holds of the network that a run kept.

    Raises:
        UserError: the run is damaged.
    """
    record = run.record()
    config = from_json(record["config"], TrainConfig(), str(run.folder))
    kept = "begun", "parameters", "backend", "precision", "device", "versions", "git_commit"
    about = {
        "run": run.name,
        "network": config.model.model + ("-attention" if config.model.attention else ""),
        "split": record["split"]["scheme"],
        "data": record["data"]["fingerprint"],
        **{name: record[name] for name in kept if name in record},
    }
    return describe(record["classes"], clip_shape(config.data), about)
