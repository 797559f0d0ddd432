"""Keeps every Ctrl-C and SIGTERM."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator

from ar3d_keras.errors import Terminated, raise_terminated

RETRY_DELAY = 0.02  # seconds


@contextlib.contextmanager
def delivered_interrupts() -> Iterator[None]:
    """Makes sure that inside the context every Ctrl-C and SIGTERM raises.

    Ctrl-C raises KeyboardInterrupt, and SIGTERM its subclass Terminated.

    Python ignores an exception in a finalizer, or in a callback of a weak reference or of the
    garbage collector ("Exception ignored in ..."). These run at any time, so about one Ctrl-C in a
    hundred would have no effect. The hook sends the signal again a moment later.
    https://docs.python.org/3/library/sys.html#sys.unraisablehook
    """
    before = sys.unraisablehook

    def hook(ignored: "sys.UnraisableHookArgs") -> None:
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            number = signal.SIGTERM if issubclass(ignored.exc_type, Terminated) else signal.SIGINT
            threading.Timer(RETRY_DELAY, _send, (number,)).start()
        else:
            before(ignored)

    sys.unraisablehook = hook
    try:
        with _terminated_by_sigterm():
            yield
    finally:
        sys.unraisablehook = before


def _send(number: signal.Signals) -> None:
    """Sends a signal to the main thread, which handles it even if it waits for something."""
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, number)
    else:  # Windows, where os.kill would end the process
        signal.raise_signal(number)


@contextlib.contextmanager
def _terminated_by_sigterm() -> Iterator[None]:
    """Inside the context, SIGTERM raises Terminated."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    before = signal.signal(signal.SIGTERM, raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
