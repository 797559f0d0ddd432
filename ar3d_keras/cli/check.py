"""Decode every video of a data set once: what fails, what it consists of, near-duplicates, leaks.

ar3d check --data data/UCF-101
ar3d check --data data/mine --html data-report              also a page and two CSV files
ar3d check --data data/mine --split-scheme group            is a test video a copy of a training video?
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
    workers: int | None = None
    """Decoding threads. Default: one per CPU core."""


OPTIONS = CheckOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError if any video cannot be decoded, after logging each."""
    options = parse(CheckOptions, arguments, verb="check", text=__doc__)
    from ar3d_keras.experiments.check import check

    check(
        options.data,
        html=options.html,
        split_scheme=options.split_scheme,
        split_lists=options.split_lists,
        fold=options.fold,
        folds=options.folds,
        seed=options.seed,
        run=options.run,
        runs_dir=options.runs_dir,
        segments=options.segments,
        workers=options.workers,
        command=command("check", arguments),
    )
