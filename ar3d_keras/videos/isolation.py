"""Calls functions that decode videos in processes of their own, with bounds on time and memory.

A decoder that crashes, hangs or needs too much memory ends its own process and not this one. The
processes are started once and used for many files; they end half a minute after the last one. They
are new interpreters, not forks: a fork of a process with TensorFlow's threads may never return.

This isolates faults only. It is not a sandbox: a process has the rights of the user.
"""

import atexit
import contextlib
import inspect
import io
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from ar3d_keras.distributed.workers import WorkerError
from ar3d_keras.errors import UserError
from ar3d_keras.videos.remote import UnreachableError, is_in_memory, is_remote
from ar3d_keras.videos.remote import stat as remote_stat
from ar3d_keras.videos.video import ReadError

CRASHED, TIMED_OUT, TOO_LARGE = "crashed", "timed out", "too large"
UNREADABLE = "unreadable"  # the kind of every other ReadError
ITEM, RESULT = "item", "result"  # of a function that is called
REFUSED = "refused"  # an UnreachableError
# The limit for a whole file: WHOLE times the limit without a sign of life, and a second more for each
# BYTES_A_SECOND of the file.
WHOLE, BYTES_A_SECOND = 30, 20_000
START_SECONDS = 120.0  # limit for the imports of a new process
IDLE_SECONDS = 30.0  # after which a process without a request ends
_CHECK_SECONDS = 0.2  # between two checks of the limits
# If a check is so late, the processes could not run: they were stopped by Ctrl-Z, or the machine slept.
_PAUSE_SECONDS = 5.0
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from ar3d_keras.videos.decoder_process import main; main()"
)

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Limits:
    """The limits on the decoding of one file.

    Attributes:
        seconds: without a new packet of the video; see WHOLE for the limit of a whole file.
        gigabytes: of memory, in 10^9 bytes, besides that of Python and the libraries.
    """

    seconds: float = 60.0
    gigabytes: float = 4.0

    def __post_init__(self) -> None:
        for option, value in (("decode_seconds", self.seconds), ("decode_memory", self.gigabytes)):
            if not 0 < value < float("inf"):
                raise UserError(f"`{option}` must be above 0 and finite, not {value}")


class DecoderError(ReadError):
    """A decoder that crashed, hung or needed too much memory.

    Attributes:
        kind: CRASHED, TIMED_OUT or TOO_LARGE.
    """

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind

    def __reduce__(self) -> tuple[type, tuple[str, str]]:  # a Ray actor pickles it
        return type(self), (self.kind, str(self))


def kind_of(error: Exception) -> str:
    """CRASHED, TIMED_OUT, TOO_LARGE or UNREADABLE."""
    if isinstance(error, WorkerError):
        return CRASHED
    return error.kind if isinstance(error, DecoderError) else UNREADABLE


