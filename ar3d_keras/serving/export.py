"""The SavedModel: what TF Serving loads, and what needs nothing of this package to be loaded.

One route for every backend: the float32 .keras file is loaded in a process whose Keras runs on
TensorFlow, and exported there (torch cannot export a SavedModel at all; see DESIGN, section 7).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from ar3d_keras import atomic
from ar3d_keras.errors import UserError
from ar3d_keras.inference.classifier import DESCRIPTION
from ar3d_keras.serving import warmup
from ar3d_keras.serving.signatures import signatures
from ar3d_keras.serving.tensorflow_process import run_in_tensorflow_subprocess
from ar3d_keras.serving.versions import free_version
from ar3d_keras.videos.sampling import ClipShape


def export_saved_model(
    network: Path,
    folder: Path,
    description: Mapping[str, Any],
    *,
    version: int | None = None,
) -> Path:
    """Writes a version of a SavedModel, whole or not at all: the server may be watching.

    It answers to the signatures of `signatures.signatures`, and holds its description
    (`inference.recogniser.DESCRIPTION`) and, where the package tensorflow-serving-api is
    installed, requests that warm the server up (`warmup.WARMUP`).

    Args:
        network: a .keras file.
        folder: of the versions.
        description: made by `inference.recogniser.describe`.
        version: at least 1; None: the highest in `folder` plus 1.

    Returns:
        The folder of the version.

    Raises:
        UserError: the version exists or is none, the network cannot be loaded, there is no TensorFlow
            to export with, or no room on the disk.
    """
    target = free_version(folder, version)
    # The temporary folder's name is no number, so the server does not take it for a version.
    try:
        with atomic.replacing(target) as temporary:
            atomic.write_json(temporary / DESCRIPTION, description)
            if keras.backend.backend() == "tensorflow":
                _write(network, temporary)
            else:
                _write_elsewhere(network, temporary)
    except FileExistsError:  # another export was quicker
        free_version(folder, int(target.name))
        raise
    return target


def _write_elsewhere(network: Path, folder: Path) -> None:
    run_in_tensorflow_subprocess(_write, network=network, folder=folder)


def _write(network: str | Path, folder: str | Path) -> None:
    """Writes the SavedModel into a folder that holds its description, with TensorFlow."""
    import tensorflow as tf

    from ar3d_keras import load_model

    model, folder = load_model(network), Path(folder)
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    shape = ClipShape(**description["shape"])
    found = signatures(model, description["classes"], shape)
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, signature in found.items():
        archive.add_endpoint(name, signature.function, input_signature=[signature.input])
    try:
        archive.write_out(str(folder), verbose=False)
    except (tf.errors.ResourceExhaustedError, tf.errors.OutOfRangeError) as error:
        # It stands behind the name of an operation and a path, and before another name.
        reason = error.message.split(";")[-1].split("[")[0].strip()
        raise UserError(
            f"the SavedModel could not be written ({reason}); nothing of it is left: make room, or "
            "name another place with --to"
        ) from None
    if warmup.can_write():
        warmup.write_warmup(folder, found, frames=2 * shape.frames)
