"""Compute the stored evaluations of a run again, from its weights and data, and compare.

ar3d verify                         the latest run
ar3d verify --run NAME --data DIR   a run whose videos were moved; also ar3d verify NAME --data DIR

It says which of data, weights, code, versions and device changed. The exit code is 0 if every
report is confirmed: bit for bit, or within 0.001 of a probability on another machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ar3d_keras.cli.backend import start_backend
from ar3d_keras.cli.options import check_run, parse
from ar3d_keras.errors import UserError


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Which run, and where its videos are."""

    place: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """The same as --run RUN."""
    run: str | None = None
    """A run folder, or a name under RUNS_DIR. Default: the run that was last begun."""
    runs_dir: Path = Path("runs")
    """The folder of all runs."""
    data: Path | None = None
    """Where the run's data set is now (folder, CSV or a pack of it), if it was moved."""
    workers: int | None = None
    """Decoding threads. Default: one per CPU core."""


OPTIONS = VerifyOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct, and if a report is not confirmed."""
    options = parse(VerifyOptions, arguments, verb="verify", text=__doc__)
    if options.place is not None and options.run is not None:
        raise UserError("RUN and --run cannot be used together: leave one of them out")
    run = options.place if options.run is None else options.run
    check_run(run, options.runs_dir)
    start_backend()
    from ar3d_keras.experiments.verify import verify

    verify(
        run,
        data=options.data,
        workers=options.workers,
        runs_dir=options.runs_dir,
    )
