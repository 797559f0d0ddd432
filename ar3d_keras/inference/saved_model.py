"""A SavedModel that `ar3d export` wrote, as a Classifier: called as TF Serving calls it."""

import abc
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.inference.classifier import Classifier, read_description


class SignatureNetwork(abc.ABC):
    """A network that is called by its signatures; see `serving.signatures`.

    Attributes:
        has_attention: whether it has a signature for its attention map.
    """

    has_attention: bool

    def predict_on_batch(self, clips: np.ndarray) -> np.ndarray:
        """Maps clips, uint8 (batch, T, H, W, C), to probabilities, float32 (batch, classes)."""
        return self._call("serving_default", "probabilities", clips)

    def attention(self, clips: np.ndarray) -> np.ndarray:
        """Maps clips to attention maps, float32 (batch, T, H, W) in 0..1; see `attention_map`."""
        return self._call("attention", "attention", clips)

    @abc.abstractmethod
    def _call(self, signature: str, output: str, clips: np.ndarray) -> np.ndarray:
        """One output of a signature: float32 (batch, ...)."""


class SavedModelNetwork(SignatureNetwork):
    """Calls the signatures of a SavedModel."""

    def __init__(self, loaded: Any):
        self._loaded = loaded  # the signatures alone do not keep its variables alive
        self.has_attention = "attention" in loaded.signatures

    def _call(self, signature: str, output: str, clips: np.ndarray) -> np.ndarray:
        import tensorflow as tf

        return self._loaded.signatures[signature](clip=tf.constant(clips))[output].numpy()


def from_saved_model(folder: Path) -> Classifier:
    """Loads a SavedModel.

    Args:
        folder: of a version, or of the versions; of those the highest is loaded.

    Raises:
        UserError: the folder holds no SavedModel of `ar3d export`, or TensorFlow is not installed.
    """
    version = find_version(folder)
    description = read_description(version)
    try:
        import tensorflow as tf
    except ImportError:
        raise UserError(
            "TensorFlow reads a SavedModel, and is not installed: "
            "`pip install ar3d-keras[tensorflow]`, or give `run` in place of `saved_model`"
        ) from None
    tf.config.experimental.enable_tensor_float_32_execution(False)  # float32 on GPUs too
    try:
        loaded = tf.saved_model.load(str(version))
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{version} cannot be loaded ({reason}): export the run again") from None
    network = SavedModelNetwork(loaded)
    return Classifier(
        network,
        description.class_names,
        description.shape,
        str(version),
        calibration=description.calibration,
        precision=description.precision,
    )


def find_version(folder: Path) -> Path:
    """Returns `folder` if it is a version, else the highest version in it; loads nothing.

    Raises:
        UserError: there is no version.
    """
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = [path for path in folder.glob("*") if path.name.isdecimal()]
    versions = [path for path in versions if (path / "saved_model.pb").is_file()]
    if not versions:
        raise UserError(
            f"no SavedModel at {folder} (neither saved_model.pb nor a numbered version folder with "
            "one): write one with `ar3d export`"
        )
    return max(versions, key=lambda path: int(path.name))
