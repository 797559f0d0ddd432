"""Stands in for `examine`: a decoder that crashes, hangs or needs too much memory by the file's name."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from ar3d_keras.videos import decoders
from ar3d_keras.videos.examination import examine
from ar3d_keras.videos.parts import _messages


def bad_items(path: Path, *, crash_at: int = -1):
    """A generator: 0, 1, 2, 3, then the file's size."""
    for number in range(4):
        if number == crash_at:
            os.kill(os.getpid(), signal.SIGSEGV)
        yield number
    return path.stat().st_size


def bad_frames(path: Path, **arguments):
    """Stands in for the frames of a part."""
    if path.stem == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    yield from _messages(path, **arguments)


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
    if path.stem == "short":  # of a second
        for _ in range(5):
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
