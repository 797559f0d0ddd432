"""What may import what: light at the top, one backend at the bottom."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ar3d_keras

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "ar3d_keras").rglob("*.py"))
BACKENDS = {"tensorflow", "jax", "torch"}
MAY_IMPORT_BACKENDS = (
    "devices.py",
    "hosts.py",
    "explanation/grad_cam.py",
    "inference/saved_model.py",
    "models/batch_norm.py",
    "models/convolution.py",
    "models/gating.py",
    "models/one_pass.py",
    "models/winograd.py",
    "serving/",
    "training/hardware.py",
    "training/profiling.py",
    "training/replicas.py",
    "videos/pipeline.py",
)
# Modules for one backend, which others import inside functions only.
FOR_ONE_BACKEND = {"ar3d_keras.models.kernel_gradient"}
# Layers from the bottom up; a file imports from its own layer and those below.
LAYERS = [
    "version",
    "errors",
    "progress",
    "console",
    "atomic",
    "locking",
    "distributed",
    "networks",
    "config",
    "presets",
    "hosts",
    "devices",
    "videos",
    "labels",
    "inference",
    "models",
    "explanation",
    "runs",
    "evaluation",
    "serving",
    "reports",
    "training",
    "experiments",
    "cli",
]


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **environment},
        capture_output=True, text=True,
    )  # fmt: skip


def imports(file):
    """(module, whether it stands at the top level) of every import in a file."""
    tree = ast.parse(file.read_text())
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", id(node) in top) for alias in node.names)


def test_importing_the_package_brings_nothing_heavy():
    done = run(
        "import sys, ar3d_keras\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'sklearn', 'cv2', 'matplotlib', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    assert done.returncode == 0, done.stderr


def test_backends_are_imported_in_few_files_and_inside_functions():
    wrong = []
    for file in FILES:
        name = str(file.relative_to(ROOT / "ar3d_keras"))
        if f"ar3d_keras.{name.removesuffix('.py').replace('/', '.')}" in FOR_ONE_BACKEND:
            continue
        for module, at_top in imports(file):
            imported = module.startswith((*BACKENDS, *FOR_ONE_BACKEND))
            if imported and (at_top or not name.startswith(MAY_IMPORT_BACKENDS)):
                wrong.append((name, module, at_top))
    assert wrong == []


def test_lower_layers_know_nothing_of_higher_ones():
    wrong = []
    for file in FILES:
        place = file.relative_to(ROOT / "ar3d_keras").parts[0].removesuffix(".py")
        if place in ("__init__", "__main__"):  # they export every layer
            continue
        for module, _ in imports(file):
            if module.startswith("ar3d_keras."):
                layer = module.split(".")[1]
                if layer in ar3d_keras.__all__:  # a public name: from ar3d_keras import load_model
                    layer = getattr(ar3d_keras, layer).__module__.split(".")[1]
                if LAYERS.index(layer) > LAYERS.index(place):
                    wrong.append((str(file.relative_to(ROOT)), module))
    assert wrong == []


@pytest.mark.multi_backend  # where tests/test_backends.py hides TensorFlow
def test_the_public_names_are_there():
    for name in ar3d_keras.__all__:
        assert getattr(ar3d_keras, name).__doc__
    assert set(ar3d_keras.__all__) <= set(dir(ar3d_keras))
    with pytest.raises(AttributeError):
        ar3d_keras.nothing  # noqa: B018
