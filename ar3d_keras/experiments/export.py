"""Exports the network that a run kept, as a SavedModel or for other runtimes."""

import os
from pathlib import Path
from typing import Literal

from ar3d_keras.console import Console
from ar3d_keras.errors import UserError
from ar3d_keras.experiments.load import WEIGHTS, describe_run
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import Run, find_run
from ar3d_keras.serving import warmup
from ar3d_keras.serving.export import export_saved_model
from ar3d_keras.serving.formats import check, export_file
from ar3d_keras.serving.versions import free_version

Format = Literal["savedmodel", "onnx", "openvino", "litert"]


def export(
    run: str | os.PathLike[str] | Run | None = None,
    format: Format = "savedmodel",
    *,
    to: str | os.PathLike[str] | None = None,
    version: int | None = None,
    int8: bool = False,
    runs_dir: str | os.PathLike[str] = "runs",
    reporter: Reporter | None = None,
) -> Path:
    """Writes a run's network as a SavedModel or for another runtime; see `Run.export`.

    Args:
        run: a run, its folder or its name; None: the run that was last begun.
        format: see `Run.export`, as `to`, `version`, `int8` and `reporter`.
        to: likewise.
        version: likewise.
        int8: likewise.
        runs_dir: the folder of all runs.
        reporter: likewise.

    Raises:
        UserError: there is no such run, the version or folder exists, or a package is missing.
    """
    found = find_run(run, Path(runs_dir), needs=[WEIGHTS])
    reporter = reporter or Console()
    target = None if to is None else Path(to)
    if format == "savedmodel":
        if int8:
            raise UserError("`int8` needs `format` litert")
        free_version(target or found.saved_model, version)
        return export_run(found, target, version=version, reporter=reporter)
    if version is not None:
        raise UserError("`version` needs `format` savedmodel")
    folder = target or found.exported(format + "-int8" * int8)
    check(folder, format, int8=int8)
    file = export_file(found.best, folder, describe_run(found), format, int8=int8)
    reporter.log(f"{format}  {file}")
    return file


def export_run(
    run: Run, folder: Path | None = None, *, version: int | None = None, reporter: Reporter
) -> Path:
    """Writes a version of the SavedModel of the network that a run kept.

    Args:
        run: with a best.keras.
        folder: of the versions; None: the run's own.
        version: None: the highest in `folder` plus 1.
        reporter: logs where the version is, and whether it has no warm-up requests.
    """
    target = export_saved_model(
        run.best, folder or run.saved_model, describe_run(run), version=version
    )
    reporter.log(f"SavedModel  {target}")
    if not warmup.can_write():
        reporter.log(
            "It has no warm-up requests, so the first responses of the server are slow: "
            "`pip install ar3d-keras[serving]`, then `ar3d export`"
        )
    return target
