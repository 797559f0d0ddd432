"""Select the unlabeled videos whose labels would teach a network most.

ar3d next --data UNLABELED                      20 videos, by the latest run: next.csv, next.html
ar3d next --data UNLABELED --run NAME --count 50 --out round2.csv
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ar3d_keras.cli.backend import start_backend
from ar3d_keras.cli.options import check_run, parse
from ar3d_keras.config import Count


@dataclass(frozen=True, kw_only=True)
class NextOptions:
    """Which videos and which network."""

    data: Path
    """A folder of unlabeled videos, at any depth."""
    run: str | None = None
    """A run folder, a name under RUNS_DIR, or a .keras file. Default: the run that was last begun."""
    runs_dir: Path = Path("runs")
    """The folder of all runs."""
    count: Count = 20
    """How many videos to select."""
    out: Path = Path("next.csv")
    """The list (rank,path,predicted,probability); a page with the suffix .html is written beside it."""
    seed: int = 0
    """Seed of the selection."""
    workers: int | None = None
    """Decoding threads. Default: one per CPU core."""


OPTIONS = NextOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct."""
    options = parse(NextOptions, arguments, verb="next", text=__doc__)
    check_run(options.run, options.runs_dir, needs=["checkpoints/best.keras"])
    start_backend()
    from ar3d_keras.experiments.label_loop import next_to_label

    next_to_label(
        options.data,
        run=options.run,
        runs_dir=options.runs_dir,
        count=options.count,
        out=options.out,
        seed=options.seed,
        workers=options.workers,
    )
