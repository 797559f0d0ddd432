"""Stands in for `examine`: a decoder that crashes, hangs or needs too much memory by the file's name."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from ar3d_keras.videos import decoders
from ar3d_keras.videos.examination import examine


def bad_examine(path: Path, **arguments):
    if path.stem == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.stem == "abort":
        os.abort()
    if path.stem == "hangs":
        time.sleep(100)
    if path.stem == "slow":  # but it decodes
        for _ in range(15):
            time.sleep(0.2)
            decoders.heartbeat()
    if path.stem == "endless":
        while True:
            time.sleep(0.02)
            decoders.heartbeat()
    if path.stem == "huge":
        np.ones(10**10, np.uint8)
    if path.stem == "bug":
        raise ZeroDivisionError("time base 0")
    if path.stem == "prints":
        os.write(1, b"decoder: warning\n" * 1000)
    if path.stem == "crashes-once" and not (mark := path.with_suffix(".mark")).exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    return examine(path, **arguments)
