"""A process whose Keras runs on TensorFlow, for what only TensorFlow can write."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ar3d_keras.errors import UserError


def run_in_tensorflow_subprocess(function: Callable[..., None], **arguments: Any) -> None:
    """Calls a function of this package in such a process, on the CPU.

    Args:
        function: of a module's top level.
        arguments: its own; what JSON cannot hold arrives as text.

    Raises:
        UserError: the function's, or there is no TensorFlow.
        RuntimeError: it failed; the message holds what the process said.
    """
    package_root = str(Path(__file__).parents[2])  # where this package is, installed or not
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")])),
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",  # this process may hold the GPU's memory
    }
    call = [function.__module__, function.__name__, json.dumps(arguments, default=str)]
    done = subprocess.run(
        [sys.executable, "-m", __name__, *call], env=environment, capture_output=True, text=True
    )
    if "No module named 'tensorflow'" in done.stderr:
        raise UserError(
            "TensorFlow writes what is exported, and is not installed: "
            "`pip install ar3d-keras[tensorflow]`, then `ar3d export`"
        )
    if done.returncode == 2:
        raise UserError(json.loads(done.stdout.splitlines()[-1]))
    if done.returncode:
        raise RuntimeError(f"{function.__name__} {arguments} failed:\n{done.stderr}")


if __name__ == "__main__":
    module, name, text = sys.argv[1:]
    try:
        getattr(importlib.import_module(module), name)(**json.loads(text))
    except UserError as error:
        print(json.dumps(str(error)))
        sys.exit(2)
