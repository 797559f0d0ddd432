"""From a run or a SavedModel to a classifier that predicts any video."""

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ar3d_keras.config import check_choice
from ar3d_keras.devices import number_of, using
from ar3d_keras.distributed.workers import check_on
from ar3d_keras.errors import UserError
from ar3d_keras.experiments.fingerprints import check_same_classes
from ar3d_keras.inference.calibration import read_calibration
from ar3d_keras.inference.classifier import Classifier, InferencePrecision, describe
from ar3d_keras.inference.classifier_worker import OpenClassifier
from ar3d_keras.inference.predictor import Prediction, predict_videos
from ar3d_keras.models.classifier import VideoClassifier
from ar3d_keras.models.loading import load_model
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import RunFolder, find_run
from ar3d_keras.training import hardware
from ar3d_keras.videos.dataset import clip_shape
from ar3d_keras.videos.unlabelled import find_videos

WEIGHTS = "checkpoints/best.keras"  # a run without this file cannot predict


def is_network_file(run: str | os.PathLike) -> bool:
    """Whether a `run` is the name of a .keras file instead."""
    return os.fspath(run).endswith(".keras")


def load_network(run: RunFolder) -> VideoClassifier:
    """The network that a run kept, in float32, with its class names and clip geometry.

    Raises:
        UserError: the run has no weights yet, the file is damaged, or it has other classes.
    """
    record, config = run.record(), run.config()
    network = load_model(find_run(run.folder, run.folder.parent, needs=[WEIGHTS]).best)
    if network.class_names:
        check_same_classes(
            f"{run.best} has other classes than the run: restore the file",
            network.class_names,
            record["class_names"],
        )
    # The file knows them itself, unless an earlier version wrote it.
    network.class_names = tuple(record["class_names"])
    network.clip_shape = clip_shape(config.data)
    return network


def from_run(run: RunFolder, precision: InferencePrecision = "float32") -> Classifier:
    """The classifier of a run, with the batch size of its evaluation.

    Raises:
        UserError: the run is damaged, or its network cannot be loaded.
    """
    network, config = load_network(run), run.config()
    assert network.class_names is not None and network.clip_shape is not None
    return Classifier(
        network.in_precision(precision),
        network.class_names,
        network.clip_shape,
        str(run.folder),
        config.recipe.batch_size,
        network.calibration,
        precision,
    )


def describe_run(run: RunFolder, inference: Mapping[str, Any] | None = None) -> dict[str, Any]:
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
    calibration = read_calibration(record.get("calibration"), record["class_names"])
    return describe(record["class_names"], clip_shape(config.data), about, calibration, inference)


