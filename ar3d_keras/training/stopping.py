"""Ctrl-C and SIGTERM during a training: the step ends, the state is saved, then it stops."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from ar3d_keras.errors import Terminated, raise_terminated

_EXCEPTIONS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


class StopSignals:
    """Takes Ctrl-C and SIGTERM while its context is open.

    During the steps of an epoch the first signal only sets `requested`; the callback that saves the
    state raises it after the step. The second signal, and any signal at another time, raises at
    once. A signal that the process ignores (a shell starts background jobs so), or that the program
    handles in its own way, is left alone.

    Attributes:
        during_steps: whether the training is inside the steps of an epoch; set by RunState.
        requested: the exception to raise after this step; None: go on.
    """

    def __init__(self) -> None:
        self.during_steps = False
        self.requested: type[KeyboardInterrupt] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in _EXCEPTIONS:
                handler = signal.getsignal(number)
                if _raises(handler):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        stop = _EXCEPTIONS[signal.Signals(number)]
        if self.during_steps and self.requested is None:
            self.requested = stop
        else:
            raise stop


def _raises(handler: Callable | int | None) -> bool:
    """Whether a handler does nothing but stop the program: Python's, the system's, or that of cli."""
    return handler in (signal.default_int_handler, signal.SIG_DFL, raise_terminated)
