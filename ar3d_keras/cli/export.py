"""Write the next version of a run's SavedModel, or its network in another format.

ar3d export                    the latest run, into its saved_model folder
ar3d export --run NAME --to /models/ar3d
ar3d export --run NAME --to /models/ar3d --version 7
ar3d export --format onnx      into RUN/export/onnx; also openvino and litert
ar3d export --format litert --int8
ar3d export --precision auto   bfloat16 if it is faster here; prints how far probabilities change
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ar3d_keras.cli.backend import start_backend
from ar3d_keras.cli.options import check_run, parse


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Which run, and where to."""

    run: str | None = None
    """A run folder, a name under RUNS_DIR, or a .keras file. Default: the run that was last begun."""
    runs_dir: Path = Path("runs")
    """The folder of all runs."""
    format: Literal["savedmodel", "onnx", "openvino", "litert"] = "savedmodel"
    """What to write. The other formats are for runtimes without a server: see docs/formats.md."""
    to: Path | None = None
    """SavedModel: the folder of versions (default: RUN/saved_model). Other formats: the folder to make (default: RUN/export/FORMAT)."""
    version: int | None = None
    """Version number of the SavedModel. Default: the highest there plus 1."""
    int8: bool = False
    """LiteRT: int8 weights, a quarter of the size."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """SavedModel and openvino: what the network computes in. `auto`: bfloat16 where it is at least 1.15 times as fast on this machine. The change of probabilities is printed, and kept in preprocessor.json."""


OPTIONS = ExportOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct."""
    options = parse(ExportOptions, arguments, verb="export", text=__doc__)
    check_run(options.run, options.runs_dir)
    start_backend()
    from ar3d_keras.experiments.export import export

    export(
        options.run,
        options.format,
        to=options.to,
        version=options.version,
        int8=options.int8,
        precision=options.precision,
        runs_dir=options.runs_dir,
    )
