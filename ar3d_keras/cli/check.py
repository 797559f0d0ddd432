"""Decode every video of a data set once: what fails, what it consists of, near-duplicates, leaks.

ar3d check --data data/UCF-101
ar3d check --data data/mine --html data-report              also a page and two CSV files
ar3d check --data data/mine --split-scheme group            is a test video a copy of a training video?
ar3d check --data data/mine --skip data-report/skip.csv     without the videos that failed before
ar3d check --data PACK                                      reads every byte, compares checksums
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ar3d_keras.cli.options import command, parse
from ar3d_keras.config import Scheme


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Which videos, which split, and where the report goes."""

    data: Path
    """A folder of class folders, a CSV, a folder with a labels.csv in it, or a pack."""
    html: Path | None = None
    """Write the data report: a folder, or an .html file. CSV files are written beside it."""
    split_scheme: Scheme | None = None
    """The split to look for leaks in. Default: the data's own split, if it has one."""
    group_by: str | None = None
    """As in train.py: the rule that finds the recording of each video."""
    split_by: str | None = None
    """The column of the CSV for the schemes column, logo and date."""
    split_lists: Path | None = None
    """The folder of UCF-101's or HMDB-51's official lists."""
    fold: int | None = None
    """The fold that tests, from 1, for kfold, logo and random."""
    folds: int | None = None
    """The number of folds, for kfold and random."""
    seed: int = 0
    """Seed of the split."""
    run: str | None = None
    """Look for leaks in the split of this run: its folder, or a name under RUNS_DIR."""
    runs_dir: Path = Path("runs")
    """The folder of all runs."""
    segments: Literal["strict", "clip"] = "strict"
    """As in train.py: `strict` refuses segments that end beyond their file or overlap one of another class, `clip` cuts them."""
    skip: Path | None = None
    """Leave out the videos that this CSV names in its column path, such as skip.csv of an earlier report."""
    allow_outside: bool = False
    """A CSV may name videos outside its folder."""
    frames: int = 16
    """Frames of a clip: a video with fewer counts as too short."""
    decode_seconds: float = 60.0
    """Seconds after which a decoder without progress is stopped. The limit for a whole file is 30 times as long."""
    decode_memory: float = 4.0
    """Gigabytes of memory for the decoding of one file (Linux and macOS)."""
    workers: int | None = None
    """Processes that decode, or Ray workers with --on. Default: one per CPU core."""
    on: str | None = None
    """Decode on a Ray cluster: `ray` (that of RAY_ADDRESS, else a local one) or ray://HOST:PORT. Default: on this machine."""


OPTIONS = CheckOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError if any video cannot be decoded, after logging each."""
    options = parse(CheckOptions, arguments, verb="check", text=__doc__)
    from ar3d_keras.experiments.check import check

    check(
        options.data,
        html=options.html,
        split_scheme=options.split_scheme,
        group_by=options.group_by,
        split_by=options.split_by,
        split_lists=options.split_lists,
        fold=options.fold,
        folds=options.folds,
        seed=options.seed,
        run=options.run,
        runs_dir=options.runs_dir,
        segments=options.segments,
        skip=options.skip,
        allow_outside=options.allow_outside,
        frames=options.frames,
        decode_seconds=options.decode_seconds,
        decode_memory=options.decode_memory,
        workers=options.workers,
        on=options.on,
        command=command("check", arguments),
    )
