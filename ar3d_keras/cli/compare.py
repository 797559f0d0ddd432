"""One page of several runs on the same videos: Table 1, paired tests, Figures 1 and 3.

ar3d compare RUN RUN                                     runs or cross-validations, by name or path
ar3d compare RUN RUN RUN --split val --out DIR
ar3d compare KFOLD RANDOM --allow-different              what a leak is worth (docs/comparing.md)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ar3d_keras.cli.backend import start_backend
from ar3d_keras.cli.options import command, parse
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """Which results, and where the page goes."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Two or more run folders or cross-validations, or their names under RUNS_DIR; each needs its report on the split (evaluate.py makes it)."""
    split: Literal["train", "val", "test"] = "test"
    """The split whose reports are compared."""
    runs_dir: Path = Path("runs")
    """The folder of all runs."""
    out: Path | None = None
    """The folder for compare.html, figure1.png, figure3.png and comparison.json, which are replaced. Default: RUNS_DIR/comparison."""
    allow_different: bool = False
    """Allow results of different data, splits or protocols in one table, which then warns."""


OPTIONS = CompareOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct."""
    options = parse(CompareOptions, arguments, verb="compare", text=__doc__)
    if len(options.runs) < 2:
        raise UserError("compare takes two runs or more: name their folders")
    start_backend()
    from ar3d_keras.experiments.compare import compare

    console = Console()
    written = compare(
        options.runs,
        split=options.split,
        out=options.out,
        runs_dir=options.runs_dir,
        allow_different=options.allow_different,
        reporter=console,
        command=command("compare", arguments),
    )
    _log(written, console)
    console.log(str((options.out or options.runs_dir / "comparison") / "compare.html"))


def _log(written: Mapping[str, Any], console: Console) -> None:
    from ar3d_keras.evaluation.metrics import format_interval, has_informative_top5

    for sentence in written["not_comparable"]:
        console.log(f"NOT COMPARABLE: {sentence}")
    width = max(len(row["name"]) for row in written["table"])
    for row in written["table"]:
        top5 = f"top-{row['top5_k']} {row['top5']:.3f}   " * has_informative_top5(row)
        console.log(
            f"{row['name']:<{width}}   top-1 {row['top1']:.3f} "
            f"{format_interval(row['top1_interval'])}   "
            f"{top5}{row['parameters']:,} parameters   {row['gflops']:.3g} GFLOPs   "
            f"{row['videos']} videos" + ("   LEAKS" if row["has_leakage"] else "")
        )
    for pair in written["pairs"]:
        console.log(
            f"{pair['one']} - {pair['other']}: top-1 {pair['difference']:+.3f} "
            f"{format_interval(pair['interval'], signed=True)}   "
            f"McNemar {pair['only_one']}:{pair['only_other']}, p {pair['p']:.2g}   "
            f"{pair['videos']} videos"
        )
