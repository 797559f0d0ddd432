"""Everything marked `multi_backend` runs again on JAX and torch, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parents[1]
# Compiling takes JAX longer than our small networks take to run, however they are compiled.
QUICKER = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on(backend):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("started from the TensorFlow run only")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "multi_backend and not slow", "tests"],
        cwd=ROOT, env={**os.environ, **QUICKER, "KERAS_BACKEND": backend},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout
