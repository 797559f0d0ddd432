"""What a network says of a split: the ONE path for val, test, the curves and prediction."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ar3d_keras.evaluation.metrics import Evaluation
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.pipeline import Batches
from ar3d_keras.videos.sources import ClipSource


def predict_batches(network: Any, data: Iterable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs a network over batches and keeps the order.

    Args:
        network: a Keras model from clips to class probabilities.
        data: batches (clips, labels) or (clips, labels, weights), as arrays or tensors.

    Returns:
        probabilities float32 (clips, classes), labels int64 (clips,), weights float32 (clips,).
    """
    probabilities, labels, weights = [], [], []
    full = 0
    for clips, label, *weight in data:
        clips, label = np.asarray(clips), np.asarray(label)
        count = len(clips)
        full = max(full, count)
        if count < full:
            # The last batch is filled up, so that no backend compiles for a second shape.
            clips = np.concatenate([clips, np.zeros((full - count, *clips.shape[1:]), clips.dtype)])
        answer = network.predict_on_batch(clips)[:count]
        probabilities.append(np.asarray(answer, np.float32))
        labels.append(label.astype(np.int64))
        weights.append(np.asarray(weight[0] if weight else np.ones(count), np.float32))
    return np.concatenate(probabilities), np.concatenate(labels), np.concatenate(weights)


def evaluate(
    network: Any,
    source: ClipSource,
    classes: Sequence[str],
    *,
    batch_size: int,
    workers: int,
    skipped: Sequence[tuple[str, str]] = (),
    reporter: Reporter | None = None,
    description: str = "evaluating",
) -> Evaluation:
    """Probabilities of every video of `source`, averaged over its views.

    Args:
        network: a Keras model from clips to class probabilities.
        source: clips of the videos; nothing about it may be random.
        classes: the names of the network's outputs.
        batch_size: clips a step.
        workers: threads that decode.
        skipped: (path, reason) of videos that were left out before; those that fail now join.
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

        probabilities, _, weights = predict_batches(network, watched())
    views = source.views_per_video
    readable = weights.reshape(-1, views).all(axis=1)
    mean = probabilities.reshape(-1, views, probabilities.shape[1]).mean(axis=1)
    videos = [video for video, ok in zip(source.videos, readable, strict=True) if ok]
    failed = [
        (video.path, source.failures[video.path])
        for video, ok in zip(source.videos, readable, strict=True)
        if not ok
    ]
    return Evaluation(
        classes=tuple(classes),
        paths=tuple(video.path for video in videos),
        labels=source.labels[readable],
        probabilities=mean[readable],
        groups=tuple(video.group for video in videos),
        skipped=(*skipped, *failed),
    )
