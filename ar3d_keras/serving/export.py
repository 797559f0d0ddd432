"""Exports a network as a SavedModel, which TensorFlow Serving loads without this package.

All backends use one route: a process whose Keras runs on TensorFlow loads the float32 .keras file
and exports it. Keras on torch cannot export a SavedModel itself.
"""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from ar3d_keras import atomic
from ar3d_keras.inference.classifier import DESCRIPTION, precision_of
from ar3d_keras.serving import warmup
from ar3d_keras.serving.full_disk import writing
from ar3d_keras.serving.signatures import signatures
from ar3d_keras.serving.tensorflow_process import run_in_tensorflow_subprocess
from ar3d_keras.serving.versions import free_version


def export_saved_model(
    network: Path,
    folder: Path,
    description: Mapping[str, Any],
    *,
    version: int | None = None,
    documents: Mapping[str, str] | None = None,
) -> Path:
    """Writes a version of a SavedModel atomically, because a server may watch the folder.

    The version has the signatures of `signatures.signatures` and contains its description
    (`classifier.DESCRIPTION`). If the package tensorflow-serving-api is installed, it also contains
    requests that warm the server up (`warmup.WARMUP`).

    Args:
        network: a .keras file.
        folder: of the versions.
        description: made by `inference.classifier.describe`; its precision is the SavedModel's.
        version: at least 1; None: the highest version in `folder` plus 1.
        documents: file name -> text, written beside the description.

    Returns:
        The folder of the version.

    Raises:
        ExporterNotInstalled: TensorFlow is not installed.
        UserError: the version exists or is invalid, the network cannot be loaded, or the disk is
            full.
    """
    target = free_version(folder, version)
    # The name of the temporary folder is not a number, so a server does not load it.
    try:
        with atomic.replacing(target) as temporary:
            atomic.write_json(temporary / DESCRIPTION, description)
            for name, text in (documents or {}).items():
                atomic.write_text((temporary / DESCRIPTION).with_name(name), text)
            if keras.backend.backend() == "tensorflow":
                write(network, temporary)
            else:
                run_in_tensorflow_subprocess(write, network=network, folder=temporary)
    except FileExistsError:  # another process wrote the same version meanwhile
        free_version(folder, int(target.name))
        raise
    return target


def write(network: str | Path, folder: str | Path) -> None:
    """Writes the SavedModel into a folder that contains its description; needs TensorFlow.

    Args:
        network: a .keras file.
        folder: of the version.
    """
    from ar3d_keras import load_model

    # Dropout draws its seed as it is made. A served network does not use it; with the same seed two
    # exports of one network hold the same variables.
    before = random.getstate()
    random.seed(0)
    folder = Path(folder)
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    model = load_model(network).in_precision(precision_of(description))
    random.setstate(before)
    found = signatures(model, description)
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, signature in found.items():
        archive.add_endpoint(name, signature.function, input_signature=signature.inputs)
    with writing("the SavedModel"):
        archive.write_out(str(folder), verbose=False)
        if warmup.can_write():
            warmup.write_warmup(folder, found, frames=2 * description["clip_shape"]["frames"])
