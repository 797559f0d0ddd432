"""The one path from clips to probabilities: for val, test, the curves and prediction."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ar3d_keras import devices
from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.sources import ClipSource


@dataclass(frozen=True)
class Predictions:
    """The outputs of a network for the videos of a source, in the order of the source.

    Attributes:
        probabilities: float32 (videos, classes), the mean over the clips of a video. The rows of
            videos that could not be read have no meaning.
        readable: bool (videos,). The source's `failures` hold the reasons for the others.
    """

    probabilities: np.ndarray
    readable: np.ndarray


def predict_clips(
    network: Any,
    source: ClipSource,
    *,
    batch_size: int,
    workers: int,
    reporter: Reporter | None = None,
    description: str = "predicting",
) -> Predictions:
    """Predicts every clip of every video of `source`.

    Args:
        network: anything with `predict_on_batch`, from clips to class probabilities.
        source: the clips; it must be deterministic.
        batch_size: clips a step.
        workers: decoding threads.
        reporter: shows the progress bar.
        description: label of the progress bar.
    """
    from ar3d_keras.videos.pipeline import Batches  # imports Keras

    with (reporter or Reporter()).bar(description, len(source), "clips") as update:

        def watched() -> Iterator[tuple[np.ndarray, ...]]:
            done = 0
            here = devices.current()
            for batch in Batches(source, batch_size, workers=workers, devices=here):
                yield batch
                done = min(done + batch_size, len(source))
                update(done)

        probabilities, _, weights = predict_batches(network, watched(), batch_size)
    clips = source.clips_per_video
    return Predictions(
        probabilities=probabilities.reshape(-1, clips, probabilities.shape[1]).mean(axis=1),
        readable=np.all(weights.reshape(-1, clips), axis=1),
    )


def check_finite(probabilities: np.ndarray, name: str) -> None:
    """Raises if any probability is NaN or infinite.

    Args:
        probabilities: of any shape.
        name: of the video or the camera, for the message.

    Raises:
        UserError: a probability is NaN or infinite.
    """
    if not np.isfinite(probabilities).all():
        raise UserError(
            f"the output of the network for {name!r} is not a number: its training diverged; train "
            "again with a lower learning rate or in float32"
        )


def predict_batches(
    network: Any, batches: Iterable, batch_size: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicts batches of clips and keeps their order.

    Args:
        network: anything with `predict_on_batch`, from clips to class probabilities.
        batches: (clips, labels) or (clips, labels, weights), as arrays or tensors.
        batch_size: a smaller batch is padded to this size, so that the other videos in a batch do
            not change a single bit of a video's probabilities. 0: the largest size so far.

    Returns:
        probabilities float32 (clips, classes), labels int64 (clips,), weights float32 (clips,).
    """
    probabilities, labels, weights = [], [], []
    here = devices.current()
    part = here.part(here.rows(batch_size, batch_size))
    full = part.stop - part.start
    for clips, label, *weight in batches:
        clips, label = np.asarray(clips), np.asarray(label)
        count = len(clips)
        full = max(full, count)
        clip_weights = np.asarray(weight[0] if weight else np.ones(count), np.float32)
        # A second batch shape would compile again, and sum in another order.
        outputs = devices.predict_on_batch(network, _filled(clips, full, 0))
        label = devices.gather(_filled(label.astype(np.int64), full, 0))
        clip_weights = devices.gather(_filled(clip_weights, full, devices.PADDING))
        is_clip = clip_weights != devices.PADDING
        probabilities.append(np.asarray(outputs, np.float32)[is_clip])
        labels.append(label[is_clip])
        weights.append(clip_weights[is_clip])
    return np.concatenate(probabilities), np.concatenate(labels), np.concatenate(weights)


def _filled(values: np.ndarray, rows: int, value: float) -> np.ndarray:
    """The values with more rows of `value`."""
    if len(values) == rows:
        return values
    more = np.full((rows - len(values), *values.shape[1:]), value, values.dtype)
    return np.concatenate([values, more])
