"""Write the next version of a run's SavedModel.

ar3d export                    the latest run, into its saved_model folder
ar3d export --run NAME --to /models/ar3d
ar3d export --run NAME --to /models/ar3d --version 7
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ar3d_keras.cli.console import Console, start_backend
from ar3d_keras.cli.options import parse


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Which run, and where to."""

    run: str | None = None
    """A run folder, or a name under RUNS_DIR. Default: the run that was last begun."""
    runs_dir: Path = Path("runs")
    """Where runs are."""
    to: Path | None = None
    """The folder of versions. Default: RUN/saved_model."""
    version: int | None = None
    """The version's number, which must be free. Default: the highest there plus 1."""


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can put right."""
    options = parse(ExportOptions, arguments, verb="export", text=__doc__)
    from ar3d_keras.runs import find_run
    from ar3d_keras.serving.versions import free_version

    run = find_run(options.run, options.runs_dir, needs=["checkpoints/best.keras"])
    free_version(options.to or run.saved_model, options.version)  # refused before Keras starts
    start_backend()
    from ar3d_keras.serving.export import export_run

    export_run(run, options.to, version=options.version, reporter=Console())
