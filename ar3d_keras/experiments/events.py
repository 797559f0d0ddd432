"""Event scores of a run on untrimmed videos with labeled stretches."""

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ar3d_keras import atomic
from ar3d_keras.config import check_choice
from ar3d_keras.console import Console
from ar3d_keras.evaluation.events import Event, event_scores, mean_f1, right_seconds
from ar3d_keras.experiments.event_labels import event_labels, whole_of
from ar3d_keras.experiments.load import WEIGHTS, from_run
from ar3d_keras.inference.bouts import NOTHING, BoutOptions, own_spans
from ar3d_keras.inference.classifier import InferencePrecision
from ar3d_keras.inference.limits import check_options
from ar3d_keras.inference.predictor import Prediction, bouts_of, predict_videos
from ar3d_keras.progress import Reporter
from ar3d_keras.reports.events_page import write_events_page
from ar3d_keras.runs import RunFolder, find_run
from ar3d_keras.training import hardware
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.sampling import protocol
from ar3d_keras.videos.video import Video

# The grid: windows that smoothing and the minimum length span, and (high, low) of the hysteresis.
SMOOTHED = SHORTEST = (0, 2, 4)
THRESHOLDS = ((None, None), (0.5, 0.3), (0.7, 0.4), (0.9, 0.5))


def evaluate_events(
    run: str | os.PathLike[str] | RunFolder | None = None,
    *,
    stretches: str | os.PathLike[str] | None = None,
    window_seconds: float,
    hop_seconds: float | None = None,
    background: str | None = None,
    clips: int = 1,
    crops: int = 1,
    precision: InferencePrecision = "float32",
    data: str | os.PathLike[str] | None = None,
    segments: Literal["strict", "clip"] | None = None,
    allow_outside: bool = False,
    workers: int | None = None,
    runs_dir: str | os.PathLike[str] = "runs",
    reporter: Reporter | None = None,
    command: str = "ar3d_keras.experiments.events.evaluate_events()",
) -> dict[str, Any]:
    """Predicts the untrimmed videos of val and test and scores the stretches against the labels.

    A file whose segments are in several splits is evaluated in parts: see
    `event_labels.parts_of_file`.

    Smoothing, minimum length and hysteresis are chosen on val from a small grid, by the mean F1
    over the overlaps 0.3, 0.5 and 0.7, then by frame accuracy; the first of equal choices counts,
    and the grid begins with no post-processing. Test is scored with the choice, once.

    Writes RUN/evaluation/events: events.json, stretches.csv, timeline.png, timeline.html.

    Args:
        run: a run folder, or a name under `runs_dir`; None: the run that was last begun.
        stretches: a CSV of labeled stretches (see `label_csv`), whose paths are relative to its
            folder; None: those of the run, if it was trained on segments. Stretches may overlap.
            Without a column split a file is in the split of the run.
        window_seconds: the length of a window.
        hop_seconds: from the start of one window to the next; None: `window_seconds`.
        background: the class of the time without events; None: the background class of the run, if any.
        clips: clips of a window.
        crops: crops of a clip, 1 or 3.
        precision: what the network computes in. The report of bfloat16 has a folder of its own.
        data: where the run's videos are now, if they were moved.
        segments: strict refuses a stretch that ends beyond its file, clip cuts it; None: as the
            run was trained.
        allow_outside: whether `stretches` may name videos outside its folder.
        workers: decoding threads; None: one per core.
        runs_dir: the folder of all runs.
        reporter: shows progress; None: prints it.
        command: for the record.

    Returns:
        The content of events.json: options, and val and test with iou ("0.3", "0.5", "0.7":
        precision, recall, f1 and counts) and frame_accuracy.

    Raises:
        UserError: there is no such run, a row of the CSV is wrong, or val or test has no video.
    """
    check_options(
        clips=clips, crops=crops, window_seconds=window_seconds, hop_seconds=hop_seconds
    )  # fmt: skip
    check_choice("precision", precision, InferencePrecision)
    found = find_run(run, Path(runs_dir), needs=["split.csv", WEIGHTS])
    reporter = reporter or Console()
    classifier = from_run(found, precision)
    background = background or found.config().data.background
    labeled = event_labels(
        found,
        labels={*classifier.class_names, background},
        background=background,
        stretches=None if stretches is None else Path(stretches),
        data=None if data is None else Path(data),
        segments=segments,
        allow_outside=allow_outside,
        workers=workers,
        reporter=reporter,
    )
    truth = labeled.events
    reporter.log_to(found.log_file)
    predictions = {}
    for split, videos in labeled.videos.items():
        parts = sum(video.is_segment for video in videos)
        reporter.log(
            f"{split}: {len(videos)} untrimmed videos"
            + (f", {parts} of them parts of a file that is in several splits" if parts else "")
        )
        with hardware.disable_tf32():
            predictions[split] = predict_videos(
                classifier,
                Catalog(labeled.root, videos),
                clips=clips,
                crops=crops,
                window_seconds=window_seconds,
                hop_seconds=hop_seconds,
                workers=workers,
                reporter=reporter,
            )
    hop = hop_seconds or window_seconds
    grid = [
        BoutOptions(smooth * hop, shortest * hop, high, low)
        for (high, low), smooth, shortest in itertools.product(THRESHOLDS, SMOOTHED, SHORTEST)
    ]
    options = max(grid, key=lambda each: _rank(score(predictions["val"], truth, each, background)))
    content = {
        "run": str(found.folder),
        "stretches": str(labeled.source),
        "window_seconds": window_seconds,
        "hop_seconds": hop,
        "background": background,
        "protocol": protocol(classifier.shape, clips=clips, crops=crops, precision=precision),
        "options": asdict(options),
        "chosen_on": f"val, the best mean F1 of {len(grid)} choices",
        **{
            split: score(predictions[split], truth, options, background)
            for split in ("val", "test")
        },
        "command": command,
        "precision": precision,
        **hardware.environment_info(),
    }
    folder = found.evaluation("events", precision=precision)
    predicted = {
        split: [(p.path, events_of(p, options, background)) for p in outputs if p.segments]
        for split, outputs in predictions.items()
    }
    whole = {v.key: whole_of(v) for videos in labeled.videos.values() for v in videos}
    _write_stretches(folder, predicted, whole)
    tested = _by_video(predicted["test"], whole)
    shown = [(v.key, labeled.root / v.path, found_events) for v, found_events in tested]
    keys = {video.key for video in labeled.videos["test"]}
    truth = [event._replace(path=whole[event.path].key) for event in truth if event.path in keys]
    write_events_page(folder, content, shown, truth)
    atomic.write_json(folder / "events.json", content)
    _log(content, options, folder, reporter)
    return content


