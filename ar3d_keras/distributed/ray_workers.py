"""Workers that are the actors of a Ray cluster (https://docs.ray.io, `pip install ar3d-keras[ray]`).

An actor is a process that makes one worker and calls it for one item after the other. If it dies,
its item is repeated by a new actor, and nothing else is lost.
"""

import contextlib
import os
import queue
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from ar3d_keras.distributed.workers import MakeWorker, WithFile, WorkerError, Workers
from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter
from ar3d_keras.version import __version__

TRIES = 3  # actors that may die of an item
PART = 8 << 20  # bytes of a file that are copied at once
SPOOL_BYTES = 32 << 20  # a copied file up to this size stays in memory
CONNECT_SECONDS = 5.0
_PORT = 10001  # of a Ray client server, by default
# Ray 2.60 reports a missing token as a timeout.
_TOKENS = "; a cluster with tokens needs RAY_AUTH_MODE=token, and its token in ~/.ray/auth_token"
# What an actor takes over from this process, where it is set.
_VARIABLES = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "AWS_ENDPOINT_URL")


def check_address(on: str) -> None:
    """Checks that Ray is installed, and that something listens at the address.

    Raises:
        UserError: one of both is not so.
    """
    if on == "ray":
        _import_ray()
        return
    address = urlsplit(on)
    try:
        host, port = address.hostname, address.port or _PORT
    except ValueError:
        host, port = None, 0
    if not host or address.path or address.query:
        raise UserError(f"`on` must be ray or ray://HOST:PORT, not {on!r}")
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"`on` {on}: nothing answers at {host}:{port} ({error.strerror or error}): give the "
            "address of the cluster's Ray client server, or `ray` for a local one"
        ) from None
    _import_ray()


def _import_ray() -> Any:
    # Ray's own default would report the use of it over the network.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError(f"`on` ray needs Ray ({error}): `pip install ar3d-keras[ray]`") from None
    return ray


@dataclass
class _Kept:
    """The part of a WithFile that an actor sends at once; the rest of the file stays with it."""

    value: Any
    size: int
    head: bytes


class _Actor:
    """The process of a worker, which is made for its first item: an error of that is the item's."""

    def __init__(self, make: MakeWorker, folder: str):
        self._make = make
        with contextlib.suppress(OSError):  # relative paths are those of the calling process
            os.chdir(folder)
        self._work: Callable[[Any], Any] | None = None
        self._file: IO[bytes] | None = None

    def call(self, item: Any) -> Any:
        self.drop()
        if self._work is None:
            self._work = self._make().__enter__()
        result = self._work(item)
        if not isinstance(result, WithFile):
            return result
        self._file = result.file
        size = self._file.seek(0, os.SEEK_END)
        return _Kept(result.value, size, self.read(0))

    def read(self, offset: int) -> bytes:
        assert self._file is not None
        self._file.seek(offset)
        return self._file.read(PART)

    def drop(self) -> None:
        if self._file:
            self._file.close()
        self._file = None


def _versions() -> dict[str, str]:
    """What decides the results of a worker."""
    import numpy as np

    from ar3d_keras.version import __version__

    found = {
        "ar3d_keras": __version__,
        "Python": ".".join(map(str, sys.version_info[:2])),
        "NumPy": np.__version__,
    }
    for name, module in (("OpenCV", "cv2"), ("PyAV", "av")):
        found[name] = getattr(__import__(module), "__version__", "none")
    return found


