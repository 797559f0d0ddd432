"""Several runs on the same videos: one page with the table, the paired tests and the figures."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ar3d_keras.config import check_choice
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.results import find_result
from ar3d_keras.experiments.comparison import check_comparable, write_comparison
from ar3d_keras.progress import Reporter
from ar3d_keras.training import hardware

SplitName = Literal["train", "val", "test"]


def compare(
    runs: Sequence[str | os.PathLike[str] | Any],
    *,
    split: SplitName = "test",
    out: str | os.PathLike[str] | None = None,
    runs_dir: str | os.PathLike[str] = "runs",
    allow_different: bool = False,
    reporter: Reporter | None = None,
    command: str | None = None,
) -> dict[str, Any]:
    """Compares runs, or cross-validations, that were evaluated on the same videos.

    Args:
        runs: at least two runs, their folders, or names under `runs_dir`; each needs its report on
            `split`.
        split: the split whose reports are compared.
        out: the folder for compare.html, figure1.png, figure3.png and comparison.json. Default:
            `runs_dir`/comparison.
        runs_dir: the folder of all runs.
        allow_different: whether results of different data, splits or protocols may stand in one
            table; the page then warns.
        reporter: shows progress. Default: prints it.
        command: the command to record.

    Returns:
        The content of comparison.json.

    Raises:
        UserError: fewer than two runs, a missing report, or results that cannot be compared.
    """
    check_choice("split", split, SplitName)
    if len(runs) < 2:
        raise UserError("`runs` must name two runs or more")
    folder = Path(runs_dir)
    results = [find_result(str(getattr(run, "folder", run)), folder, split) for run in runs]
    names = [result.name for result in results]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UserError(
            f"two of the `runs` are called {repeated[0]!r}: name each once, or rename a folder"
        )
    if not allow_different:
        check_comparable(results)
    target = Path(out) if out is not None else folder / "comparison"
    about = {"command": command or f"ar3d_keras.compare({names})", **hardware.environment_info()}
    reporter = reporter or Console()
    with hardware.disable_tf32():
        written = write_comparison(target, results, about, reporter)

    return written
