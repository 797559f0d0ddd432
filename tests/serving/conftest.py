"""SavedModels, exported once, and TensorFlow's C API to ask them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

C_LOADER = Path(__file__).with_name("c_loader.py")


@pytest.fixture(scope="session")
def ask(tmp_path_factory):
    """ask(version, {"case/signature/input": array}): what c_loader.py answers, in a process."""

    def run(version, questions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        folder = tmp_path_factory.mktemp("ask")
        np.savez(folder / "asked.npz", **questions)
        done = subprocess.run(
            [sys.executable, C_LOADER, version, folder / "asked.npz", folder / "answered.npz"],
            cwd=folder, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True,
            text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with np.load(folder / "answered.npz", allow_pickle=True) as answers:
            return dict(answers)

    return run


@pytest.fixture(scope="session")
def decide():
    """decide(network): an untrained one takes every class for as likely, and would hide errors."""

    def change(network) -> None:
        kernel, bias = network.get_layer("output").get_weights()
        network.get_layer("output").set_weights([20 * kernel, bias])

    return change
