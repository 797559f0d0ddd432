"""Ctrl-C that is never lost."""

import os
import signal
import threading
import types
import weakref
from pathlib import Path

AGAIN = 0.02  # seconds
CALLBACKS = (weakref.__file__, str(Path(weakref.__file__).with_name("_weakrefset.py")))


def deliver_interrupts() -> None:
    """Makes every SIGINT a KeyboardInterrupt that arrives.

    Python drops an exception that is raised in a finalizer or in the callback of a weak reference
    ("Exception ignored in ..."), and garbage is collected at any time: one Ctrl-C in some hundred
    would be without effect, and an hour's training go on. There the signal is sent once more, a
    moment later. https://docs.python.org/3/reference/datamodel.html#object.__del__

    A process that was told to ignore SIGINT, as a shell does in the background, still does.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    while frame:
        code = frame.f_code
        if code.co_name == "__del__" or code.co_filename in CALLBACKS:
            threading.Timer(AGAIN, os.kill, (os.getpid(), number)).start()
            return
        frame = frame.f_back
    raise KeyboardInterrupt
