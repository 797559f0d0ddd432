"""Exports the network that a run kept, as a SavedModel or for other runtimes."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ar3d_keras.config import check_choice
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError
from ar3d_keras.experiments.load import WEIGHTS, describe_file, describe_run, is_network_file
from ar3d_keras.experiments.setup import open_split
from ar3d_keras.models.loading import load_model
from ar3d_keras.progress import Reporter
from ar3d_keras.reports.cards import make_cards
from ar3d_keras.runs import RunFolder, find_run
from ar3d_keras.serving import warmup
from ar3d_keras.serving.export import export_saved_model
from ar3d_keras.serving.formats import OPENVINO_HINTS, check, export_file
from ar3d_keras.serving.precision import Precision, choose
from ar3d_keras.serving.versions import free_version

Format = Literal["savedmodel", "onnx", "openvino", "litert"]
# Clips of val on which bfloat16 is compared with float32.
COMPARED = 32


def export(
    run: str | os.PathLike[str] | RunFolder | None = None,
    format: Format = "savedmodel",
    *,
    to: str | os.PathLike[str] | None = None,
    version: int | None = None,
    int8: bool = False,
    precision: Precision = "float32",
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
        precision: SavedModel and openvino only: what the network computes in; auto is the faster one
            on this machine. Where it is not float32, the change of probabilities is measured on val
            clips of the run (random clips without its data), logged and kept in the description.
        runs_dir: the folder of all runs.
        reporter: logs where the result is. Default: prints it.

    Returns:
        The folder of the SavedModel's version, or the network's file.

    Raises:
        UserError: there is no such run, the version or folder exists, a package is missing, or the
            format has no `precision`.
    """
    check_choice("format", format, Format)
    check_choice("precision", precision, Precision)
    if precision != "float32" and format not in ("savedmodel", "openvino"):
        raise UserError(
            f"`precision` {precision} needs `format` savedmodel or openvino: the runtimes of {format} "
            "compute in float32"
        )
    reporter = reporter or Console()
    target = None if to is None else Path(to)
    if run is not None and not isinstance(run, RunFolder) and is_network_file(run):
        if target is None:
            raise UserError(f"`to` is needed to export {run}: a file has no folder of exports")
        network, describe = Path(run), partial(_describe_file, Path(run))
        clips = partial(_random_clips, network)
        saved_model = exported = target
    else:
        found = find_run(run, Path(runs_dir), needs=[WEIGHTS])
        network, describe = found.best, partial(_describe_run, found)
        clips = partial(_validation_clips, found)
        saved_model = target or found.saved_model
        name = format + "-int8" * int8 + (f"-{precision}" if precision != "float32" else "")
        exported = target or found.exported(name)
    if format == "savedmodel":
        if int8:
            raise UserError("`int8` needs `format` litert")
        free_version(saved_model, version)
        description, documents = describe(_inference(network, clips, format, precision, reporter))
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
    description, documents = describe(_inference(network, clips, format, precision, reporter))
    file = export_file(network, exported, description, format, int8=int8, documents=documents)
    reporter.log(f"{format}  {file}")
    return file


def _inference(
    network: Path,
    clips: Callable[[], tuple[np.ndarray, str]],
    format: Format,
    precision: Precision,
    reporter: Reporter,
) -> dict[str, Any] | None:
    """The precision for the description, with what was measured; None: float32 was asked for."""
    if precision == "float32":
        return None
    shown, kind = clips()
    found = choose(network, shown, format, precision)
    measured = found["bfloat16"]
    measured["of"] = kind
    if "largest_change" in measured:
        reporter.log(
            f"bfloat16: probabilities change by {measured['largest_change']:.2g} at most, "
            f"{measured['mean_change']:.2g} on average ({measured['clips']} {kind} clips, "
            f"{measured['changed_classes']} with another class); a clip in float32 takes "
            f"{measured['speedup']:.2f} times as long here"
        )
    reporter.log(f"precision  {found['precision']}")
    if format == "openvino":
        found["openvino"] = OPENVINO_HINTS[found["precision"]]
    return found


def _validation_clips(run: RunFolder) -> tuple[np.ndarray, str]:
    """Some center clips of a run's val videos and "val"; random clips if its data is gone."""
    config = run.config()
    try:
        split = run.split(run.data_root(None), run.record()["split"]["scheme"])
        source = open_split(config, split, Reporter(), splits=["val"]).evaluation("val")
    except (UserError, OSError):
        return _random_clips(run.best)
    places = np.unique(np.linspace(0, len(source) - 1, COMPARED).astype(int))
    clips = [clip for place in places if (clip := source[int(place), 0]) is not None]
    return (np.stack(clips), "val") if clips else _random_clips(run.best)


def _random_clips(network: Path) -> tuple[np.ndarray, str]:
    """Random clips of a network's size: uint8 (4, T, H, W, C); and "random"."""
    shape = load_model(network).input_shape[1:]
    return np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8), "random"


def _describe_run(
    run: RunFolder, inference: dict[str, Any] | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """The description of a run's network, and the cards of the run."""
    description = describe_run(run, inference)
    return description, make_cards(run, description)


def _describe_file(
    file: Path, inference: dict[str, Any] | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """The description of a .keras file, which has no record of its training."""
    return describe_file(file, inference), {}
