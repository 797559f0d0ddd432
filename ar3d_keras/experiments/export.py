"""Exports the network that a run kept, as a SavedModel or for other runtimes."""

import os
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ar3d_keras.config import check_choice
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError
from ar3d_keras.experiments.load import WEIGHTS, describe_file, describe_run, is_network_file
from ar3d_keras.progress import Reporter
from ar3d_keras.reports.cards import make_cards
from ar3d_keras.runs import RunFolder, find_run
from ar3d_keras.serving import warmup
from ar3d_keras.serving.export import export_saved_model
from ar3d_keras.serving.formats import check, export_file
from ar3d_keras.serving.versions import free_version

Format = Literal["savedmodel", "onnx", "openvino", "litert"]


def export(
    run: str | os.PathLike[str] | RunFolder | None = None,
    format: Format = "savedmodel",
    *,
    to: str | os.PathLike[str] | None = None,
    version: int | None = None,
    int8: bool = False,
    runs_dir: str | os.PathLike[str] = "runs",
    reporter: Reporter | None = None,
) -> Path:
    """Writes a network as a SavedModel or for another runtime; see `Run.export`.

    A run's export also has a model card and a data card, see `reports.cards`.

    Args:
        run: a run, its folder, its name, or a .keras file (then `to` is needed). Default: the run
            that was last begun.
        format: savedmodel, onnx, openvino or litert.
        to: SavedModel: the folder of versions. Other formats: the folder to make. Default: in the run.
        version: of the SavedModel. Default: the highest there plus 1.
        int8: LiteRT only: whether the weights are stored as int8.
        runs_dir: the folder of all runs.
        reporter: logs where the result is. Default: prints it.

    Returns:
        The folder of the SavedModel's version, or the network's file.

    Raises:
        UserError: there is no such run, the version or folder exists, or a package is missing.
    """
    check_choice("format", format, Format)
    reporter = reporter or Console()
    target = None if to is None else Path(to)
    if run is not None and not isinstance(run, RunFolder) and is_network_file(run):
        if target is None:
            raise UserError(f"`to` is needed to export {run}: a file has no folder of exports")
        network, describe = Path(run), partial(_describe_file, Path(run))
        saved_model = exported = target
    else:
        found = find_run(run, Path(runs_dir), needs=[WEIGHTS])
        network, describe = found.best, partial(_describe_run, found)
        saved_model = target or found.saved_model
        exported = target or found.exported(format + "-int8" * int8)
    if format == "savedmodel":
        if int8:
            raise UserError("`int8` needs `format` litert")
        free_version(saved_model, version)
        description, documents = describe()
        written = export_saved_model(
            network, saved_model, description, version=version, documents=documents
        )
        reporter.log(f"SavedModel  {written}")
        if not warmup.can_write():
            reporter.log(
                "It has no warm-up requests, so the first responses of the server are slow: "
                "`pip install ar3d-keras[serving]`, then `ar3d export`"
            )
        return written
    if version is not None:
        raise UserError("`version` needs `format` savedmodel")
    check(exported, format, int8=int8)
    description, documents = describe()
    file = export_file(network, exported, description, format, int8=int8, documents=documents)
    reporter.log(f"{format}  {file}")
    return file


def _describe_run(run: RunFolder) -> tuple[dict[str, Any], dict[str, str]]:
    """The description of a run's network, and the cards of the run."""
    description = describe_run(run)
    return description, make_cards(run, description)


def _describe_file(file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The description of a .keras file, which has no record of its training."""
    return describe_file(file), {}
