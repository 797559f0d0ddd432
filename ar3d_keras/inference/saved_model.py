"""A SavedModel that `ar3d export` wrote, as a Recogniser: asked as TF Serving would be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos.sampling import ClipShape

if TYPE_CHECKING:
    from ar3d_keras.inference.classifier import Classifier


class SavedModelNetwork:
    """Calls the signatures of a SavedModel.

    Attributes:
        has_attention: whether it was exported with its attention map.
    """

    def __init__(self, loaded: Any):
        self._loaded = loaded  # the signatures alone do not keep its variables alive
        self.has_attention = "attention" in loaded.signatures

    def predict_on_batch(self, clips: np.ndarray) -> np.ndarray:
        """Clips uint8 (batch, T, H, W, C) to class probabilities float32 (batch, classes)."""
        return self._call("serving_default", clips)["probabilities"].numpy()

    def attention(self, clips: np.ndarray) -> np.ndarray:
        """Clips to attention maps, float32 (batch, T, H, W) in 0..1; see `attention_map`."""
        return self._call("attention", clips)["attention"].numpy()

    def _call(self, signature: str, clips: np.ndarray) -> dict[str, Any]:
        import tensorflow as tf

        return self._loaded.signatures[signature](clip=tf.constant(clips))


def from_saved_model(folder: Path) -> Classifier:
    """The network of a SavedModel.

    Args:
        folder: of a version, or of the versions, of which the highest is taken.

    Raises:
        UserError: none of ours is there, or TensorFlow is not.
    """
    # It brings Keras, which `find_version` must do without.
    from ar3d_keras.inference.classifier import DESCRIPTION, Classifier

    version = find_version(folder)
    description = _read(version / DESCRIPTION)
    try:
        import tensorflow as tf
    except ImportError:
        raise UserError(
            "a SavedModel is read by TensorFlow, which is not installed: "
            "`pip install ar3d-keras[tensorflow]`, or ask the run itself with --run"
        ) from None
    tf.config.experimental.enable_tensor_float_32_execution(False)  # float32 on GPUs too
    try:
        loaded = tf.saved_model.load(str(version))
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{version} cannot be loaded ({reason}): export the run again") from None
    return Classifier(
        SavedModelNetwork(loaded),
        tuple(description["classes"]),
        ClipShape(**description["shape"]),
        str(version),
    )


def find_version(folder: Path) -> Path:
    """The folder itself where it is a version, else the highest version in it.

    Raises:
        UserError: neither; nothing is loaded to find out.
    """
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = [path for path in folder.glob("*") if path.name.isdecimal()]
    versions = [path for path in versions if (path / "saved_model.pb").is_file()]
    if not versions:
        raise UserError(
            f"no SavedModel at {folder} (no saved_model.pb there, nor in a folder with a version's "
            "number): write one with `ar3d export`"
        )
    return max(versions, key=lambda path: int(path.name))


def _read(file: Path) -> dict[str, Any]:
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
        ClipShape(**description["shape"]).array, description["classes"][0]
        return description
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"{file} cannot be used ({reason}): only a SavedModel that `ar3d export` wrote says "
            "which clips it wants; export the run again"
        ) from None
