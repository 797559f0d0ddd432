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

from ar3d_keras.atomic import fitting_name, in_the_way
from ar3d_keras.cli.backend import start_backend
from ar3d_keras.cli.options import check_run, parse
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError

if TYPE_CHECKING:
    from ar3d_keras.inference.bouts import BoutOptions
    from ar3d_keras.inference.classifier import Classifier
    from ar3d_keras.inference.predictor import Prediction
    from ar3d_keras.videos.camera import Camera
    from ar3d_keras.videos.catalog import Catalog

OVERLAYS = (".mp4", ".avi")
BLOCKS = "▏▎▍▌▋▊▉█"
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
    """Decoding threads. Default: one per core."""
    batch_size: int | None = None
    """Clips a step. Default: the batch size of evaluate.py; the last bits of a probability depend on it."""
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
        overlays = _overlays(options, catalog)
        for note in catalog.notes:
            Console(stderr=True).log(note)
        with _float32(_open(options)) as classifier:
            _on_files(options, catalog, overlays, classifier, workers)
    else:
        from ar3d_keras.videos.camera import Camera

        log = Console(stderr=True).log
        with (
            Camera(options.camera, threads=workers, log=log) as camera,
            _float32(_open(options)) as classifier,
        ):
            _live(options, camera, classifier)


@contextlib.contextmanager
def _float32(classifier: "Classifier") -> Iterator["Classifier"]:
    """Inside, GPUs compute in float32, as evaluation does."""
    from ar3d_keras.training import hardware

    with hardware.disable_tf32():
        yield classifier


def _validate(options: PredictOptions) -> None:
    """Raises if options contradict each other or are out of range."""
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
    overlay = options.overlay
    if overlay and overlay.suffix.lower() not in ("", *OVERLAYS) and not overlay.is_dir():
        raise UserError(f"`overlay` must end in .mp4 or .avi, or be a folder, not {overlay}")


def _bouts(options: PredictOptions) -> "BoutOptions":
    """How the windows become the stretches of a timeline."""
    from ar3d_keras.inference.bouts import BoutOptions

    return BoutOptions(
        options.smooth_seconds or 0.0,
        options.min_seconds or 0.0,
        options.high_threshold,
        options.low_threshold,
    )


def _overlays(options: PredictOptions, catalog: "Catalog") -> list[Path]:
    """Returns the overlay file of each video; empty without --overlay."""
    if options.overlay is None:
        return []
    if options.overlay.suffix.lower() in OVERLAYS and not options.overlay.is_dir():
        if len(catalog) > 1:
            raise UserError(
                f"`overlay` {options.overlay} is one file, but there are {len(catalog)} videos: "
                "give a folder"
            )
        files = [options.overlay]
    else:
        names: dict[str, None] = {}
        for video in catalog.videos:
            stem = Path(video.path).stem + (f"-{video.start or 0:g}" if video.is_segment else "")
            stem = name = fitting_name(stem, "-999.mp4").removesuffix("-999.mp4")
            number = 2
            while name in names:
                name, number = f"{stem}-{number}", number + 1
            names[name] = None
        files = [options.overlay / f"{name}.mp4" for name in names]
    videos = {(catalog.root / video.path).resolve() for video in catalog.videos}
    for file in files:
        if blocker := in_the_way(file.parent):
            raise UserError(
                f"`overlay` {file} cannot be written because {blocker} is a file: choose another"
            )
        if file.resolve() in videos:
            raise UserError(f"`overlay` {file} would overwrite the video itself: choose another")
    return files


def _open(options: PredictOptions) -> "Classifier":
    """Loads the network, in float32."""
    if options.saved_model:
        from ar3d_keras.inference.saved_model import find_version

        find_version(options.saved_model)
    else:
        check_run(options.run, options.runs_dir, needs=["checkpoints/best.keras"])
    start_backend()
    from ar3d_keras.experiments.load import open_classifier

    return open_classifier(options.run, options.saved_model, options.runs_dir)


def _on_files(
    options: PredictOptions,
    catalog: "Catalog",
    overlays: Sequence[Path],
    classifier: "Classifier",
    workers: int,
) -> None:
    from ar3d_keras.inference.formatting import as_csv, as_json, as_labels
    from ar3d_keras.inference.predictor import predict_videos
    from ar3d_keras.videos.isolation import Isolation, Limits
    from ar3d_keras.videos.parts import part_of
    from ar3d_keras.videos.reader import ReadError
    from ar3d_keras.videos.sampling import protocol

    notes = Console(stderr=True)
    if overlays:
        from ar3d_keras.reports.overlay import check_explainable, write_overlay

        check_explainable(classifier, options.window_seconds)
    views: dict[str, Any] = {"clips": options.clips, "crops": options.crops}
    sampling = protocol(classifier.shape, **views)
    notes.log(f"network {classifier.origin}, {len(classifier.class_names)} classes, {sampling}")
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
        reporter=notes,
    )
    if options.json or options.format == "json":
        settings = {"protocol": sampling, **windows}
        _write(as_json(classifier, predictions, settings=settings, bouts=_bouts(options)))
    elif options.csv or options.format == "csv":
        _write(as_csv(predictions))
    elif options.format:
        _write(as_labels(options.format, predictions, catalog.root, _bouts(options)))
    else:
        _log(predictions, _bouts(options))
    written = failed = 0
    with Isolation(Limits()) as isolation:
        for video, prediction, file in zip(catalog.videos, predictions, overlays, strict=False):
            if prediction.failure:
                continue
            try:
                part = part_of(catalog.root, video, threads=workers, isolation=isolation)
                write_overlay(
                    classifier, prediction, part, file, **windows, threads=workers, reporter=notes
                )
            except ReadError as error:  # a frame outside the clips cannot be decoded
                notes.log(f"no overlay of {prediction.path!r}: {error}")
            except (UserError, OSError) as error:  # the file cannot be written
                if len(overlays) == 1:
                    raise
                failed += 1
                notes.log(f"no overlay of {prediction.path!r}: {error}")
            else:
                written += 1
                notes.log(f"overlay  {prediction.path} -> {file}")
    if written:
        from ar3d_keras.reports.fonts import legend

        for label, name in legend(classifier.class_names):
            notes.log(f"overlay  {label} is {name!r}: no installed font has its letters")
    if failed and not written:
        raise UserError("no overlay could be written; the reasons are named above")


def _write(document: bytes) -> None:
    rest = memoryview(document)
    while rest:  # an unbuffered stream (PYTHONUNBUFFERED) may write only a part
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.flush()


def _log(predictions: "Sequence[Prediction]", bouts: "BoutOptions") -> None:
    """Prints each video with its likeliest classes and its timeline."""
    from ar3d_keras.inference.predictor import merged

    out = Console()
    for prediction in predictions:
        if prediction.failure:
            continue
        out.log(prediction.path)
        for name, share in prediction.top():
            out.log(f"  {share:6.1%}  {_bar(share)}  {name}")
        _log_calibrated(prediction, out)
        if prediction.segments:
            out.log("")
        for start, end, name, share in merged(prediction, bouts):
            out.log(f"  {_clock(start)} - {_clock(end)}  {share:6.1%}  {name}")


def _log_calibrated(prediction: "Prediction", out: Console) -> None:
    """Prints the calibrated probability of the likeliest class where a threshold is applied to it."""
    from ar3d_keras.inference.calibration import NONE_OF_THESE

    if prediction.accepted is None:
        return
    assert prediction.calibrated is not None and prediction.probabilities is not None
    share = prediction.calibrated[prediction.probabilities.argmax()]
    out.log(f"  {share:6.1%}  calibrated, for {prediction.top(1)[0][0]}")
    if not prediction.accepted:
        out.log(f"  -> {NONE_OF_THESE}: that is too uncertain")


def _live(options: PredictOptions, camera: "Camera", classifier: "Classifier") -> None:
    """Prints a line for each window, until the stream ends or Ctrl-C."""
    from datetime import datetime

    from ar3d_keras.inference.calibration import NONE_OF_THESE
    from ar3d_keras.inference.live import watch
    from ar3d_keras.inference.predictor import is_accepted, likeliest

    out = Console()
    Console(stderr=True).log(
        f"network {classifier.origin}, {len(classifier.class_names)} classes: the first prediction "
        "comes when a window is full"
    )
    predictions = watch(
        classifier,
        camera,
        seconds=options.window_seconds,
        hop=options.hop_seconds,
        clips=options.clips,
        crops=options.crops,
        batch_size=options.batch_size,
    )
    for prediction in predictions:
        [(name, share)] = likeliest(classifier.class_names, prediction.probabilities, 1)
        accepted = is_accepted(
            classifier.calibration, classifier.class_names, prediction.probabilities
        )
        name = f"{NONE_OF_THESE} ({name})" if accepted is False else name
        rate = f"{prediction.rate:5.1f} frames/s" if prediction.rate else " " * 14
        out.log(f"{datetime.now():%H:%M:%S}  {share:6.1%}  {_bar(share)}  {rate}  {name}")
    Console(stderr=True).log("the stream has ended")


def _bar(share: float, width: int = 20) -> str:
    """Returns a bar of blocks with a resolution of an eighth, padded to `width`.

    If standard output cannot encode blocks, the bar is made of "#".
    """
    try:
        BLOCKS.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return ("#" * round(share * width)).ljust(width)
    whole, eighths = divmod(round(share * width * 8), 8)
    return (BLOCKS[-1] * whole + (BLOCKS[eighths - 1] if eighths else "")).ljust(width)


def _clock(seconds: float) -> str:
    """Formats a time as h:mm:ss, with tenths of a second if they are not 0."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    clock = f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}"
    return clock + (f".{rest % 10}" if rest % 10 else "")
