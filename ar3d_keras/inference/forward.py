"""What a network says of videos: the ONE path for val, test, the curves and prediction."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.pipeline import Batches
from ar3d_keras.videos.sources import ClipSource


@dataclass(frozen=True)
class Predictions:
    """What a network said of the videos of a source, in their order.

    Attributes:
        probabilities: float32 (videos, classes), averaged over a video's views; of a video that
            could not be read they mean nothing.
        readable: bool (videos,); the reasons of the others are in the source's `failures`.
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
    """Asks a network about every view of every video of `source`.

    Args:
        network: anything with `predict_on_batch`, from clips to class probabilities.
        source: clips of the videos; nothing about it may be random.
        batch_size: clips a step.
        workers: threads that decode.
        reporter: draws the progress bar.
        description: of the bar.
    """
    with (reporter or Reporter()).bar(description, len(source), "clips") as update:

        def watched():
            done = 0
            for batch in Batches(source, batch_size, workers=workers):
                yield batch
                done += len(batch[0])
                update(done)

        probabilities, _, weights = predict_batches(network, watched(), batch_size)
    views = source.clips_per_video
    return Predictions(
        probabilities=probabilities.reshape(-1, views, probabilities.shape[1]).mean(axis=1),
        readable=weights.reshape(-1, views).all(axis=1),
    )


def check_finite(probabilities: np.ndarray, name: str) -> None:
    """Refuses probabilities, of any shape, that are none.

    Raises:
        UserError: says that of the video, or the camera, `name`.
    """
    if not np.isfinite(probabilities).all():
        raise UserError(
            f"the network's answer to {name!r} is not a number: its training diverged, so train "
            "again with a lower learning rate or in float32"
        )


def predict_batches(
    network: Any, data: Iterable, batch_size: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs a network over batches and keeps the order.

    Args:
        network: anything with `predict_on_batch`, from clips to class probabilities.
        data: batches (clips, labels) or (clips, labels, weights), as arrays or tensors.
        batch_size: a batch of fewer clips is filled up to this, so that a video's numbers are
            the same, bit for bit, whatever stands beside it; 0: up to the largest before it.

    Returns:
        probabilities float32 (clips, classes), labels int64 (clips,), weights float32 (clips,).
    """
    probabilities, labels, weights = [], [], []
    full = batch_size
    for clips, label, *weight in data:
        clips, label = np.asarray(clips), np.asarray(label)
        count = len(clips)
        full = max(full, count)
        if count < full:
            # No backend must compile for a second shape, nor sum in another order.
            clips = np.concatenate([clips, np.zeros((full - count, *clips.shape[1:]), clips.dtype)])
        said = network.predict_on_batch(clips)[:count]
        probabilities.append(np.asarray(said, np.float32))
        labels.append(label.astype(np.int64))
        weights.append(np.asarray(weight[0] if weight else np.ones(count), np.float32))
    return np.concatenate(probabilities), np.concatenate(labels), np.concatenate(weights)
