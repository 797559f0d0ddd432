"""Loads a network from a .keras file."""

import json
import os
import textwrap
import zipfile
from pathlib import Path

import keras

from ar3d_keras.errors import UserError
from ar3d_keras.models import NETWORKS, network


def load_model(path: str | os.PathLike) -> keras.Model:
    """Loads a network that this package saved, computing in float32.

    Keras finds our layers only after their modules are imported, so `keras.models.load_model` alone
    fails in a fresh process; this imports them first.

    Args:
        path: a .keras file, such as runs/NAME/checkpoints/best.keras.

    Raises:
        UserError: the file does not exist, is damaged, or holds something else or a network of a
            newer version.
    """
    for name in NETWORKS:
        network(name)  # importing a network registers its layers
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no network at {path}: give a .keras file")
    saved_by = _checked_archive(path)
    try:
        return keras.saving.load_model(path, compile=False)
    except MemoryError:
        raise
    except Exception as error:  # Keras raises almost anything for a config that it cannot read
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = textwrap.shorten(lines[0], 200, placeholder=" ...")
        raise UserError(
            f"{path} cannot be loaded as a network ({reason}); Keras {saved_by} saved it, this is "
            f"Keras {keras.__version__}"
        ) from error


def _checked_archive(path: Path) -> str:
    """The version of Keras that saved a .keras file, every byte of which has the right checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            if damaged is None:
                return json.loads(archive.read("metadata.json"))["keras_version"]
            reason = f"the checksum of {damaged} is wrong"
    except MemoryError:
        raise
    except Exception as error:  # zipfile raises almost anything for a damaged header
        reason = str(error) or type(error).__name__
    raise UserError(f"{path} is damaged or not a .keras file ({reason}): copy or train it again")