def describe_file(file: Path, inference: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The description of a .keras file that knows its class names and clips.

    Raises:
        UserError: the file cannot be loaded, or does not know them.
    """
    classifier = load_model(file).as_classifier()
    about = {"network": classifier.origin, "file": file.name}
    return describe(
        classifier.class_names, classifier.shape, about, classifier.calibration, inference
    )


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
    devices: int | Literal["all"] = 1,
    batch_size: int | None = None,
    precision: InferencePrecision | None = None,
    journal: str | os.PathLike | None = None,
    on: str | None = None,
    reporter: Reporter | None = None,
) -> list[Prediction]:
    """Predicts the class of videos.

    In float32 the probabilities equal those of evaluate.py for the same video, clips and crops.

    Args:
        paths: a video file, a folder of frames, a folder of videos at any depth, or several.
        run: a run folder, a name under `runs_dir`, or a .keras file. Default: the run that was last
            begun and has weights.
        saved_model: a SavedModel that `ar3d export` wrote, instead of a run.
        runs_dir: the folder of all runs.
        clips: clips per video (or per window of `window_seconds`); their probabilities are averaged.
        crops: crops per clip, 1 (center) or 3.
        window_seconds: predict each window of this many seconds. Default: the whole video.
        hop_seconds: from the start of one window to the next. Default: `window_seconds`.
        workers: decoding threads. Default: one per core. With `on`: Ray actors, each of which has
            the network. Default: one per GPU, or per machine of a cluster without GPUs.
        devices: devices that predict, a number or all; the last bits depend on it.
        batch_size: clips per step. Default: that of the evaluation; the last bits depend on it.
        precision: float32 or bfloat16. Default: float32, or what a SavedModel was exported in.
        journal: a file that keeps the predictions as they are made; the same call with it continues
            after those.
        on: where the videos are predicted. Default: in this process; ray: in the Ray cluster of
            RAY_ADDRESS, or a local one; ray://HOST:PORT: in a cluster. Its machines need the files
            of videos and network under the same paths. The probabilities are the same on the same
            kind of device.
        reporter: shows progress and logs videos that cannot be decoded. Default: shows nothing.

    Returns:
        One Prediction per video, in the order of `paths`.

    Raises:
        UserError: there is no such path, run or SavedModel, a number is out of range, or no video
            can be decoded.
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else paths
    check_on(on)
    if on is not None and devices != 1:
        raise UserError("`devices` and `on` cannot be combined: each Ray actor has one device")
    catalog = find_videos(paths)
    number = number_of(devices)
    with using(number), hardware.disable_tf32():
        classifier = open_classifier(run, saved_model, Path(runs_dir), precision)
        return predict_videos(
            classifier,
            catalog,
            clips=clips,
            crops=crops,
            window_seconds=window_seconds,
            hop_seconds=hop_seconds,
            workers=workers,
            batch_size=batch_size,
            journal=None if journal is None else Path(journal),
            on=on,
            reopen=reopening(classifier, run, saved_model),
            reporter=reporter,
        )


@contextlib.contextmanager
def opened_classifier(
    run: Path | None, saved_model: Path | None, precision: InferencePrecision
) -> Iterator[Classifier]:
    """`open_classifier` in a process of its own; GPUs compute in float32, as evaluation does."""
    with hardware.disable_tf32():
        yield open_classifier(run, saved_model, Path("runs"), precision)


def reopening(
    classifier: Classifier,
    run: str | os.PathLike | None,
    saved_model: str | os.PathLike | None,
) -> OpenClassifier:
    """What opens the same classifier in another process.

    Args:
        classifier: what `open_classifier` returned.
        run: what it was given.
        saved_model: what it was given.
    """
    if saved_model is not None:
        found = functools.partial(opened_classifier, None, Path(saved_model).absolute())
    else:
        file = run if run is not None and is_network_file(run) else classifier.origin
        found = functools.partial(opened_classifier, Path(file).absolute(), None)
    return functools.partial(found, classifier.precision)


def open_classifier(
    run: str | os.PathLike | None,
    saved_model: str | os.PathLike | None,
    runs_dir: Path,
    precision: InferencePrecision | None = None,
) -> Classifier:
    """The network of a run, of a .keras file, or of a SavedModel; see `predict`.

    Raises:
        UserError: there is none, it cannot be loaded, two are named, or it does not compute in this
            precision.
    """
    check_choice("precision", precision or "float32", InferencePrecision)
    if run is not None and saved_model is not None:
        raise UserError("`run` and `saved_model` cannot be combined: name one of them")
    if run is not None and is_network_file(run):
        return load_model(run).as_classifier(precision or "float32")
    if saved_model is None:
        found = find_run(run and os.fspath(run), runs_dir, needs=[WEIGHTS])
        return from_run(found, precision or "float32")
    from ar3d_keras.inference.saved_model import from_saved_model

    classifier = from_saved_model(Path(saved_model))
    if precision not in (None, classifier.precision):
        raise UserError(
            f"`precision` {precision} is not that of {classifier.origin}, which was exported in "
            f"{classifier.precision}: leave it out, or export the run again with it"
        )
    return classifier
