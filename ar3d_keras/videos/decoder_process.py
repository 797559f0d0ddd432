"""The other end of `isolation`: answers requests on its standard input until that is closed."""

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Generator, Iterator
from typing import Any

from ar3d_keras.videos import decoders
from ar3d_keras.videos.isolation import (
    CRASHED,
    IDLE_SECONDS,
    ITEM,
    REFUSED,
    RESULT,
    TOO_LARGE,
    UNREADABLE,
    receive,
    run,
    send,
)
from ar3d_keras.videos.opencv import load_cv2
from ar3d_keras.videos.remote import UnreachableError
from ar3d_keras.videos.video import ReadError

_BEAT_SECONDS = 0.5  # between two signs of life
_GRACE_SECONDS = 30.0


def main() -> None:
    """Answers (function, path, arguments, seconds, gigabytes) by (kind, value); None: still alive.

    A generator is answered by its items before its result.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    # What libraries print must not be taken for an answer.
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(null, standard)
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    load_cv2()
    import av  # noqa: F401  (before memory is limited)

    send(answers, None)  # ready
    life = _Life(answers, null)
    decoders.heartbeat = life.beat
    while True:
        idle = threading.Timer(IDLE_SECONDS, os._exit, (0,))
        idle.daemon = True
        idle.start()
        try:
            function, path, arguments, life.seconds, life.gigabytes = receive(
                requests, arrived=idle.cancel
            )
        except (EOFError, OSError):
            os._exit(0)
        life.begin()
        with _memory_limit(life.gigabytes):
            answer = _answer(run(function, path, arguments), life)
        life.send(answer)


def _answer(items: Generator[Any, None, Any], life: "_Life") -> tuple[str, Any]:
    """Sends the items, and returns the last answer."""
    try:
        while True:
            life.send((ITEM, next(items)))
            life.begin()
    except StopIteration as end:
        return RESULT, end.value
    except (decoders.TooLargeError, MemoryError):
        return TOO_LARGE, None
    except ReadError as error:
        return UNREADABLE, str(error)
    except UnreachableError as error:
        return REFUSED, str(error)
    except Exception as error:  # of a library that did not expect such a file, or a bug of ours
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(place.filename)}:{place.lineno}"  # noqa: PTH119
        return CRASHED, f"its decoder fails ({type(error).__name__}: {error}; {where})"


class _Life:
    """Answers the parent, and tells it from time to time that packets are being decoded."""

    def __init__(self, answers, null: int):
        self._answers, self._null, self._last = answers, null, 0.0
        self.seconds = self.gigabytes = 0.0

    def begin(self) -> None:
        """Bounds the time to the next answer.

        The parent enforces the limits, unless it was killed. This needs no lock of Python.
        """
        faulthandler.dump_traceback_later(self.seconds + _GRACE_SECONDS, exit=True, file=self._null)

    def send(self, answer: tuple[str, Any]) -> None:
        """Sends an answer, for which the parent may take its time."""
        faulthandler.cancel_dump_traceback_later()
        self._send(answer)

    def beat(self) -> None:
        now = time.monotonic()
        if now - self._last < _BEAT_SECONDS:
            return
        self._last = now
        if sys.platform == "darwin" and _peak_bytes() > self.gigabytes * 1e9:
            raise MemoryError  # macOS ignores RLIMIT_AS
        self._send(None)

    def _send(self, answer: tuple[str, Any] | None) -> None:
        try:
            send(self._answers, answer)
        except OSError:
            os._exit(0)  # the parent is gone


def _peak_bytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@contextlib.contextmanager
def _memory_limit(gigabytes: float) -> Iterator[None]:
    """Limits the memory of this process, where the system can."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            there = int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = there + int(gigabytes * 1e9)
    for other in (soft, hard):
        if other != resource.RLIM_INFINITY:
            limit = min(limit, other)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


if __name__ == "__main__":
    main()
