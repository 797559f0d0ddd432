"""Predict the actions in videos: the five likeliest classes and their probabilities.

ar3d predict VIDEO                              with the latest run
ar3d predict FOLDER MORE.mp4 --run NAME --json > predictions.json
ar3d predict ARCHIVE --csv --journal done.jsonl > predictions.csv    the same command continues after a stop
ar3d predict LONG.mp4 --window-seconds 10       a timeline
ar3d predict LONG.mp4 --window-seconds 10 --format boris > predictions.boris    to correct in BORIS
ar3d predict VIDEO --overlay out.mp4            shows where the network looks
ar3d predict --camera 0                         live; also rtsp://... and http://...

A video that cannot be predicted or drawn is named, and the others go on. The exit code is 0 if at
least one video was predicted; it is 2 if none was, or if no overlay file could be written.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ar3d_keras.cli.backend import start_backend
from ar3d_keras.cli.options import check_run, parse
from ar3d_keras.config import Count
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError

if TYPE_CHECKING:
    from ar3d_keras.inference.bouts import BoutOptions
    from ar3d_keras.inference.classifier import Classifier
    from ar3d_keras.videos.camera import Camera
    from ar3d_keras.videos.catalog import Catalog

TIMELINES = ("boris", "label-studio", "vtt")
EXCLUSIVE = (
    ("PATH", "--camera"),
    ("--json", "--camera"),
    ("--csv", "--camera"),
    ("--overlay", "--camera"),
    ("--json", "--csv"),
    ("--format", "--json"),
    ("--format", "--csv"),
    ("--format", "--camera"),
    ("--run", "--saved-model"),
    ("--journal", "--camera"),
    ("--on", "--camera"),
    ("--devices", "--on"),
    ("--devices", "--overlay"),
    ("--devices", "--camera"),
    ("--devices", "--saved-model"),
)


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """The videos, the network and the form of the output."""

    paths: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PATH ...")] = ()
    """Video files, folders of frames, folders of videos at any depth."""
    run: str | None = None
    """A run folder, a name under RUNS_DIR, or a .keras file. Default: the latest run that has weights."""
    saved_model: Path | None = None
    """A SavedModel to use in place of a run: a version folder, or the folder of the versions."""
    runs_dir: Path = Path("runs")
    """The folder of the runs."""
    clips: int = 1
    """Clips of each video, evenly spread in time; their probabilities are averaged."""
    crops: Literal[1, 3] = 1
    """Crops of each clip: the center, or the center and both ends of the longer side."""
    json: bool = False
    """Write one JSON document to standard output, and nothing else."""
    csv: bool = False
    """Write one CSV table to standard output, and nothing else."""
    format: Literal["boris", "label-studio", "csv", "json", "vtt"] | None = None
    """Write one document to standard output, and nothing else: a BORIS project, Label Studio predictions, a WebVTT file, or as --csv and --json."""
    overlay: Path | None = None
    """A video to write (.mp4, .avi), which shows the class and where the network looks. For several videos: a folder."""
    camera: str | None = None
    """The number of a camera, or the address of a stream, to predict live."""
    window_seconds: float | None = None
    """Predict each window of this many seconds. Memory does not grow with the length of the video."""
    hop_seconds: float | None = None
    """Seconds from the start of one window to the start of the next. Default: WINDOW_SECONDS."""
    smooth_seconds: float | None = None
    """Timeline: average the probabilities of a window over this many seconds around it."""
    min_seconds: float | None = None
    """Timeline: a shorter stretch becomes a part of its longer neighbor."""
    high_threshold: float | None = None
    """Timeline: a stretch of a class needs a window of at least this probability; outside, "none of these"."""
    low_threshold: float | None = None
    """Timeline: the other windows of a stretch need at least this probability. Default: HIGH_THRESHOLD."""
    workers: int | None = None
    """Decoding threads. Default: one per core. With --on: Ray workers. Default: one per GPU, or per machine without GPUs."""
    devices: Count | Literal["all"] = 1
    """GPUs (or, without one, CPU devices) of this machine that predict, a number or `all`; the last bits depend on it."""
    on: str | None = None
    """Predict on a Ray cluster: `ray` (that of RAY_ADDRESS, else a local one) or ray://HOST:PORT. Default: in this process."""
    batch_size: int | None = None
    """Clips a step. Default: the batch size of evaluate.py; the last bits of a probability depend on it."""
    precision: Literal["float32", "bfloat16"] | None = None
    """What the network computes in. Default: float32, or what a SavedModel was exported in."""
    journal: Path | None = None
    """For many videos: keep the predictions in this file as they are made. The same command again continues after those."""


