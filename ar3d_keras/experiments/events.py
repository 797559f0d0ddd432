"""Event scores of a run on untrimmed videos with labeled stretches."""

import dataclasses
import itertools
import math
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras import atomic
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.events import Event, event_scores, mean_f1, right_seconds
from ar3d_keras.experiments.load import WEIGHTS, from_run
from ar3d_keras.inference.bouts import NOTHING, BoutOptions, own_spans
from ar3d_keras.inference.limits import check_options
from ar3d_keras.inference.predictor import Prediction, bouts_of, predict_videos
from ar3d_keras.progress import Reporter
from ar3d_keras.reports.events_page import write_events_page
from ar3d_keras.runs import RunFolder, find_run
from ar3d_keras.training import hardware
from ar3d_keras.videos.catalog import Catalog, Video
from ar3d_keras.videos.sampling import protocol
from ar3d_keras.videos.segments import stretch
from ar3d_keras.videos.stretches import Stretch, read_stretches

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
    data: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    runs_dir: str | os.PathLike[str] = "runs",
    reporter: Reporter | None = None,
    command: str = "ar3d_keras.experiments.events.evaluate_events()",
) -> dict[str, Any]:
    """Predicts the untrimmed videos of val and test and scores the stretches against the labels.

    A file whose segments are in several splits is evaluated in parts: see `parts_of_file`.

    Smoothing, minimum length and hysteresis are chosen on val from a small grid, by the mean F1
    over the overlaps 0.3, 0.5 and 0.7, then by frame accuracy; the first of equal choices counts,
    and the grid begins with no post-processing. Test is scored with the choice, once.

    Writes RUN/evaluation/events: events.json, stretches.csv, timeline.png, timeline.html.

    Args:
        run: a run folder, or a name under `runs_dir`; None: the run that was last begun.
        stretches: a CSV (path,label,start,end[,split]), whose paths are relative to its folder;
            None: the run's split.csv, if it has start and end. Without a column split a file is in
            the split of the run.
        window_seconds: the length of a window.
        hop_seconds: from the start of one window to the next; None: `window_seconds`.
        background: a class that is no event; None: that of the run, if it has one.
        clips: clips of a window.
        crops: crops of a clip, 1 or 3.
        data: where the run's videos are now, if they were moved.
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
    found = find_run(run, Path(runs_dir), needs=["split.csv", WEIGHTS])
    reporter = reporter or Console()
    file = Path(stretches) if stretches is not None else found.folder / "split.csv"
    rows = read_stretches(file)
    root = (
        file.parent
        if stretches is not None
        else found.data_root(None if data is None else Path(data))
    )
    classifier = from_run(found)
    background = background or found.config().data.background
    labels = {*classifier.class_names, background}
    for row in rows:
        if row.label not in labels:
            raise UserError(f"{file}: {row.label!r} is no class of {found.folder}")
    splits, truth = _splits(found, rows, root, file)
    truth = [event for event in truth if event.label != background]
    reporter.log_to(found.log_file)
    predictions = {}
    for split, videos in splits.items():
        catalog = Catalog(root.resolve(), videos)
        parts = sum(video.is_segment for video in videos)
        reporter.log(
            f"{split}: {len(videos)} untrimmed videos"
            + (f", {parts} of them parts of a file that is in several splits" if parts else "")
        )
        with hardware.disable_tf32():
            predictions[split] = predict_videos(
                classifier,
                catalog,
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
        "stretches": str(file),
        "window_seconds": window_seconds,
        "hop_seconds": hop,
        "background": background,
        "protocol": protocol(classifier.shape, clips=clips, crops=crops),
        "options": dataclasses.asdict(options),
        "chosen_on": f"val, the best mean F1 of {len(grid)} choices",
        **{
            split: score(predictions[split], truth, options, background)
            for split in ("val", "test")
        },
        "command": command,
        **hardware.environment_info(),
    }
    folder = found.folder / "evaluation" / "events"
    file_of = {video.key: video.path for videos in splits.values() for video in videos}
    predicted = {
        split: _by_file(
            [(p.path, events_of(p, options, background)) for p in outputs if p.segments], file_of
        )
        for split, outputs in predictions.items()
    }
    _write_stretches(folder, predicted)
    tested = {video.key for video in splits["test"]}
    labeled = [e._replace(path=file_of[e.path]) for e in truth if e.path in tested]
    write_events_page(folder, content, list(predicted["test"].items()), labeled, root.resolve())
    atomic.write_json(folder / "events.json", content)
    _log(content, options, folder, reporter)
    return content


def _splits(
    run: RunFolder, rows: Sequence[Stretch], root: Path, file: Path
) -> tuple[dict[str, tuple[Video, ...]], list[Event]]:
    """The videos of val and test, each once, and their labeled events, by `Video.key`."""
    splits: dict[str, dict[str, Video]] = {"val": {}, "test": {}}
    truth = []
    recorded = _recorded_parts(run)
    for row in rows:
        parts = recorded.get(str((root / row.path).resolve())) or recorded.get(row.path)
        if parts and len(parts) > 1:
            middle = (row.start + row.end) / 2
            part, trained = next(p for p in parts if p[0].end is None or middle < p[0].end)
            start, end = stretch(part, row.end)
            event = Event(part.key, row.label, max(start, row.start), end)
            if row.split and row.split != trained:
                raise UserError(
                    f"{file}: {row.path!r} from {row.start:g} seconds is in {row.split}, but the run "
                    f"has it in {trained or 'no split'}: leave it out"
                )
        else:
            part, trained = Video(row.path, None), parts[0][1] if parts else None
            event = Event(row.path, row.label, row.start, row.end)
        split = row.split or trained
        if split not in splits:
            continue
        if trained == "train":
            raise UserError(
                f"{file}: {row.path!r} is in {split}, but the run was trained on it: leave it out"
            )
        splits[split][part.key] = part
        truth.append(event)
    for split, videos in splits.items():
        if not videos:
            raise UserError(
                f"{file} has no {split} video: give it a column split with val, on which the "
                "timeline's options are chosen, and test"
            )
    if both := set(splits["val"]) & set(splits["test"]):
        raise UserError(f"{file}: {min(both)!r} is in val and in test")
    return {split: tuple(videos.values()) for split, videos in splits.items()}, truth


def _recorded_parts(run: RunFolder) -> dict[str, list[tuple[Video, str | None]]]:
    """What the run did with each file, by its absolute path and by its path in the data set."""
    record = run.record()
    recorded = run.split(Path(record["data"]["root"]), record["split"]["scheme"])
    rows: dict[str, list[tuple[Video, str | None]]] = defaultdict(list)
    for video, split in zip(recorded.catalog.videos, recorded.assigned, strict=True):
        rows[video.path].append((video, split))
    found = {path: parts_of_file(of_file) for path, of_file in rows.items()}
    root = recorded.catalog.root
    return found | {str((root / path).resolve()): parts for path, parts in found.items()}


def parts_of_file(
    rows: Sequence[tuple[Video, str | None]],
) -> list[tuple[Video, str | None]]:
    """Divides a file between the splits of its segments.

    Between two segments of different splits, the boundary is in the middle, so that nothing between
    segments of one split is left out, and no frame of a training segment is tested.

    Args:
        rows: the segments of a file, or the file itself, each with its split.

    Returns:
        The parts in order of time, each with its split; the file itself if it has one split.
    """
    ordered = sorted(rows, key=lambda row: row[0].start or 0.0)
    parts = [(Video(ordered[0][0].path, None), ordered[0][1])]
    reached = 0.0
    for video, split in ordered:
        start = video.start or 0.0
        if split != parts[-1][1]:
            last, of_last = parts[-1]
            boundary = start if reached >= start else round((reached + start) / 2, 3)
            parts[-1] = (dataclasses.replace(last, start=last.start or 0.0, end=boundary), of_last)
            parts.append((dataclasses.replace(last, start=boundary, end=None), split))
        reached = max(reached, math.inf if video.end is None else video.end)
    return parts


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
        background: a class that is no event.
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


def _by_file(
    found: Sequence[tuple[str, list[Event]]], file_of: dict[str, str]
) -> dict[str, list[Event]]:
    """The events of each file, those of its parts together."""
    events: dict[str, list[Event]] = {}
    for key, of_part in found:
        path = file_of[key]
        events.setdefault(path, []).extend(event._replace(path=path) for event in of_part)
    return events


def _write_stretches(folder: Path, predicted: dict[str, dict[str, list[Event]]]) -> None:
    rows = (
        (event.path, event.label, f"{event.start:.3f}", f"{event.end:.3f}", f"{event.score:.6f}", s)
        for s, videos in predicted.items()
        for events in videos.values()
        for event in events
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
