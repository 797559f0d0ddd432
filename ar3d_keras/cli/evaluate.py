"""Evaluate a trained network on a split: metrics, confusion matrix, one HTML report.

python evaluate.py --split val                  the latest run
python evaluate.py --split test --run NAME --clips 10 --crops 3
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ar3d_keras.cli.backend import start_backend
from ar3d_keras.cli.options import check_run, command, parse


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
    workers: int | None = None
    """Decoding threads. Default: one per CPU core."""


OPTIONS = EvaluateOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct."""
    options = parse(EvaluateOptions, arguments, verb="evaluate", text=__doc__)
    check_run(options.run, options.runs_dir)
    start_backend()
    from ar3d_keras.experiments.evaluate import evaluate_split

    evaluate_split(
        options.run,
        options.split,
        clips=options.clips,
        crops=options.crops,
        data=options.data,
        workers=options.workers,
        runs_dir=options.runs_dir,
        command=command("evaluate", arguments),
    )
