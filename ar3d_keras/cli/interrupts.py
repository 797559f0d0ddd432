"""Ctrl-C that is never lost."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

AGAIN = 0.02  # seconds


@contextlib.contextmanager
def delivered_interrupts() -> Iterator[None]:
    """Inside, every KeyboardInterrupt arrives.

    Python drops an exception that is raised in a finalizer, in the callback of a weak reference or
    of the garbage collector ("Exception ignored in ..."), and garbage is collected at any time: one
    Ctrl-C in some hundred would be without effect, and an hour's training go on. There the signal
    is sent once more, a moment later. https://docs.python.org/3/library/sys.html#sys.unraisablehook
    """
    before = sys.unraisablehook

    def hook(lost) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            threading.Timer(AGAIN, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            before(lost)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