OPTIONS = PredictOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for mistakes that the user can correct."""
    options = parse(PredictOptions, arguments, verb="predict", text=__doc__)
    _validate(options)
    # Checks everything that needs no network before it loads one.
    from ar3d_keras.videos.reader import decoding_threads
    from ar3d_keras.videos.unlabelled import find_videos

    workers = decoding_threads(options.workers)
    if options.camera is None:
        catalog = find_videos(options.paths)
        if options.format == "vtt" and len(catalog) > 1:
            raise UserError(
                f"`format` vtt is for one video, not {len(catalog)}: give one at a time"
            )
        overlays: list[Path] = []
        if options.overlay is not None:
            from ar3d_keras.reports.overlay_names import overlay_names

            overlays = overlay_names(options.overlay, catalog)
        for note in catalog.notes:
            Console(stderr=True).log(note)
        with _opened(options) as classifier:
            _on_files(options, catalog, overlays, classifier, workers)
    else:
        from ar3d_keras.videos.camera import Camera

        log = Console(stderr=True).log
        with (
            Camera(options.camera, threads=workers, log=log) as camera,
            _opened(options) as classifier,
        ):
            _live(options, camera, classifier)


def _validate(options: PredictOptions) -> None:
    """Raises if options contradict each other or are out of range."""
    from ar3d_keras.distributed.workers import check_on
    from ar3d_keras.inference.limits import check_options

    given = {
        "PATH": bool(options.paths),
        "--camera": options.camera is not None,
        "--json": options.json,
        "--csv": options.csv,
        "--format": options.format is not None,
        "--overlay": options.overlay is not None,
        "--run": options.run is not None,
        "--saved-model": options.saved_model is not None,
        "--journal": options.journal is not None,
        "--on": options.on is not None,
        "--devices": options.devices != 1,
    }
    for one, other in EXCLUSIVE:
        if given[one] and given[other]:
            raise UserError(f"{one} and {other} cannot be used together: leave one of them out")
    check_options(
        clips=options.clips,
        batch_size=options.batch_size,
        window_seconds=options.window_seconds,
        hop_seconds=options.hop_seconds,
        live=options.camera is not None,
    )
    check_on(options.on)
    _bouts(options).validate()
    for name in ("smooth_seconds", "min_seconds", "high_threshold", "low_threshold"):
        if getattr(options, name) is not None and (
            options.window_seconds is None or options.camera is not None
        ):
            raise UserError(f"`{name}` needs `window_seconds` and files: it shapes their timeline")
    if options.format in TIMELINES and options.window_seconds is None:
        raise UserError(
            f"`format` {options.format} writes stretches of time: give `window_seconds` too"
        )
    if options.overlay is not None:
        from ar3d_keras.reports.overlay_names import check_overlay

        check_overlay(options.overlay)


def _bouts(options: PredictOptions) -> "BoutOptions":
    """How the windows become the stretches of a timeline."""
    from ar3d_keras.inference.bouts import BoutOptions

    return BoutOptions(
        options.smooth_seconds or 0.0,
        options.min_seconds or 0.0,
        options.high_threshold,
        options.low_threshold,
    )


@contextlib.contextmanager
def _opened(options: PredictOptions) -> Iterator["Classifier"]:
    """Loads the network. Inside, GPUs compute float32 without TensorFloat-32, as evaluation does."""
    if options.saved_model:
        from ar3d_keras.inference.saved_model import find_version

        find_version(options.saved_model)
    else:
        check_run(options.run, options.runs_dir, needs=["checkpoints/best.keras"])
    start_backend()
    from ar3d_keras.devices import number_of, using
    from ar3d_keras.experiments.load import open_classifier
    from ar3d_keras.training import hardware

    with using(number_of(options.devices)), hardware.disable_tf32():
        yield open_classifier(options.run, options.saved_model, options.runs_dir, options.precision)


def _on_files(
    options: PredictOptions,
    catalog: "Catalog",
    overlays: Sequence[Path],
    classifier: "Classifier",
    workers: int,
) -> None:
    from ar3d_keras.experiments.load import reopening
    from ar3d_keras.inference.formatting import as_csv, as_json, as_labels
    from ar3d_keras.inference.predictor import predict_videos
    from ar3d_keras.videos.sampling import protocol

    notes = Console(stderr=True)
    if overlays:
        from ar3d_keras.reports.overlay import check_explainable
        from ar3d_keras.reports.overlay_files import write_overlays

        check_explainable(classifier, options.window_seconds)
    views: dict[str, Any] = {"clips": options.clips, "crops": options.crops}
    sampling = protocol(classifier.shape, **views, precision=classifier.precision)
    classes = len(classifier.class_names)
    notes.log(f"network {classifier.origin}, {classes} classes, {sampling}")
    windows: dict[str, Any] = {
        "window_seconds": options.window_seconds,
        "hop_seconds": options.hop_seconds or options.window_seconds,
    }
    predictions = predict_videos(
        classifier,
        catalog,
        **views,
        **windows,
        workers=workers,
        batch_size=options.batch_size,
        journal=options.journal,
        on=options.on,
        reopen=reopening(classifier, options.run, options.saved_model),
        reporter=notes,
    )
    if options.json or options.format == "json":
        settings = {"protocol": sampling, **windows}
        _write(as_json(classifier, predictions, settings=settings, bouts=_bouts(options)))
    elif options.csv or options.format == "csv":
        _write(as_csv(predictions, classifier.precision))
    elif options.format:
        _write(as_labels(options.format, predictions, catalog.root, _bouts(options)))
    else:
        from ar3d_keras.cli.predict_text import log_predictions

        log_predictions(predictions, _bouts(options))
    if overlays:
        write_overlays(
            classifier, catalog, predictions, overlays, **windows, threads=workers, reporter=notes
        )


def _write(document: bytes) -> None:
    rest = memoryview(document)
    while rest:  # an unbuffered stream (PYTHONUNBUFFERED) may write only a part
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.flush()


def _live(options: PredictOptions, camera: "Camera", classifier: "Classifier") -> None:
    """Prints a line for each window, until the stream ends or Ctrl-C."""
    from ar3d_keras.cli.predict_text import log_live
    from ar3d_keras.inference.live import watch

    notes = Console(stderr=True)
    notes.log(
        f"network {classifier.origin}, {len(classifier.class_names)} classes"
        f"{_rough(classifier)}: the first prediction comes when a window is full"
    )
    for prediction in watch(
        classifier,
        camera,
        seconds=options.window_seconds,
        hop=options.hop_seconds,
        clips=options.clips,
        crops=options.crops,
        batch_size=options.batch_size,
    ):
        log_live(prediction, classifier)
    notes.log("the stream has ended")


def _rough(classifier: "Classifier") -> str:
    """Names a precision that is not float32."""
    return "" if classifier.precision == "float32" else f", computed in {classifier.precision}"
