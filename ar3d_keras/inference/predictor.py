"""Which action is it? Any video, from a run or a SavedModel: the front door of prediction."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.forward import check_finite, predict_clips
from ar3d_keras.inference.limits import check_options
from ar3d_keras.inference.timeline import SegmentPrediction, timeline
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.flow import check as check_flow
from ar3d_keras.videos.reader import ASSUMED_RATE, ReadError, decoding_threads, read_header
from ar3d_keras.videos.reader import damage as damage_of
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.sources import UniformSampler, VideoSource


@dataclass(frozen=True)
class Prediction:
    """What a network said of one video.

    Attributes:
        path: as it was given, or found in a folder that was given.
        class_names: the names.
        probabilities: float32 (classes,), the mean over the video's views, or over its windows;
            None where it cannot be decoded.
        segments: with `window_seconds` what was said of each window, in order; else empty.
        failure: the reason why it cannot be decoded, else None.
    """

    path: str
    class_names: tuple[str, ...]
    probabilities: np.ndarray | None
    segments: tuple[SegmentPrediction, ...] = ()
    failure: str | None = None

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The likeliest classes with their probabilities, best first; empty after a failure."""
        return [] if self.failure else likeliest(self.class_names, self.probabilities, count)


def likeliest(
    class_names: Sequence[str], probabilities: np.ndarray, count: int = 5
) -> list[tuple[str, float]]:
    """The names of the highest probabilities, best first; of equal ones the first class."""
    best = np.argsort(-probabilities, kind="stable")[:count]
    return [(class_names[place], float(probabilities[place])) for place in best]


def merged(prediction: Prediction) -> list[tuple[float, float, str, float]]:
    """The timeline of a video, where neighbouring windows with one likeliest class are one.

    Returns:
        start and end in seconds, the class, and the mean of its probability.
    """
    rows: list[tuple[float, float, str, float]] = []
    for place, group in itertools.groupby(
        prediction.segments, lambda segment: int(segment.probabilities.argmax())
    ):
        segments = list(group)
        share = np.mean([segment.probabilities[place] for segment in segments])
        rows.append(
            (segments[0].start, segments[-1].end, prediction.class_names[place], float(share))
        )
    return rows


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
    reporter: Reporter | None = None,
) -> list[Prediction]:
    """`predict` of a network that is loaded, and videos that were found."""
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
    rest = {
        "clips": clips,
        "crops": crops,
        "workers": decoding_threads(workers),
        "batch_size": batch_size or classifier.batch_size,
        "reporter": reporter,
    }
    if window_seconds is None:
        predictions = _whole(classifier, catalog, **rest)
    else:
        hop = hop_seconds or window_seconds
        predictions = _windows(classifier, catalog, seconds=window_seconds, hop=hop, **rest)
    for prediction in predictions:
        if not prediction.failure:
            check_finite(prediction.probabilities, prediction.path)
    failures = [prediction for prediction in predictions if prediction.failure]
    for prediction in failures:
        reporter.log(f"skipped: {prediction.path!r}: {prediction.failure}")
    if len(failures) == len(predictions):
        first = failures[0]
        raise UserError(
            f"{first.path!r} cannot be decoded ({first.failure})"
            if len(failures) == 1
            else f"none of the {len(failures)} videos can be decoded; the reasons are named above"
        )
    return predictions


def _whole(
    classifier: Classifier, catalog: Catalog, *, clips, crops, workers, batch_size, reporter
) -> list[Prediction]:
    """Each video as evaluation looks at it."""
    with reporter.bar("checking", len(catalog), "videos") as update:
        scanned = scan(catalog, workers=workers, progress=update)
    videos = [video for video in catalog.videos if video.path in scanned.frames]
    said, failures = {}, dict(scanned.unreadable)
    if videos:
        source = VideoSource(
            catalog.root,
            videos,
            scanned.frames,
            classifier.class_names,
            classifier.shape,
            UniformSampler(clips, crops),
        )
        for video in videos:
            _log_damage(video.path, scanned.damaged.get(video.path), reporter)
        answers = predict_clips(
            classifier.network, source, batch_size=batch_size, workers=workers, reporter=reporter
        )
        said = dict(zip((v.path for v in videos), answers.probabilities, strict=True))
        failures |= source.failures
    return [
        Prediction(video.path, classifier.class_names, None, failure=failures[video.path])
        if video.path in failures
        else Prediction(video.path, classifier.class_names, said[video.path])
        for video in catalog.videos
    ]


def _log_damage(path: str, damage: str | None, reporter: Reporter) -> None:
    if damage:
        reporter.log(f"{path!r} is damaged: {damage}; the rest of it is used")


def _windows(
    classifier: Classifier,
    catalog: Catalog,
    *,
    seconds,
    hop,
    clips,
    crops,
    workers,
    batch_size,
    reporter,
) -> list[Prediction]:
    """Each video window by window, one video after the other."""
    predictions = []
    for number, video in enumerate(catalog.videos, start=1):
        path = catalog.root / video.path
        try:
            if read_header(path).rate is None:
                reporter.log(
                    f"{video.path!r} tells no frame rate: {ASSUMED_RATE:g} frames a second are "
                    "assumed where its frames have no times"
                )
            segments = timeline(
                classifier,
                path,
                seconds=seconds,
                hop=hop,
                clips=clips,
                crops=crops,
                batch_size=batch_size,
                threads=workers,
                reporter=reporter,
                description="predicting" if len(catalog) == 1 else f"{number}/{len(catalog)}",
            )
        except ReadError as error:
            prediction = Prediction(video.path, classifier.class_names, None, failure=str(error))
        else:
            mean = np.mean([segment.probabilities for segment in segments], axis=0)
            prediction = Prediction(video.path, classifier.class_names, mean, segments)
            _log_damage(video.path, damage_of(path), reporter)
        predictions.append(prediction)
    return predictions
