"""Checks that an installed package has its data files and its public names."""

import os
from pathlib import Path

import ar3d_keras

folder = Path(ar3d_keras.__file__).parent
assert folder.parent == Path(os.environ["PYTHONPATH"]), folder
for name in ("py.typed", "__init__.pyi", "reports/templates"):
    assert (folder / name).exists(), f"{name} is missing"
for name in ar3d_keras.__all__:
    getattr(ar3d_keras, name)
