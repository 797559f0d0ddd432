"""Keeps every Ctrl-C."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

RETRY_DELAY = 0.02  # seconds


@contextlib.contextmanager
def delivered_interrupts() -> Iterator[None]:
    """Makes sure that every Ctrl-C inside the context raises KeyboardInterrupt.

    Python ignores an exception in a finalizer, or in a callback of a weak reference or of the
    garbage collector ("Exception ignored in ..."). These run at any time, so about one Ctrl-C in a
    hundred would have no effect. The hook sends the signal again a moment later.
    https://docs.python.org/3/library/sys.html#sys.unraisablehook
    """
    before = sys.unraisablehook

    def hook(ignored: "sys.UnraisableHookArgs") -> None:
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            threading.Timer(RETRY_DELAY, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            before(ignored)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
