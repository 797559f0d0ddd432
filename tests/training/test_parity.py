"""Three backends learn the same: from the same weights, on the same batches, without dropout."""

import json
import os

import numpy as np
import pytest
from processes import ROOT, python  # tests/processes.py

# Of the loss, relative. Adam divides by the size of a gradient, so it blows rounding up where gradients
# are tiny: those of two_stream, at this size, differ by 1e-4 of themselves.
TOLERANCE, TOLERANCES = 1e-3, {"two_stream": 2e-2}


def losses(backend, *names):
    done = python(
        "tests/training/twenty_steps.py", *names,
        environment={
            "KERAS_BACKEND": backend,
            "PYTHONPATH": os.pathsep.join(str(ROOT / path) for path in ("", "tests", "tests/models")),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def differences(names, backends):
    """name -> the largest relative difference of the losses from those of the first backend."""
    first, *others = (losses(backend, *names) for backend in backends)
    return {
        name: max(np.max(np.abs(np.divide(other[name], first[name]) - 1)) for other in others)
        for name in first
    }


@pytest.mark.slow
def test_twenty_steps_on_two_backends():
    """Without JAX, which compiles longer; the networks with and without batch norms."""
    found = differences(["conv3d", "compact3d"], ["tensorflow", "torch"])
    assert max(found.values()) < TOLERANCE, found


@pytest.mark.slow
def test_twenty_steps_of_every_network_on_three_backends():
    found = differences(["--frozen-norms"], ["tensorflow", "jax", "torch"])
    print({name: f"{value:.1e}" for name, value in found.items()})
    for name, value in found.items():
        assert value < TOLERANCES.get(name, TOLERANCE), found