class RayActors(Workers):
    """The actors of a Ray cluster; see `workers.open_workers` for the arguments."""

    def __init__(
        self,
        on: str,
        make: MakeWorker,
        *,
        size: int | None,
        reporter: Reporter,
        network: bool,
        name: Callable[[Any], str],
    ):
        self._ray = _import_ray()
        self._reporter, self._name = reporter, name
        self._closed = threading.Event()
        self._actors: set[Any] = set()
        self._began = not self._ray.is_initialized()
        if self._began:
            self._connect(on, size or 1)
        try:
            self.size, resources = self._share(size, network)
            self._check_versions()
            self._make = self._ray.put(make)
            self._class = self._ray.remote(**resources)(_Actor)
        except BaseException:
            self.close()
            raise
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self.size):
            self._idle.put(None)  # an actor is started for its first item
        self._pool = ThreadPoolExecutor(self.size)
        machines = len([node for node in self._ray.nodes() if node["Alive"]])
        reporter.log(f"Ray: {self.size} worker(s) on {machines} machine(s)")

    def _connect(self, on: str, size: int) -> None:
        variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        address = os.environ.get("RAY_ADDRESS", "local") if on == "ray" else on
        if address == "local":
            # The actors of a local Ray import what this process imports.
            paths = [os.fspath(Path(__file__).parents[2]), *filter(None, sys.path)]
            variables["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
            options |= {
                "num_cpus": max(size, os.cpu_count() or 1), "include_dashboard": False
            }  # fmt: skip
        try:
            self._ray.init(address, runtime_env={"env_vars": variables}, **options)
        except (OSError, RuntimeError, ValueError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            hint = "" if address == "local" else _TOKENS
            raise UserError(f"`on` {on}: Ray cannot be reached or started: {first}{hint}") from None

    def _share(self, size: int | None, network: bool) -> tuple[int, dict[str, float]]:
        """The number of actors, and what each of them reserves."""
        there = self._ray.cluster_resources()
        cpus, gpus = int(there.get("CPU", 0)), int(there.get("GPU", 0))
        if not network:
            return min(size or cpus, max(1, cpus)), {"num_cpus": 1}
        if gpus:
            return min(size or gpus, gpus), {"num_cpus": 1, "num_gpus": 1}
        machines = [node for node in self._ray.nodes() if node["Alive"]]
        size = min(size or len(machines), max(1, cpus))
        return size, {"num_cpus": max(1, cpus // size)}

    def _check_versions(self) -> None:
        """Raises if the machines have other versions than this process: the results would differ."""
        try:
            there = self._ray.get(self._ray.remote(num_cpus=0)(_versions).remote())
        except (self._ray.exceptions.RayError, ImportError) as error:
            last = (str(error).strip() or type(error).__name__).splitlines()[-1]
            raise UserError(
                f"the Ray workers cannot import ar3d_keras ({last}): install ar3d-keras "
                f"{__version__} on every machine of the cluster"
            ) from None
        here = _versions()
        for name, version in here.items():
            if there[name] != version:
                raise UserError(
                    f"the Ray workers have {name} {there[name]} and this process has {version}: "
                    "install the same version, so that the results are the same"
                )

    def submit(self, item: Any) -> Future:
        return self._pool.submit(self._run, item)

    def _run(self, item: Any) -> Any:
        """In a thread, which waits for an actor."""
        actor = self._idle.get()
        errors = self._ray.exceptions
        try:
            for _ in range(TRIES):
                try:
                    actor = actor or self._start()
                    return self._received(actor, self._ray.get(actor.call.remote(item)))
                except errors.RayTaskError as error:
                    raise error.cause from None
                except errors.RayActorError as error:
                    if self._closed.is_set():
                        raise WorkerError("the work was stopped") from None
                    if error.actor_init_failed:
                        last = str(error).strip().splitlines()[-1]
                        raise UserError(f"a Ray worker cannot start: {last}") from None
                    self._actors.discard(actor)
                    actor = None
                    self._reporter.log(f"a worker died while it worked on {self._name(item)!r}")
            raise WorkerError(f"its worker died {TRIES} times")
        finally:
            self._idle.put(actor)

    def _start(self) -> Any:
        actor = self._class.remote(self._make, str(Path.cwd()))
        self._actors.add(actor)
        return actor

    def _received(self, actor: Any, reply: Any) -> Any:
        """The result of an actor, with its file copied to this machine."""
        if not isinstance(reply, _Kept):
            return reply
        file = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115
        try:
            file.write(reply.head)
            while file.tell() < reply.size:
                file.write(self._ray.get(actor.read.remote(file.tell())))
            actor.drop.remote()
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return WithFile(reply.value, file)

    def close(self) -> None:
        self._closed.set()
        for actor in list(self._actors):
            self._ray.kill(actor)
        if hasattr(self, "_pool"):
            self._pool.shutdown(cancel_futures=True)
        if self._began and self._ray.is_initialized():
            self._ray.shutdown()