class Isolation:
    """Calls functions in other processes, from any number of threads; a context manager.

    If its block raises, the processes are killed and their files are not finished.

    Args:
        limits: on time and memory of each call.
    """

    def __init__(self, limits: Limits):
        self.limits = limits
        self._busy: set[_Process] = set()
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._failed = False

    def __enter__(self) -> "Isolation":
        threading.Thread(target=self._watch, name="decoding limits", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._failed = kind is not None
        self._ended.set()
        if self._failed:
            with self._lock:
                for process in self._busy:
                    process.kill()

    def call(self, function: Callable[..., Result], path: Path, **arguments: Any) -> Result:
        """Calls `function(path, **arguments)` in another process.

        A file whose decoder crashes is tried again in a new process, because the file before it
        may have caused the crash. If no process can be started, the function is called in this one.

        Args:
            function: at the top level of its module; its result can be pickled.
            path: of the video.
            arguments: of the function; they can be pickled.

        Raises:
            ReadError: raised by the function.
            DecoderError: the process crashed or broke a limit, or the function raised anything
                else.
        """
        if is_in_memory(path):  # no other process has that file
            return function(path, **arguments)
        try:
            next(answers := self._answers(function, path, arguments))
        except StopIteration as end:
            return end.value
        answers.close()
        raise TypeError(f"{function} is a generator: `stream` calls it")

    def stream(
        self, function: Callable[..., Generator[Item, None, Result]], path: Path, **arguments: Any
    ) -> Generator[Item, None, Result]:
        """Yields and returns what the generator `function(path, **arguments)` does.

        The other process makes the next items while the caller works on one, as many as a pipe
        holds. Its time runs only while the caller waits.

        Args:
            function: as for `call`; its items can be pickled.
            path: of the video.
            arguments: as for `call`.

        Raises:
            ReadError: as `call`.
            DecoderError: as `call`; after the first item, nothing is tried again.
        """
        if is_in_memory(path):
            return (yield from function(path, **arguments))
        return (yield from self._answers(function, path, arguments))

    def _answers(self, function: Callable, path: Path, arguments: Any) -> Generator[Any, None, Any]:
        try:
            process = _take()
            retry = process.calls > 0
            while True:
                answers = self._answers_of(process, function, path, arguments)
                try:
                    first = next(answers)
                    break
                except StopIteration as end:
                    return end.value
                except DecoderError as error:
                    if not retry or error.kind != CRASHED or process.alive or self._failed:
                        raise
                process, retry = _Process(), False
        except OSError:  # it cannot be started
            if self._failed:
                raise
            return (yield from run(function, path, arguments))
        with contextlib.closing(answers):
            yield first
            return (yield from answers)

    def _answers_of(
        self, process: "_Process", function: Callable, path: Path, arguments: Any
    ) -> Generator[Any, None, Any]:
        with self._lock:
            self._busy.add(process)
        try:
            return (yield from process.run(function, path, arguments, self.limits))
        finally:
            with self._lock:
                self._busy.discard(process)
            _give_back(process)

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(_CHECK_SECONDS) or self._busy:
            now = time.monotonic()
            late, last = now - last - _CHECK_SECONDS, now
            with self._lock:
                for process in self._busy:
                    if late > _PAUSE_SECONDS:
                        process.forgive(late)
                    process.check_time(now)


def run(function: Callable, path: Path, arguments: Any) -> Generator[Any, None, Any]:
    """Yields and returns what a function or a generator does."""
    found = function(path, **arguments)
    return (yield from found) if inspect.isgenerator(found) else found


def _seconds(path: Path, limits: Limits) -> float:
    """The limit for a whole file."""
    try:
        size = remote_stat(path)[0] if is_remote(path) else path.stat().st_size
    except OSError:
        size = 0
    return WHOLE * limits.seconds + size / BYTES_A_SECOND


class _Process:
    """A Python that decodes; see `decoder_process`.

    Attributes:
        calls: how many it has answered.
        owner: the process that started it, and whose rights it has.
        waiting: whether a request has not been answered; its answer must not be taken for that of
            another request.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.owner = _owner()
        self.waiting = False
        self._ready = False
        # Of the next sign of life, and of the whole file, by time.monotonic.
        self._deadline = self._end = math.inf
        self._late = False
        package = os.fspath(Path(__file__).parents[2])  # need not be installed
        paths = json.dumps([package, *(os.path.abspath(path) for path in sys.path)])  # noqa: PTH100
        self._popen = subprocess.Popen(
            [sys.executable, "-c", _START, paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # messages of a library that crashes
            bufsize=0,
        )

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def kill(self) -> None:
        self._popen.kill()

    def run(
        self, function: Callable, path: Path, arguments: Any, limits: Limits
    ) -> Generator[Any, None, Any]:
        """Sends a request, and yields and returns its answers; see `Isolation`."""
        self._wait_until_ready()
        seconds = left = _seconds(path, limits)
        self.waiting = True
        # An absolute path, because the working directory may change while a process lives.
        request: Any = function, path.absolute(), arguments, seconds, limits.gigabytes
        while True:
            begun = time.monotonic()
            kind, value = self._receive(request, limits, left)
            left -= time.monotonic() - begun
            if kind != ITEM:
                break
            request = None
            yield value
        self.calls, self.waiting = self.calls + 1, False
        if kind == RESULT:
            return value
        if kind == UNREADABLE:
            raise ReadError(value)
        if kind == REFUSED:
            raise UnreachableError(value)
        if kind == TOO_LARGE:
            self.close()  # its memory is fragmented
            raise DecoderError(kind, _too_large(limits))
        raise DecoderError(kind, value)

    def _receive(self, request: Any, limits: Limits, seconds: float) -> tuple[str, Any]:
        """Sends a request, if there is one, and waits for the next answer."""
        assert self._popen.stdin is not None and self._popen.stdout is not None
        now = time.monotonic()
        self._end, self._deadline = now + seconds, now + limits.seconds
        try:
            if request is not None:
                send(self._popen.stdin, request)
            while (answer := receive(self._popen.stdout)) is None:  # a sign of life
                self._deadline = time.monotonic() + limits.seconds
        except (OSError, EOFError):
            raise self._failure(limits) from None
        finally:
            self._end = self._deadline = math.inf
        return answer

    def _wait_until_ready(self) -> None:
        """Waits for the imports of a new process, which take long on a busy machine.

        Raises:
            OSError: it does not start.
        """
        if not self._ready:
            self._deadline = time.monotonic() + START_SECONDS
            assert self._popen.stdout is not None
            try:
                receive(self._popen.stdout)
            except EOFError:
                raise OSError("a process that decodes does not start") from None
            finally:
                self._deadline = math.inf
            self._ready = True

    def _failure(self, limits: Limits) -> DecoderError:
        """Why the process has ended."""
        code = self._popen.wait()
        if self._late:
            return DecoderError(
                TIMED_OUT,
                f"its decoder took more than {limits.seconds:g} s for a packet, or {WHOLE} times "
                "that for the file (`decode_seconds`)",
            )
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"exit code {code}"
        return DecoderError(CRASHED, f"its decoder crashes ({name})")

    def check_time(self, now: float) -> None:
        """Kills the process if it is late."""
        if now > min(self._deadline, self._end):
            self._late = True
            self.kill()

    def forgive(self, seconds: float) -> None:
        """Moves the limits, because the process could not run for so long."""
        self._deadline, self._end = self._deadline + seconds, self._end + seconds

    def close(self) -> None:
        """Ends the process, which is idle."""
        assert self._popen.stdin is not None and self._popen.stdout is not None
        self._popen.kill()
        self._popen.stdin.close()
        self._popen.stdout.close()
        self._popen.wait()


def _too_large(limits: Limits) -> str:
    return f"it needs more than {limits.gigabytes:g} GB of memory (`decode_memory`)"


# Variables that tell how to reach an object store begin with these.
_STORES = ("AWS_", "AZURE_", "FSSPEC_", "GOOGLE_")

_lock = threading.Lock()
_idle: list[_Process] = []


def _take() -> _Process:
    with _lock:
        while _idle:
            process = _idle.pop()
            if process.alive and process.owner == _owner():
                return process
            process.close()
    return _Process()


def _give_back(process: _Process) -> None:
    if process.alive and not process.waiting:
        with _lock:
            _idle.append(process)
    else:
        process.close()


def _owner() -> tuple[int, int | None, dict[str, str]]:
    """This process, its user and its credentials.

    A fork must not use the processes of its parent, and a process keeps the environment that it
    began with.
    """
    user = os.geteuid() if hasattr(os, "geteuid") else None
    stores = {name: value for name, value in os.environ.items() if name.startswith(_STORES)}
    return os.getpid(), user, stores


@atexit.register
def _end() -> None:
    while _idle:
        _idle.pop().close()


def send(stream: IO[bytes], value: Any) -> None:
    """Writes a value to a pipe without a buffer."""
    content = pickle.dumps(value)
    rest = memoryview(len(content).to_bytes(8, "little") + content)
    while rest:
        rest = rest[stream.write(rest) :]


def receive(stream: Any, arrived: Callable[[], None] = lambda: None) -> Any:
    """Reads what `send` wrote.

    Args:
        stream: the pipe.
        arrived: called before the value is made of what arrived, which may import modules.

    Raises:
        EOFError: the other end is closed.
    """
    content = _read(stream, int.from_bytes(_read(stream, 8), "little"))
    arrived()
    return pickle.loads(content)


def _read(stream: io.RawIOBase, length: int) -> bytearray:
    content = bytearray(length)
    rest = memoryview(content)
    while rest:
        if not (count := stream.readinto(rest)):
            raise EOFError
        rest = rest[count:]
    return content