def events_of(
    prediction: Prediction, options: BoutOptions, background: str | None = None
) -> list[Event]:
    """The predicted events of a video: its stretches with a class that is not the background."""
    return [
        Event(
            prediction.path,
            prediction.class_names[bout.place],
            bout.start,
            bout.end,
            bout.probability,
        )
        for bout in bouts_of(prediction, options)
        if bout.place != NOTHING and prediction.class_names[bout.place] != background
    ]


def score(
    predictions: Sequence[Prediction],
    truth: Sequence[Event],
    options: BoutOptions,
    background: str | None = None,
) -> dict[str, Any]:
    """Scores the stretches of videos: videos, seconds, frame_accuracy and iou.

    Args:
        predictions: window by window; labels of other videos are not counted.
        truth: the labeled events.
        options: how windows become stretches.
        background: the class of the time without events.
    """
    # A video that cannot be decoded stays in the denominator: its events are missed.
    paths = {prediction.path for prediction in predictions}
    labeled = [event for event in truth if event.path in paths]
    found = {p.path: events_of(p, options, background) for p in predictions}
    right = seconds = 0.0
    for prediction in predictions:
        if not prediction.segments:
            continue
        spans, _ = own_spans(np.array([(s.start, s.end) for s in prediction.segments], float))
        of_video = [event for event in labeled if event.path == prediction.path]
        agreeing, covered = right_seconds(
            found[prediction.path], of_video, list(map(tuple, spans.tolist()))
        )
        right, seconds = right + agreeing, seconds + covered
    return {
        "videos": len(paths),
        "failed_videos": sum(not p.segments for p in predictions),
        "seconds": seconds,
        "frame_accuracy": right / seconds if seconds else None,
        "iou": event_scores([event for events in found.values() for event in events], labeled),
    }


def _rank(scores: dict[str, Any]) -> tuple[float, float]:
    # Rounded, so that a difference in the last digits does not beat a simpler choice.
    return round(mean_f1(scores["iou"]), 9), round(scores["frame_accuracy"] or 0.0, 9)


def _by_video(
    predicted: Sequence[tuple[str, list[Event]]], whole: Mapping[str, Video]
) -> list[tuple[Video, list[Event]]]:
    """The events of each untrimmed video, those of its parts together."""
    found: dict[str, tuple[Video, list[Event]]] = {}
    for key, events in predicted:
        video = whole[key]
        found.setdefault(video.key, (video, []))[1].extend(events)
    return list(found.values())


def _write_stretches(
    folder: Path,
    predicted: Mapping[str, Sequence[tuple[str, list[Event]]]],
    whole: Mapping[str, Video],
) -> None:
    rows = (
        (video.key, e.label, f"{e.start:.3f}", f"{e.end:.3f}", f"{e.score:.6f}", split)
        for split, of_split in predicted.items()
        for video, events in _by_video(of_split, whole)
        for e in events
    )
    header = ["path", "label", "start", "end", "probability", "split"]
    atomic.write_csv(folder / "stretches.csv", header, rows)


def _log(content: dict[str, Any], options: BoutOptions, folder: Path, reporter: Reporter) -> None:
    chosen = {
        "--smooth-seconds": options.smooth_seconds,
        "--min-seconds": options.min_seconds,
        "--high-threshold": options.high,
        "--low-threshold": options.low,
    }
    flags = " ".join(f"{flag} {value:g}" for flag, value in chosen.items() if value)
    reporter.log(f"chosen on val: {flags or 'no post-processing'}")
    for split in ("val", "test"):
        scores = content[split]
        f1 = "   ".join(
            f"F1@{iou} " + ("none" if each["f1"] is None else f"{each['f1']:.3f}")
            for iou, each in scores["iou"].items()
        )
        accuracy = scores["frame_accuracy"]
        shown = "none" if accuracy is None else f"{accuracy:.3f}"
        reporter.log(f"{split:<5} {f1}   frame accuracy {shown}   {scores['videos']} videos")
    reporter.log(f"      {folder / 'timeline.html'}")
