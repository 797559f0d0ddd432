"""What a network says of a split, beside the truth."""

from collections.abc import Sequence
from typing import Any

from ar3d_keras.evaluation.metrics import Evaluation
from ar3d_keras.inference.forward import predict_clips
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
    """Probabilities of every video of `source`, averaged over its views.

    Args:
        network: a Keras model from clips to class probabilities.
        source: clips of the videos; nothing about it may be random.
        class_names: the names of the network's outputs.
        batch_size: clips a step.
        workers: threads that decode.
        skipped: (path, reason) of videos that were left out before; those that fail now join.
        reporter: draws the progress bar.
        description: of the bar.
    """
    answers = predict_clips(
        network,
        source,
        batch_size=batch_size,
        workers=workers,
        reporter=reporter,
        description=description,
    )
    readable = answers.readable
    videos = [video for video, ok in zip(source.videos, readable, strict=True) if ok]
    failed = [
        (video.path, source.failures[video.path])
        for video, ok in zip(source.videos, readable, strict=True)
        if not ok
    ]
    return Evaluation(
        class_names=tuple(class_names),
        paths=tuple(video.path for video in videos),
        labels=source.labels[readable],
        probabilities=answers.probabilities[readable],
        groups=tuple(video.group for video in videos),
        skipped=(*skipped, *failed),
    )
