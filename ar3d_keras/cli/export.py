"""Write the next version of a run's SavedModel, or its network in another format.

ar3d export                    the latest run, into its saved_model folder
ar3d export --run NAME --to /models/ar3d
ar3d export --run NAME --to /models/ar3d --version 7
ar3d export --format onnx      into RUN/export/onnx; openvino and litert likewise
ar3d export --format litert --int8
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ar3d_keras.cli.console import Console, start_backend
from ar3d_keras.cli.options import parse
from ar3d_keras.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Which run, and where to."""

    run: str | None = None
    """A run folder, or a name under RUNS_DIR. Default: the run that was last begun."""
    runs_dir: Path = Path("runs")
    """Where runs are."""
    format: Literal["savedmodel", "onnx", "openvino", "litert"] = "savedmodel"
    """What is written. The others are for runtimes without a server: see docs/formats.md."""
    to: Path | None = None
    """The SavedModel: the folder of versions (default: RUN/saved_model). Others: the folder to make (RUN/export/FORMAT)."""
    version: int | None = None
    """The SavedModel's number, which must be free. Default: the highest there plus 1."""
    int8: bool = False
    """LiteRT: int8 weights, for a quarter of the size."""


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can put right."""
    options = parse(ExportOptions, arguments, verb="export", text=__doc__)
    from ar3d_keras.runs import find_run

    run = find_run(options.run, options.runs_dir, needs=["checkpoints/best.keras"])
    export = _export_saved_model if options.format == "savedmodel" else _export_file
    export(run, options)


def _export_saved_model(run, options: ExportOptions) -> None:
    from ar3d_keras.serving.versions import free_version

    if options.int8:
        raise UserError("--int8 belongs to --format litert, not to savedmodel")
    free_version(options.to or run.saved_model, options.version)  # refused before Keras starts
    start_backend()
    from ar3d_keras.experiments.export import export_run

    export_run(run, options.to, version=options.version, reporter=Console())


def _export_file(run, options: ExportOptions) -> None:
    from ar3d_keras.serving.formats import check, export_file

    if options.version is not None:
        raise UserError(f"--version belongs to --format savedmodel, not to {options.format}")
    folder = options.to or run.exported(options.format + "-int8" * options.int8)
    check(folder, options.format, int8=options.int8)  # before Keras starts
    start_backend()
    from ar3d_keras.experiments.load import describe_run

    description = describe_run(run)
    file = export_file(run.best, folder, description, options.format, int8=options.int8)
    Console().log(f"{options.format}  {file}")
