"""The tests marked `multi_backend`, numerics, run again on JAX and torch, a process for each.

In these processes TensorFlow is not found, as on a machine where it is not installed.
"""

from pathlib import Path

import keras
import pytest
from processes import python  # tests/processes.py

# Compiling takes JAX longer than our small networks take to run, however they are compiled.
QUICKER = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
# Only files with such tests: every other one is collected in vain.
FILES = [
    file
    for file in sorted(Path(__file__).parent.rglob("test_*.py"))
    if file != Path(__file__)
    and any(word in file.read_text(encoding="utf-8") for word in ("multi_backend", "NetworkTests"))
]

WITHOUT_TENSORFLOW = """
import sys
from importlib.machinery import PathFinder

import pytest

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: (
    None if name.partition(".")[0] == "tensorflow" else find(name, *rest)
)
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on(backend):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("started from the TensorFlow run only")
    done = python(
        "-c", WITHOUT_TENSORFLOW, "-q", "-m", "multi_backend and not slow", *FILES,
        environment={**QUICKER, "KERAS_BACKEND": backend},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout
