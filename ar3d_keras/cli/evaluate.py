"""Evaluate a trained network on a split: metrics, confusion matrix, one HTML report.

python evaluate.py --split val                  the latest run
python evaluate.py --split test --run NAME --clips 10 --crops 3
python evaluate.py --events --window-seconds 2 --stretches labels.csv    events in untrimmed videos
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ar3d_keras.cli.backend import start_backend
from ar3d_keras.cli.options import check_run, command, parse, typed_names
from ar3d_keras.config import Count
from ar3d_keras.errors import UserError


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Which run, which videos, and how they are sampled."""

    split: Literal["train", "val", "test"] = "test"
    """The split to evaluate."""
    run: str | None = None
    """A run folder, or a name under RUNS_DIR. Default: the run that was last begun."""
    runs_dir: Path = Path("runs")
    """The folder of all runs."""
    data: Path | None = None
    """Where the run's data set is now (folder, CSV or a pack of it), if it was moved."""
    clips: int = 1
    """Clips per video, evenly spread; their probabilities are averaged."""
    crops: Literal[1, 3] = 1
    """Crops per clip: the center, or both ends of the longer side too."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What the network computes in. The report of bfloat16 has a folder of its own."""
    events: bool = False
    """Score stretches of untrimmed videos (val and test) in place of a split of clips."""
    stretches: Path | None = None
    """Events: a CSV (path,label,start,end[,split]) of labeled stretches. Default: the segments that the run was trained on."""
    window_seconds: float | None = None
    """Events: predict each window of this many seconds."""
    hop_seconds: float | None = None
    """Events: seconds from the start of one window to the start of the next. Default: WINDOW_SECONDS."""
    background: str | None = None
    """Events: the class of the time without events. Default: the `background` of the run."""
    segments: Literal["strict", "clip"] | None = None
    """Events: `strict` refuses stretches that end beyond their file, `clip` cuts them. Default: as the run was trained."""
    allow_outside: bool = False
    """Events: the CSV may name videos outside its folder."""
    workers: int | None = None
    """Decoding threads. Default: one per CPU core."""
    devices: Count | Literal["all"] = 1
    """GPUs (or, without one, CPU devices) of this machine that predict, a number or `all`; the last bits depend on it."""


OPTIONS = EvaluateOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct."""
    options = parse(EvaluateOptions, arguments, verb="evaluate", text=__doc__)
    _validate(options, typed_names(arguments))
    check_run(options.run, options.runs_dir)
    start_backend()
    if options.events:
        from ar3d_keras.experiments.events import evaluate_events

        assert options.window_seconds is not None, "_validate checks it"
        evaluate_events(
            options.run,
            stretches=options.stretches,
            window_seconds=options.window_seconds,
            hop_seconds=options.hop_seconds,
            background=options.background,
            clips=options.clips,
            crops=options.crops,
            precision=options.precision,
            data=options.data,
            segments=options.segments,
            allow_outside=options.allow_outside,
            workers=options.workers,
            runs_dir=options.runs_dir,
            command=command("evaluate", arguments),
        )
        return
    from ar3d_keras.experiments.evaluate import evaluate_split

    evaluate_split(
        options.run,
        options.split,
        clips=options.clips,
        crops=options.crops,
        precision=options.precision,
        data=options.data,
        workers=options.workers,
        devices=options.devices,
        runs_dir=options.runs_dir,
        command=command("evaluate", arguments),
    )


def _validate(options: EvaluateOptions, typed: Collection[str]) -> None:
    """Raises if the options of events contradict each other or are out of range."""
    from ar3d_keras.inference.limits import check_options

    if options.events:
        if options.window_seconds is None:
            raise UserError("`events` needs `window_seconds`: the length of a window")
        if "split" in typed:
            raise UserError(
                "`split` cannot be combined with `events`, which evaluates val and test"
            )
        check_options(
            clips=options.clips,
            window_seconds=options.window_seconds,
            hop_seconds=options.hop_seconds,
        )
        return
    for name in ("stretches", "window_seconds", "hop_seconds", "background", "segments"):
        if getattr(options, name) is not None:
            raise UserError(f"`{name}` needs `events`")
    if options.allow_outside:
        raise UserError("`allow_outside` needs `events`")
