"""A SavedModel that is exported once, and TensorFlow's C API to call SavedModels."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny  # tests/serving/tiny.py

from ar3d_keras.inference.classifier import describe
from ar3d_keras.serving.export import export_saved_model

C_LOADER = Path(__file__).with_name("c_loader.py")


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """The tiny network, its .keras file, the folder of its versions, and its only version."""
    folder = tmp_path_factory.mktemp("exported")
    model = tiny.network()
    model.save(folder / "network.keras")
    description = describe(tiny.CLASS_NAMES, tiny.SHAPE, {"run": "tiny"})
    version = export_saved_model(folder / "network.keras", folder / "versions", description)
    return SimpleNamespace(
        model=model, file=folder / "network.keras", versions=version.parent, version=version
    )


@pytest.fixture(scope="session")
def ask(tmp_path_factory):
    """ask(version, {"case/signature/input": array}): the outputs of c_loader.py, in a process."""

    def run(version, questions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        folder = tmp_path_factory.mktemp("ask")
        np.savez(folder / "inputs.npz", **questions)
        done = subprocess.run(
            [sys.executable, C_LOADER, version, folder / "inputs.npz", folder / "outputs.npz"],
            cwd=folder, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True,
            text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with np.load(folder / "outputs.npz", allow_pickle=True) as outputs:
            return dict(outputs)

    return run


@pytest.fixture(scope="session")
def big_network(tmp_path_factory):
    """A .keras file of 2 MB, whose exports `small_files` prevents."""
    file = tmp_path_factory.mktemp("big") / "network.keras"
    tiny.network(dense=10_000).save(file)
    return file


@pytest.fixture
def small_files():
    """No file can grow above 200 kB, as if the disk were full."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limit[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)


@pytest.fixture
def in_this_process(monkeypatch):
    """Exports run in this process, which saves the start of another TensorFlow."""
    from ar3d_keras.serving import formats

    def run(function, **arguments):
        function(**arguments)

    monkeypatch.setattr(formats, "run_in_tensorflow_subprocess", run)
