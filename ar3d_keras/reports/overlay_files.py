"""Writes the overlays of many videos; one that cannot be written does not stop the others."""

from collections.abc import Sequence
from pathlib import Path

from ar3d_keras.errors import UserError
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.predictor import Prediction
from ar3d_keras.progress import Reporter
from ar3d_keras.reports.fonts import legend
from ar3d_keras.reports.overlay import write_overlay
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.isolation import Isolation, Limits
from ar3d_keras.videos.parts import part_of
from ar3d_keras.videos.reader import ReadError


def write_overlays(
    classifier: Classifier,
    catalog: Catalog,
    predictions: Sequence[Prediction],
    files: Sequence[Path],
    *,
    window_seconds: float | None,
    hop_seconds: float | None,
    threads: int,
    reporter: Reporter,
) -> None:
    """Writes the overlay of each predicted video.

    Args:
        classifier: the network that made the predictions.
        catalog: the videos.
        predictions: one for each video.
        files: one for each video, see `overlay_names`.
        window_seconds: see `write_overlay`.
        hop_seconds: see `write_overlay`.
        threads: decoding threads.
        reporter: logs what is written, and each video without an overlay.

    Raises:
        UserError: the only file, or none of several, could be written.
    """
    written = failed = 0
    with Isolation(Limits()) as isolation:
        for video, prediction, file in zip(catalog.videos, predictions, files, strict=True):
            if prediction.failure:
                continue
            try:
                write_overlay(
                    classifier,
                    prediction,
                    part_of(catalog.root, video, threads=threads, isolation=isolation),
                    file,
                    window_seconds=window_seconds,
                    hop_seconds=hop_seconds,
                    threads=threads,
                    reporter=reporter,
                )
            except ReadError as error:  # a frame outside the clips cannot be decoded
                reporter.log(f"no overlay of {prediction.path!r}: {error}")
            except (UserError, OSError) as error:  # the file cannot be written
                if len(files) == 1:
                    raise
                failed += 1
                reporter.log(f"no overlay of {prediction.path!r}: {error}")
            else:
                written += 1
                reporter.log(f"overlay  {prediction.path} -> {file}")
    if written:
        for label, name in legend(classifier.class_names):
            reporter.log(f"overlay  {label} is {name!r}: no installed font has its letters")
    if failed and not written:
        raise UserError("no overlay could be written; the reasons are named above")
