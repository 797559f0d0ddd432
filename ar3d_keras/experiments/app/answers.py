"""From an uploaded video to its prediction and its overlay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.experiments.app.decoding import Decoded, decode
from ar3d_keras.experiments.app.jobs import Job, JobReporter
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.forward import check_finite, predict_batches
from ar3d_keras.inference.predictor import Prediction, likeliest
from ar3d_keras.inference.saved_model import SignatureNetwork
from ar3d_keras.inference.timeline import SegmentPrediction
from ar3d_keras.reports.overlay import write_overlay
from ar3d_keras.videos.isolation import Isolation
from ar3d_keras.videos.parts import Part
from ar3d_keras.videos.video import ReadError

VIEW, OVERLAY, CLIPS = "video.mp4", "overlay.mp4", "clips"  # in a job's folder


@dataclass(frozen=True)
class Answer:
    """What is known of a predicted video.

    Attributes:
        prediction: with a segment for each window.
        decoded: the windows and the length of the video.
        maps: what the overlay shows, "attention" or "Grad-CAM"; None: the network has none.
    """

    prediction: Prediction
    decoded: Decoded
    maps: str | None

    def predicted(self, start: float | None, end: float | None) -> str:
        """The likeliest class of a stretch in seconds; None, None: of the video."""
        probabilities = self.prediction.probabilities
        assert probabilities is not None
        if start is not None and end is not None:
            inside = [
                segment.probabilities
                for segment in self.prediction.segments
                if segment.start < end and segment.end > start
            ]
            probabilities = np.mean(inside, axis=0) if inside else probabilities
        return likeliest(self.prediction.class_names, probabilities, 1)[0][0]


@dataclass(frozen=True)
class Predictor:
    """Works on jobs: decodes, predicts and draws.

    The probabilities are those of `ar3d predict` with the same windows, bit for bit.

    Attributes:
        classifier: the network.
        isolation: decodes in other processes.
        window_seconds: None: the length of a clip.
        hop_seconds: None: windows follow each other.
        max_minutes: the longest video that is taken.
        threads: decoding threads.
    """

    classifier: Classifier
    isolation: Isolation
    window_seconds: float | None
    hop_seconds: float | None
    max_minutes: float
    threads: int

    def __call__(self, job: Job) -> None:
        """Fills `job.answer`, and writes the view and the overlay.

        Raises:
            UserError: the video cannot be decoded, or a server does not answer.
            CancelledError: nobody waits for the job.
        """
        job.enter("decoding")
        try:
            decoded = self.isolation.call(
                decode,
                job.upload,
                copy=job.folder / VIEW,
                clips=job.folder / CLIPS,
                shape=self.classifier.shape,
                window_seconds=self.window_seconds,
                hop_seconds=self.hop_seconds,
                max_seconds=60 * self.max_minutes,
                threads=self.threads,
            )
        except ReadError as error:
            raise UserError(f"{job.name} cannot be predicted: {error}") from None
        job.enter("predicting", 0, len(decoded.times))
        prediction = self._predict(job, decoded)
        (job.folder / CLIPS).unlink()
        maps = map_name(self.classifier)
        job.answer = Answer(prediction, decoded, maps)
        if maps:
            job.enter("drawing")
            write_overlay(
                self.classifier,
                prediction,
                Part(job.folder / VIEW),
                job.folder / OVERLAY,
                window_seconds=decoded.window_seconds,
                hop_seconds=decoded.hop_seconds,
                threads=self.threads,
                reporter=JobReporter(job, "drawing"),
            )
        job.enter("done")

    def _predict(self, job: Job, decoded: Decoded) -> Prediction:
        classifier, count = self.classifier, len(decoded.times)
        shape = (count, *classifier.shape.array)
        clips = np.memmap(job.folder / CLIPS, np.uint8, "r", shape=shape)

        def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for first in range(0, count, classifier.batch_size):
                batch = np.array(clips[first : first + classifier.batch_size])
                yield batch, np.full(len(batch), -1)
                job.enter("predicting", min(count, first + len(batch)), count)

        outputs, _, _ = predict_batches(classifier.network, batches(), classifier.batch_size)
        segments = tuple(
            SegmentPrediction(start, end, probabilities)
            for (start, end), probabilities in zip(decoded.times, outputs, strict=True)
        )
        mean = np.mean([segment.probabilities for segment in segments], axis=0)
        check_finite(mean, job.name)
        calibration = classifier.calibration
        return Prediction(job.name, classifier.class_names, mean, segments, calibration=calibration)


def map_name(classifier: Classifier) -> str | None:
    """What an overlay shows: "attention" or "Grad-CAM"; None: there can be none."""
    network = classifier.network
    if isinstance(network, SignatureNetwork):
        return "attention" if network.has_attention else None
    from ar3d_keras.explanation.attention_map import find_gate

    return "attention" if find_gate(network) else "Grad-CAM"
