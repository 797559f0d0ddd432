"""Calibrate a finished run on val: its probabilities, and which predictions it rejects.

ar3d calibrate                                  the latest run: a temperature
ar3d calibrate --run NAME --reject-error 0.05   thresholds for "none of these" too

The weights do not change. The reports on val and test are written again. `ar3d export` then writes a
SavedModel with the calibration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ar3d_keras.cli.backend import start_backend
from ar3d_keras.cli.options import check_run, command, parse


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions:
    """Which run, and how many errors."""

    run: str | None = None
    """A run folder, or a name under RUNS_DIR. Default: the run that was last begun."""
    reject_error: float | None = None
    """Reject uncertain predictions as "none of these", so that at most this share of the accepted val videos is wrong, e.g. 0.05. Default: accept all."""
    runs_dir: Path = Path("runs")
    """The folder of all runs."""
    data: Path | None = None
    """Where the run's data set is now (folder, CSV or a pack of it), if it was moved."""
    workers: int | None = None
    """Decoding threads. Default: one per CPU core."""


OPTIONS = CalibrateOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct."""
    options = parse(CalibrateOptions, arguments, verb="calibrate", text=__doc__)
    check_run(options.run, options.runs_dir)
    start_backend()
    from ar3d_keras.experiments.evaluate import calibrate_run

    calibrate_run(
        options.run,
        options.reject_error,
        data=options.data,
        workers=options.workers,
        runs_dir=options.runs_dir,
        command=command("calibrate", arguments),
    )
