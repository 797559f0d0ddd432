"""From a .keras file back to a network."""

import os
from pathlib import Path

import keras

from ar3d_keras.errors import UserError
from ar3d_keras.models import NETWORKS, network


def load_model(path: str | os.PathLike) -> keras.Model:
    """Loads a network that this package saved, computing in float32.

    Keras finds our layers only after they were imported, so `keras.models.load_model` alone
    fails in a fresh process; this imports them first.

    Args:
        path: a .keras file, such as runs/NAME/checkpoints/best.keras.

    Raises:
        UserError: no such file, or none that Keras can read.
    """
    for name in NETWORKS:
        network(name)  # importing a network registers its layers
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no network at {path}: name a .keras file")
    try:
        return keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is not a network that Keras can load: {reason}") from None
