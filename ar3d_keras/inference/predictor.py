"""Predicts the actions in any video, with the network of a run or of a SavedModel."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras.distributed.workers import open_workers
from ar3d_keras.errors import UserError
from ar3d_keras.inference.bouts import NOTHING, Bout, BoutOptions, find_bouts
from ar3d_keras.inference.calibration import NONE_OF_THESE, Calibration
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.classifier_worker import (
    ClassifierWorker,
    OpenClassifier,
    predict_by_workers,
)
from ar3d_keras.inference.forward import check_finite
from ar3d_keras.inference.journal import CHUNK, Entry, Journal
from ar3d_keras.inference.limits import check_options
from ar3d_keras.inference.timeline import SegmentPrediction, timeline
from ar3d_keras.inference.whole import predict_whole
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import Catalog, Video
from ar3d_keras.videos.flow import check as check_flow
from ar3d_keras.videos.isolation import Isolation, Limits
from ar3d_keras.videos.parts import part_of
from ar3d_keras.videos.reader import ASSUMED_RATE, ReadError, decoding_threads
from ar3d_keras.videos.reader import damage as damage_of
from ar3d_keras.videos.remote import UnreachableError


@dataclass(frozen=True)
class Prediction:
    """The prediction for one video.

    Attributes:
        path: as it was given, or as it was found in a given folder; of a segment with its stretch
            (see `Video.key`).
        class_names: one for each probability.
        probabilities: float32 (classes,), the mean over the clips of the video, or over its
            windows; None after a failure.
        segments: with `window_seconds` the prediction for each window, in order; else empty.
        failure: the reason why the video could not be predicted, else None.
        calibration: that of the network; None if there is none.
        file: the path of the file that the video is a segment or a region of; None: `path`.
    """

    path: str
    class_names: tuple[str, ...]
    probabilities: np.ndarray | None
    segments: tuple[SegmentPrediction, ...] = ()
    failure: str | None = None
    calibration: Calibration | None = None
    file: str | None = None

    @property
    def calibrated(self) -> np.ndarray | None:
        """float32 (classes,): the calibrated probabilities; None without, or after a failure."""
        if self.calibration is None or self.probabilities is None:
            return None
        return self.calibration.calibrate(self.probabilities)

    @property
    def accepted(self) -> bool | None:
        """Whether the likeliest class is certain enough; None without thresholds for it."""
        if self.probabilities is None:
            return None
        return is_accepted(self.calibration, self.class_names, self.probabilities)

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Returns the likeliest classes and their probabilities, best first; [] after a failure."""
        if self.probabilities is None:
            return []
        return likeliest(self.class_names, self.probabilities, count)


def likeliest(
    class_names: Sequence[str], probabilities: np.ndarray, count: int = 5
) -> list[tuple[str, float]]:
    """Returns the likeliest classes and their probabilities, best first.

    Classes with equal probabilities keep their order.
    """
    best = np.argsort(-probabilities, kind="stable")[:count]
    return [(class_names[place], float(probabilities[place])) for place in best]


def is_accepted(
    calibration: Calibration | None, class_names: Sequence[str], probabilities: np.ndarray
) -> bool | None:
    """Whether a prediction is accepted; None if the network has no thresholds.

    Args:
        calibration: that of the network.
        class_names: one for each probability.
        probabilities: (classes,), not calibrated.
    """
    if calibration is None or calibration.thresholds is None:
        return None
    return bool(calibration.accept(probabilities, class_names))


def bouts_of(prediction: Prediction, options: BoutOptions | None = None) -> list[Bout]:
    """The stretches of a video that was predicted window by window; [] for other videos.

    Windows that the network's calibration rejects have no class.

    Args:
        prediction: of the video.
        options: smoothing, hysteresis and minimum length; None: windows of one class are joined.
    """
    if not prediction.segments:
        return []
    calibration = prediction.calibration
    accept = None
    if calibration is not None and calibration.thresholds is not None:
        accept = partial(calibration.accept, class_names=prediction.class_names)
    return find_bouts(
        np.array([(segment.start, segment.end) for segment in prediction.segments]),
        np.stack([segment.probabilities for segment in prediction.segments]),
        options,
        accept,
    )


