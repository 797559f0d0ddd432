"""Evaluates a network on a split: its predictions beside the true classes."""

from collections.abc import Iterable, Sequence
from typing import Any

from ar3d_keras.evaluation.metrics import Evaluation
from ar3d_keras.inference.forward import predict_batches, predict_clips
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.sources import ClipSource


def evaluate(
    network: Any,
    source: ClipSource,
    class_names: Sequence[str],
    *,
    batch_size: int,
    workers: int,
    skipped: Sequence[tuple[str, str]] = (),
    reporter: Reporter | None = None,
    description: str = "evaluating",
) -> Evaluation:
    """Predicts every video of `source`, averaging the probabilities over its clips.

    Args:
        network: a Keras model from clips to class probabilities.
        source: the clips of the videos; it must be deterministic.
        class_names: the names of the network's outputs.
        batch_size: clips per step.
        workers: decoding threads.
        skipped: (path, reason) of videos that were left out before; videos that cannot be decoded
            now are added to them.
        reporter: shows the progress bar.
        description: the text of the bar.
    """
    predictions = predict_clips(
        network,
        source,
        batch_size=batch_size,
        workers=workers,
        reporter=reporter,
        description=description,
    )
    readable = predictions.readable
    videos = [video for video, ok in zip(source.videos, readable, strict=True) if ok]
    failed = [
        (video.key, source.failures[video.key])
        for video, ok in zip(source.videos, readable, strict=True)
        if not ok
    ]
    return Evaluation(
        class_names=tuple(class_names),
        paths=tuple(video.key for video in videos),
        labels=source.labels[readable],
        probabilities=predictions.probabilities[readable],
        groups=tuple(video.group for video in videos),
        skipped=(*skipped, *failed),
    )


def evaluate_batches(
    network: Any, data: Iterable, class_names: Sequence[str] | None = None
) -> Evaluation:
    """Predicts batches of clips whose videos have no names; each clip counts as one video.

    Args:
        network: a Keras model from clips to class probabilities.
        data: batches (clips, labels) or (clips, labels, weights); clips of weight 0 are left out.
        class_names: the names of the network's outputs; None: their numbers.
    """
    probabilities, labels, weights = predict_batches(network, data)
    readable = weights > 0
    clips = int(readable.sum())
    return Evaluation(
        class_names=tuple(class_names or map(str, range(probabilities.shape[1]))),
        paths=tuple(map(str, range(clips))),
        labels=labels[readable],
        probabilities=probabilities[readable],
        groups=(None,) * clips,
    )
