"""Predictions by the workers of a Ray cluster, each of which has the network."""

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ar3d_keras.distributed.workers import WorkerError, Workers
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.reader import decoding_threads
from ar3d_keras.videos.video import Video

OpenClassifier = Callable[[], AbstractContextManager[Classifier]]


class ClassifierWorker:
    """Predicts some videos after others; a context manager.

    Args:
        open_classifier: opens the network; it can be pickled.
        predict: `predict(classifier, catalog, workers=..., reporter=...)` gives the predictions.
        root: of the videos.
    """

    def __init__(self, open_classifier: OpenClassifier, predict: Callable[..., Any], root: Path):
        self._open, self._predict, self._root = open_classifier, predict, root
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "ClassifierWorker":
        self._classifier = self._stack.enter_context(self._open())
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def __call__(self, videos: Sequence[Video]) -> tuple[list[Any], list[str]]:
        """The predictions of the videos, and the lines that were logged meanwhile."""
        lines = _Lines()
        predictions = self._predict(
            self._classifier,
            Catalog(self._root, tuple(videos)),
            workers=decoding_threads(None),
            reporter=lines,
        )
        return predictions, lines.lines


class _Lines(Reporter):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def show(self, line: str) -> None:
        self.lines.append(line)


def predict_by_workers(
    catalog: Catalog,
    workers: Workers,
    piece: int,
    failed: Callable[[Video, str], Any],
    reporter: Reporter,
) -> list[Any]:
    """The predictions of a catalog, in its order.

    Args:
        catalog: the videos.
        workers: each is a ClassifierWorker.
        piece: videos that a worker predicts at once, and that are lost if it dies.
        failed: the prediction of a video whose workers died, from the video and the reason.
        reporter: shows a progress bar, and the lines of the workers.
    """
    predictions: list[Any] = []
    videos = catalog.videos
    pieces = (videos[first : first + piece] for first in range(0, len(videos), piece))
    with (
        reporter.bar("predicting", len(videos), "videos") as update,
        contextlib.closing(workers.map(pieces)) as results,
    ):
        for part, future in results:
            try:
                found, lines = future.result()
            except WorkerError as error:
                found, lines = [failed(video, str(error)) for video in part], []
            for line in lines:
                reporter.log(line)
            predictions += found
            update(len(predictions))
    return predictions