def merged(
    prediction: Prediction, options: BoutOptions | None = None
) -> list[tuple[float, float, str, float]]:
    """Returns the timeline of a video: adjoining windows of the same class are merged.

    Windows with time between them, such as a pause of the recording, are not merged.

    Args:
        prediction: of the video.
        options: see `bouts_of`.

    Returns:
        For each stretch: start and end in seconds, the class or "none of these", and its mean
        probability.
    """
    return [
        (
            bout.start,
            bout.end,
            NONE_OF_THESE if bout.place == NOTHING else prediction.class_names[bout.place],
            bout.probability,
        )
        for bout in bouts_of(prediction, options)
    ]


def predict_videos(
    classifier: Classifier,
    catalog: Catalog,
    *,
    clips: int = 1,
    crops: int = 1,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    workers: int | None = None,
    batch_size: int | None = None,
    journal: Path | None = None,
    on: str | None = None,
    reopen: OpenClassifier | None = None,
    reporter: Reporter | None = None,
) -> list[Prediction]:
    """Predicts every video of a catalog; see `ar3d_keras.predict`.

    A video that cannot be predicted does not stop the others: it is logged, and its Prediction has
    the reason as its `failure`.

    Args:
        classifier: the network, its class names and its clip geometry.
        catalog: the videos; their labels are ignored.
        clips: clips of a video or window.
        crops: crops of a clip, 1 or 3.
        window_seconds: length of a window; None: each video is predicted as a whole.
        hop_seconds: seconds from one window to the next; None: windows follow each other.
        workers: decoding threads; None: one per core.
        batch_size: clips a step; None: that of the classifier.
        journal: a file that keeps the predictions as they are made; what it holds is not predicted
            again. See `Journal`.
        on: where the videos are predicted, see `distributed.workers.check_on`. `workers` is the
            number of Ray actors then; None: one for each GPU, or for each machine without GPUs.
        reopen: with `on`: opens the classifier in another process; it can be pickled.
        reporter: shows the progress bar and logs what is wrong with a video.

    Returns:
        One Prediction for each video, in the order of the catalog.

    Raises:
        UserError: an option is out of range, the journal is of other predictions, no video could be
            predicted, or the network's output is not a number.
    """
    check_options(
        clips=clips,
        crops=crops,
        batch_size=batch_size,
        window_seconds=window_seconds,
        hop_seconds=hop_seconds,
    )
    reporter = reporter or Reporter()
    shape = classifier.shape
    if shape.flow:
        check_flow(shape.flow, (shape.resize_height, shape.resize_width))
    threads = decoding_threads(workers)
    batch_size = batch_size or classifier.batch_size
    views: dict[str, Any] = {"clips": clips, "crops": crops, "batch_size": batch_size}
    windows: dict[str, Any] = {}
    if window_seconds is not None:
        windows = {"seconds": window_seconds, "hop": hop_seconds or window_seconds}
    how: Callable[..., list[Prediction]] = partial(
        _windows if windows else _whole, **views, **windows
    )
    predict: Callable[[Catalog], list[Prediction]]
    with contextlib.ExitStack() as stack:
        if on is None:
            predict, chunk = partial(how, classifier, workers=threads, reporter=reporter), CHUNK
        else:
            assert reopen is not None, "the actors need to open the classifier"
            actors = stack.enter_context(
                open_workers(
                    on,
                    partial(ClassifierWorker, reopen, how, catalog.root),
                    workers=workers,
                    threads=threads,
                    reporter=reporter,
                    network=True,
                    name=_first_name,
                )
            )
            piece = 1 if windows else CHUNK
            failed = partial(_failed, classifier)
            predict = partial(
                predict_by_workers, workers=actors, piece=piece, failed=failed, reporter=reporter
            )
            chunk = 2 * actors.size * piece
        if journal is None:
            predictions = predict(catalog)
        else:
            kept = Journal(journal, classifier, {**views, "windows": windows})
            predictions = _with_journal(kept, classifier, catalog, predict, chunk, reporter)
    for prediction in predictions:
        if prediction.probabilities is not None:
            check_finite(prediction.probabilities, prediction.path)
    failures = [prediction for prediction in predictions if prediction.failure]
    if len(failures) == len(predictions) == 1:
        raise UserError(f"{failures[0].path!r} cannot be predicted: {failures[0].failure}")
    for prediction in failures:
        reporter.log(f"skipped: {prediction.path!r}: {prediction.failure}")
    if len(failures) == len(predictions):
        raise UserError(
            f"none of the {len(failures)} videos can be predicted; the reasons are named above"
        )
    return predictions


