"""Real processes of this project, and the options that make a training quick."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Options of train() that make a network which trains in two seconds, most of which compile it.
TINY = {
    "preset": "demo", "height": 16, "width": 16, "filters": 4, "gate_kernel": (1, 1, 1),
    "dense": 8, "batch_size": 4, "epochs": 2,
}  # fmt: skip


def flags(**options) -> list[str]:
    """Options of train() as train.py takes them."""
    found = []
    for name, value in options.items():
        found.append("--" + name.replace("_", "-"))
        found += map(str, value if isinstance(value, tuple) else (value,))
    return found


TINY_FLAGS = flags(**TINY)


def python(*arguments, **options):
    """Runs Python with `arguments` in the project's folder, its output captured."""
    environment = {**os.environ, **options.pop("environment", {})}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # TensorFlow sets it in this process
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=options.pop("cwd", ROOT),
        env=environment,
        capture_output=True,
        text=True,
        **options,
    )


# A shell that starts a job in the background has it ignore Ctrl-C, and so its children.
_LISTEN = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = sys.argv[1:]
sys.path.insert(0, "")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def start(*arguments):
    """Starts Python with `arguments`, its output in pipes; SIGINT interrupts it."""
    return subprocess.Popen(
        [sys.executable, "-c", _LISTEN, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
