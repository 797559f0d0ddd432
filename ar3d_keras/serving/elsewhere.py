"""A process whose Keras runs on TensorFlow, which writes what others load."""

import os
import subprocess
import sys
from pathlib import Path


def on_tensorflow(module: str, *arguments: str | Path) -> None:
    """Runs a module of this package as a script there.

    Args:
        module: its full name.
        arguments: of the script.

    Raises:
        RuntimeError: it failed; the message holds what it printed.
    """
    here = str(Path(__file__).parents[2])  # where this package is, installed or not
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")])),
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",  # this process may hold the GPU's memory
    }
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{module} {arguments} failed:\n{done.stderr}")
