"""The SavedModel: what TF Serving loads, and what needs nothing of this package to be loaded.

One route for every backend: the float32 .keras file is loaded in a process whose Keras runs on
TensorFlow, and exported there (torch cannot export a SavedModel at all; see DESIGN, section 7).
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import keras

from ar3d_keras import atomic
from ar3d_keras.errors import UserError


def export_saved_model(network: Path, folder: Path, classes: Sequence[str]) -> Path:
    """Writes the next version of a SavedModel, whole or not at all.

    Its signature `serving_default` takes `clip` uint8 (batch, T, H, W, C) of the network's size,
    RGB or, for a network that sees flow, RGB, dx, dy (see `videos.flow`), and gives `probabilities` float32 (batch, classes), `classes` string (batch, classes), and
    `top_classes` string and `top_probabilities` float32 (batch, min(5, classes)), best first.

    Args:
        network: a .keras file.
        folder: of the versions; the new one is the highest there plus 1.
        classes: the names of the network's outputs.

    Returns:
        The folder of the version.

    Raises:
        UserError: there is no TensorFlow to export with.
    """
    versions = [int(path.name) for path in folder.glob("*") if path.name.isdigit()]
    target = folder / str(max(versions, default=0) + 1)
    with atomic.replacing(target) as temporary:
        if keras.backend.backend() == "tensorflow":
            _write(network, temporary, classes)
        else:
            _write_elsewhere(network, temporary, classes)
    return target


def _write_elsewhere(network: Path, folder: Path, classes: Sequence[str]) -> None:
    """Runs this file in a process with the TensorFlow backend."""
    here = str(Path(__file__).parents[2])  # where this package is, installed or not
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")])),
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",  # this process may hold the GPU's memory
    }
    done = subprocess.run(
        [sys.executable, "-m", "ar3d_keras.serving.export", network, folder, *classes],
        env=environment,
        capture_output=True,
        text=True,
    )
    if "No module named 'tensorflow'" in done.stderr:
        raise UserError(
            "a SavedModel is written by TensorFlow, which is not installed: "
            "`pip install ar3d-keras[tensorflow]`, then `ar3d export`"
        )
    if done.returncode:
        raise RuntimeError(f"exporting {network} failed:\n{done.stderr}")


def _write(network: Path, folder: Path, classes: Sequence[str]) -> None:
    import tensorflow as tf

    from ar3d_keras import load_model

    model = load_model(network)
    # A folder's name need not be UTF-8; a string tensor holds bytes.
    names = tf.constant([name.encode("utf-8", "surrogateescape") for name in classes])
    top = min(5, len(classes))

    def classify(clip):
        probabilities = model(clip, training=False)
        best, places = tf.math.top_k(probabilities, top)
        return {
            "probabilities": probabilities,
            "classes": tf.repeat(names[tf.newaxis], tf.shape(probabilities)[0], axis=0),
            "top_classes": tf.gather(names, places),
            "top_probabilities": best,
        }

    archive = keras.export.ExportArchive()
    archive.track(model)
    clip = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="clip")
    archive.add_endpoint("serve", classify, input_signature=[clip])
    archive.write_out(str(folder), verbose=False)


if __name__ == "__main__":
    _write(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
