"""Calls a function for many items, in threads of this process or in the actors of a Ray cluster.

What is called is a worker: a context manager whose value is a function of one item. Threads share
one worker; each Ray actor makes its own. Results come in the order of the items, so that the number
and the kind of the workers change no result.
"""

import abc
import collections
import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, Any, Generic, TypeVar

from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter

Item = TypeVar("Item")
Result = TypeVar("Result")
MakeWorker = Callable[[], AbstractContextManager[Callable[[Any], Any]]]


class WorkerError(Exception):
    """An item whose workers died; the message is the reason, without the item."""


@dataclass
class WithFile(Generic[Result]):
    """A result with a file, which whoever receives it closes.

    On Ray the file stays on the worker's machine and is copied in parts: it may be larger than the
    memory.
    """

    value: Result
    file: IO[bytes]


class Workers(abc.ABC):
    """Workers that are started; a context manager that ends them.

    Attributes:
        size: how many items are worked on at the same time.
    """

    size: int

    @abc.abstractmethod
    def submit(self, item: Any) -> Future:
        """Starts to work on an item as soon as a worker is free.

        Returns:
            the Future of its result. Its exception is that of the worker, or WorkerError if several
            workers died of this item.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Ends the workers; items that are being worked on are lost."""

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def map(self, items: Iterable[Item]) -> Generator[tuple[Item, Future], None, None]:
        """Yields (item, Future that is done) in the order of the items.

        At most twice as many items as workers are taken ahead, so that memory does not grow with
        the number of items.
        """
        ahead: collections.deque[tuple[Item, Future]] = collections.deque()
        waiting = iter(items)
        try:
            while True:
                for item in itertools.islice(waiting, 2 * self.size - len(ahead)):
                    ahead.append((item, self.submit(item)))
                if not ahead:
                    return
                item, future = ahead.popleft()
                future.exception()  # waits
                yield item, future
        finally:
            for _, future in ahead:
                future.cancel()
                future.add_done_callback(_close_file)


def _close_file(future: Future) -> None:
    """Closes the file of a result that nobody wants any more."""
    if future.cancelled() or future.exception():
        return
    if isinstance(result := future.result(), WithFile):
        result.file.close()


class Threads(Workers):
    """Threads of this process, which share one worker.

    Args:
        make: makes the worker.
        size: number of threads.
    """

    def __init__(self, make: MakeWorker, size: int):
        self.size = size
        self._pool = ThreadPoolExecutor(size)
        self._stack = contextlib.ExitStack()
        self._worker = self._stack.enter_context(make())

    def submit(self, item: Any) -> Future:
        return self._pool.submit(self._worker, item)

    def __exit__(self, *error: Any) -> None:
        # The worker knows from the error that what it works on is not wanted any more.
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._stack.__exit__(*error)
        self._pool.shutdown()

    def close(self) -> None:
        self.__exit__(None, None, None)


def check_on(on: str | None) -> None:
    """Checks that the place where workers run can be used, before long work.

    Args:
        on: None: this process; `ray`: the Ray cluster of RAY_ADDRESS, or a local one;
            `ray://HOST:PORT`: the Ray client server of a cluster.

    Raises:
        UserError: `on` is something else, Ray is not installed, or nothing listens at the address.
    """
    if on is None:
        return
    if on != "ray" and not on.startswith("ray://"):
        raise UserError(f"`on` must be ray or ray://HOST:PORT, not {on!r}")
    from ar3d_keras.distributed.ray_workers import check_address

    check_address(on)


def open_workers(
    on: str | None,
    make: MakeWorker,
    *,
    workers: int | None,
    threads: int,
    reporter: Reporter,
    network: bool = False,
    name: Callable[[Any], str] = str,
) -> Workers:
    """Starts workers.

    Args:
        on: see `check_on`.
        make: makes a worker; for Ray it can be pickled.
        workers: how many Ray actors; None: one for each CPU of the cluster, or with `network` one
            for each GPU, or for each machine of a cluster without GPUs.
        threads: how many threads, without Ray.
        reporter: logs what happens to Ray actors.
        network: whether a worker runs a network, so that it needs a GPU or all cores of a machine.
        name: of an item, for people.

    Raises:
        UserError: as `check_on`; or the cluster lacks this package, or has other versions.
    """
    if on is None:
        return Threads(make, threads)
    check_on(on)
    from ar3d_keras.distributed.ray_workers import RayActors

    return RayActors(on, make, size=workers, reporter=reporter, network=network, name=name)
