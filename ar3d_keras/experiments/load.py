"""From a run or a SavedModel to a classifier that predicts any video."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from ar3d_keras.errors import UserError
from ar3d_keras.inference.classifier import Classifier, describe
from ar3d_keras.inference.predictor import Prediction, predict_videos
from ar3d_keras.models.loading import load_model
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import Run, find_run
from ar3d_keras.videos.dataset import clip_shape
from ar3d_keras.videos.unlabelled import find_videos

WEIGHTS = "checkpoints/best.keras"  # a run without this file cannot predict


def load_network(run: Run) -> keras.Model:
    """The network that a run kept, in float32, with its class names and clip geometry.

    Raises:
        UserError: the run has no weights yet, or the file is damaged.
    """
    record, config = run.record(), run.config()
    network = load_model(find_run(run.folder, run.folder.parent, needs=[WEIGHTS]).best)
    # The file knows them itself, unless an earlier version wrote it.
    network.class_names = tuple(record["class_names"])
    network.clip_shape = clip_shape(config.data)
    return network


def from_run(run: Run) -> Classifier:
    """The classifier of a run, with the batch size of its evaluation.

    Raises:
        UserError: the run is damaged, or its network cannot be loaded.
    """
    network, config = load_network(run), run.config()
    return Classifier(
        network,
        network.class_names,
        network.clip_shape,
        str(run.folder),
        config.recipe.batch_size,
    )


def describe_run(run: Run) -> dict[str, Any]:
    """The description that goes with an exported network; see `inference.classifier.describe`.

    Raises:
        UserError: the run is damaged.
    """
    record, config = run.record(), run.config()
    kept = "begun", "parameters", "backend", "precision", "device", "versions", "git_commit"
    about = {
        "run": run.name,
        "network": config.model.full_name,
        "split": record["split"]["scheme"],
        "data": record["data"]["fingerprint"],
        **{name: record[name] for name in kept if name in record},
    }
    return describe(record["class_names"], clip_shape(config.data), about)


def predict(
    paths: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    run: str | os.PathLike | None = None,
    saved_model: str | os.PathLike | None = None,
    runs_dir: str | os.PathLike = "runs",
    clips: int = 1,
    crops: int = 1,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    workers: int | None = None,
    batch_size: int | None = None,
    reporter: Reporter | None = None,
) -> list[Prediction]:
    """Names the action in videos.

    The probabilities are those of evaluate.py for the same video, clips and crops. On a GPU that
    holds where `training.hardware.exact_float32()` was called before, as both commands do.

    Args:
        paths: a video file, a folder of frames, a folder of videos at any depth, or several.
        run: a run folder, or a name under `runs_dir`; None: the one last begun that has weights.
        saved_model: a SavedModel that `ar3d export` wrote, to ask in place of a run.
        runs_dir: where runs are.
        clips: windows a video (or a window of `window_seconds`), their probabilities averaged.
        crops: crops a clip, 1 (centre) or 3.
        window_seconds: asks about each stretch of so many seconds; None: about the video as a
            whole.
        hop_seconds: from a stretch to the next; None: one follows the other.
        workers: threads that decode; None: one per core.
        batch_size: clips a step; None: as evaluation takes them, on which the last bits depend.
        reporter: draws the bar and says what is wrong with a video.

    Returns:
        One Prediction a video, in the order of `paths`.

    Raises:
        UserError: no such path, run or SavedModel, a number that cannot be meant, or no video that
            can be decoded.
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else paths
    catalog = find_videos(paths)
    classifier = open_classifier(run, saved_model, Path(runs_dir))
    return predict_videos(
        classifier,
        catalog,
        clips=clips,
        crops=crops,
        window_seconds=window_seconds,
        hop_seconds=hop_seconds,
        workers=workers,
        batch_size=batch_size,
        reporter=reporter,
    )


def open_classifier(
    run: str | os.PathLike | None, saved_model: str | os.PathLike | None, runs_dir: Path
) -> Classifier:
    """The network of a run or of a SavedModel; see `predict`.

    Raises:
        UserError: there is none, it cannot be loaded, or both are named.
    """
    if run is not None and saved_model is not None:
        raise UserError("a run and a SavedModel exclude each other: name one of them")
    if saved_model is None:
        return from_run(find_run(run and os.fspath(run), runs_dir, needs=[WEIGHTS]))
    from ar3d_keras.inference.saved_model import from_saved_model

    return from_saved_model(Path(saved_model))