def _failed(classifier: Classifier, video: Video, reason: str) -> Prediction:
    return Prediction(video.key, classifier.class_names, None, failure=reason)


def _first_name(videos: Sequence[Video]) -> str:
    return videos[0].key


def _with_journal(
    journal: Journal,
    classifier: Classifier,
    catalog: Catalog,
    predict: Callable[[Catalog], list[Prediction]],
    chunk: int,
    reporter: Reporter,
) -> list[Prediction]:
    """Predicts the videos that the journal lacks, `chunk` at a time, and adds them to it."""
    todo = [video for video in catalog.videos if not journal.has(catalog, video)]
    if len(todo) < len(catalog):
        done = len(catalog) - len(todo)
        reporter.log(f"{journal.file}: {done} of {len(catalog)} videos are predicted already")
    for first in range(0, len(todo), chunk):
        part = dataclasses.replace(catalog, videos=tuple(todo[first : first + chunk]), sizes=None)
        made = [Entry(p.probabilities, p.segments, p.failure) for p in predict(part)]
        for video, entry in zip(part.videos, made, strict=True):
            if entry.probabilities is not None:
                check_finite(entry.probabilities, video.key)
        journal.add(catalog, list(zip(part.videos, made, strict=True)))
    predictions = []
    for video in catalog.videos:
        found = journal.get(video)
        calibration = None if found.failure else classifier.calibration
        predictions.append(
            Prediction(
                video.key,
                classifier.class_names,
                found.probabilities,
                found.segments,
                found.failure,
                calibration,
                file=None if found.failure else video.path,
            )
        )
    return predictions


def _whole(
    classifier: Classifier, catalog: Catalog, *, reporter: Reporter, **options: Any
) -> list[Prediction]:
    """Predicts each video as evaluation does."""
    found = predict_whole(classifier, catalog, reporter=reporter, **options)
    for key, damage in found.damaged.items():
        _log_damage(key, damage, reporter)
    return [
        Prediction(video.key, classifier.class_names, None, failure=found.failures[video.key])
        if video.key in found.failures
        else Prediction(
            video.key,
            classifier.class_names,
            found.probabilities[video.key],
            calibration=classifier.calibration,
            file=video.path,
        )
        for video in catalog.videos
    ]


def _log_damage(path: str, damage: str | None, reporter: Reporter) -> None:
    if damage:
        reporter.log(f"{path!r} is damaged: {damage}; the rest of it is used")


def _windows(
    classifier: Classifier,
    catalog: Catalog,
    *,
    seconds: float,
    hop: float,
    clips: int,
    crops: int,
    workers: int,
    batch_size: int,
    reporter: Reporter,
) -> list[Prediction]:
    """Predicts each video window by window, one video after the other."""
    predictions = []
    with Isolation(Limits()) as isolation:
        for number, video in enumerate(catalog.videos, start=1):
            path, key = catalog.root / video.path, video.key
            try:
                part = part_of(catalog.root, video, threads=workers, isolation=isolation)
                if part.header().rate is None:
                    reporter.log(
                        f"{video.path!r} has no frame rate: {ASSUMED_RATE:g} frames a second are "
                        "assumed where its frames have no time stamps"
                    )
                segments = timeline(
                    classifier,
                    part,
                    seconds=seconds,
                    hop=hop,
                    clips=clips,
                    crops=crops,
                    batch_size=batch_size,
                    threads=workers,
                    reporter=reporter,
                    description="predicting" if len(catalog) == 1 else f"{number}/{len(catalog)}",
                )
            except UnreachableError:
                raise
            # UserError: a window of this video is too large, or a segment has no frame
            except (ReadError, UserError) as error:
                prediction = Prediction(key, classifier.class_names, None, failure=str(error))
            else:
                mean = np.mean([segment.probabilities for segment in segments], axis=0)
                prediction = Prediction(
                    key,
                    classifier.class_names,
                    mean,
                    segments,
                    calibration=classifier.calibration,
                    file=video.path,
                )
                _log_damage(key, damage_of(path), reporter)
            predictions.append(prediction)
    return predictions
