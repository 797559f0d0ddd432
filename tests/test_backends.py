"""The tests marked `multi_backend`, numerics, run again on JAX and torch, a process for each."""

import keras
import pytest
from processes import python  # tests/processes.py

# Compiling takes JAX longer than our small networks take to run, however they are compiled.
QUICKER = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on(backend):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("started from the TensorFlow run only")
    done = python(
        "-m", "pytest", "-q", "-m", "multi_backend and not slow", "tests",
        environment={**QUICKER, "KERAS_BACKEND": backend},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout
