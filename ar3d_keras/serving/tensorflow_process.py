"""Runs a function in a process whose Keras runs on TensorFlow, for what only TensorFlow writes."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ar3d_keras.errors import UserError


class ExporterNotInstalled(UserError):  # noqa: N818
    """A package that an export needs is not installed; everything else works without it."""


def run_in_tensorflow_subprocess(function: Callable[..., None], **arguments: Any) -> None:
    """Calls a function of this package in a new process on the CPU, with TensorFlow as the backend.

    Args:
        function: at the top level of its module.
        arguments: of the function; what JSON cannot hold arrives as text.

    Raises:
        ExporterNotInstalled: TensorFlow is not installed.
        UserError: raised by the function, or a file could not be written.
        RuntimeError: the function raised anything else; the message holds its traceback.
    """
    not_installed = ExporterNotInstalled(
        "TensorFlow writes the export, and is not installed: "
        "`pip install ar3d-keras[tensorflow]`, then `ar3d export`"
    )
    if importlib.util.find_spec("tensorflow") is None:
        raise not_installed
    package_root = str(Path(__file__).parents[2])  # the package need not be installed
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")])),
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",  # this process may occupy the GPU's memory
    }
    call = [function.__module__, function.__name__, json.dumps(arguments, default=str)]
    done = subprocess.run(
        [sys.executable, "-m", __name__, *call], env=environment, capture_output=True, text=True
    )
    if done.returncode == 2:
        raise UserError(json.loads(done.stdout.splitlines()[-1]))
    if "No module named 'tensorflow'" in done.stderr:  # found, but not importable
        raise not_installed
    if done.returncode:
        raise RuntimeError(f"{function.__name__} {arguments} failed:\n{done.stderr}")


def _main(module: str, name: str, arguments: str) -> None:
    """Calls a function; prints the message of a UserError as JSON and exits with code 2."""
    try:
        getattr(importlib.import_module(module), name)(**json.loads(arguments))
    except UserError as error:
        print(json.dumps(str(error)))
        sys.exit(2)


if __name__ == "__main__":
    _main(*sys.argv[1:])
