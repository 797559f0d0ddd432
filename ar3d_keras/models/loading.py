"""Loads a network from a .keras file."""

import json
import os
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import keras

from ar3d_keras.errors import UserError
from ar3d_keras.models import NETWORKS, network
from ar3d_keras.models.classifier import VideoClassifier


def load_model(path: str | os.PathLike) -> VideoClassifier:
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
    saved_by = _check_archive(path)
    try:
        # Safe mode refuses code, such as that of a Lambda layer, whatever the user's setting is.
        loaded = keras.saving.load_model(path, compile=False, safe_mode=True)
    except MemoryError:
        raise
    except Exception as error:  # Keras raises almost anything for a config that it cannot read
        reason = str(error) if isinstance(error, UserError) else _first_sentence(error)
        if saved_by != keras.__version__:
            reason += f"; Keras {saved_by} saved it, and this is Keras {keras.__version__}"
        raise UserError(f"{path} cannot be loaded as a network: {reason}") from error
    if not isinstance(loaded, VideoClassifier):
        kind = type(loaded).__name__
        raise UserError(f"{path} holds a {kind}, not a network that this package saved")
    return loaded


def _first_sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return textwrap.shorten(lines[0].split(". ")[0].rstrip("."), 200, placeholder=" ...")


def _check_archive(path: Path) -> str:
    """The version of Keras that saved a .keras file.

    Raises:
        UserError: the file is no archive, the checksum of a part is wrong, or it contains code.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if part := archive.testzip():
                raise ValueError(f"the checksum of {part} is wrong")
            version = str(json.loads(archive.read("metadata.json"))["keras_version"])
            has_code = _has_code(json.loads(archive.read("config.json")))
    except MemoryError:
        raise
    except Exception as error:  # zipfile raises almost anything for a damaged header
        reason = _first_sentence(error)
        raise UserError(f"{path} is damaged or is no .keras file: {reason}") from None
    if has_code:
        raise UserError(
            f"{path} contains Python code (a Lambda layer), which could do anything: it is not "
            "loaded; save the network with a layer of a class in place of the Lambda"
        )
    return version


def _has_code(config: Any) -> bool:
    """Whether a network's config contains a lambda, whatever Keras's safe mode is."""
    if isinstance(config, dict):
        names = config.get("class_name"), config.get("registered_name")
        if "__lambda__" in names or "Lambda" in names:
            return True
        config = list(config.values())
    return isinstance(config, list) and any(map(_has_code, config))
