"""What the fork server of forked.py imports, once for all processes."""

import itertools
import time
import traceback

import numpy as np

from ar3d_keras.cli.backend import start_backend

start_backend()

import h5py  # noqa: E402, F401
import sklearn.metrics  # noqa: E402, F401
import tensorflow  # noqa: E402, F401
import tyro  # noqa: E402, F401

from ar3d_keras import cli  # noqa: E402
from ar3d_keras.experiments import train  # noqa: E402, F401
from ar3d_keras.reports import drawing, examples  # noqa: E402

BLANK = bytes(0)


def main(arguments):
    """A command, with reports whose pictures are blank: drawing is most of a short run.

    `jumping-clocks` before it: all clocks jump by an hour, forward and back.
    """
    if arguments[0] == "jumping-clocks":
        arguments = arguments[1:]
        for name in ("time", "monotonic", "perf_counter"):
            setattr(time, name, _jumping(getattr(time, name)))
    drawing.png_bytes = lambda figure: BLANK
    examples.choose_examples = lambda evaluation: np.empty(0, int)
    try:
        return cli.main(arguments)
    except BaseException:
        traceback.print_exc()
        raise


def _jumping(clock):
    calls = itertools.count()
    return lambda: clock() + 3600 * (next(calls) // 20 % 2)
