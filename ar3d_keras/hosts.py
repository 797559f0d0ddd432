"""Several machines that train one network: a process on each, which JAX connects.

Process 0 writes the run folder. The others read their part of every batch and keep their files in a
temporary folder. keras.distribution.initialize cannot be told how long to wait and ends a process
that waited in vain without an exception, so the processes meet here first.
"""

import contextlib
import hashlib
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ar3d_keras.errors import UserError

RETRY = 0.2  # seconds
HEARTBEAT = 60  # seconds without a sign of life after which JAX gives a process up
SLURM = ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_STEP_NODELIST")
INDEX = ("SLURM_PROCID", "JOB_COMPLETION_INDEX")  # the second one is that of Kubernetes
LOST = ("gloo", "nccl", "coordination", "connection", "heartbeat", "unavailable")


@dataclass(frozen=True)
class Job:
    """The processes of a training.

    Attributes:
        coordinator: host:port of process 0.
        names: one for each process, for messages.
        process: the number of this process.
        seconds: how long to wait for the others.
    """

    coordinator: str
    names: Sequence[str]
    process: int
    seconds: float = 300.0


_joined: Job | None = None


def find_job(
    hosts: str | None,
    process: int | None = None,
    seconds: float = 300.0,
    environment: Mapping[str, str] = os.environ,
) -> Job | None:
    """The job that the options describe; None without `hosts`.

    Args:
        hosts: host:port of every process, separated by commas, or `slurm`.
        process: the number of this process, from 0. None: that of SLURM or Kubernetes.
        seconds: how long to wait for the others, above 0.
        environment: the environment variables.

    Raises:
        UserError: an address or number is invalid, or the environment is not that of a SLURM step.
    """
    if hosts is None:
        if process is not None:
            raise UserError("`process` needs `hosts`: the addresses of all processes")
        return None
    if hosts == "slurm":
        if missing := [name for name in SLURM if name not in environment]:
            raise UserError(f"`hosts` slurm needs a step of SLURM (srun): {missing[0]} is not set")
        job, tasks, number = (int(environment[name]) for name in SLURM[:3])
        names = [f"task {task}" for task in range(tasks)]
        return Job(
            f"{_first_node(environment[SLURM[3]])}:{61440 + job % 4096}", names, number, seconds
        )
    names = hosts.split(",")
    for name in names:
        if not re.fullmatch(r"[^\s:]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", name):
            raise UserError(
                f"`hosts` {hosts}: {name!r} is not HOST:PORT; give one for each process"
            )
    if len(set(names)) < len(names):
        raise UserError(f"`hosts` {hosts}: an address is there twice; each process has its own")
    if process is None:
        found = next((environment[name] for name in INDEX if name in environment), "")
        if not found.isdecimal():
            raise UserError(
                f"`hosts` needs `process`, from 0 to {len(names) - 1}: neither {INDEX[0]} nor {INDEX[1]} is set"
            )
        process = int(found)
    if not 0 <= process < len(names):
        raise UserError(
            f"`process` must be from 0 to {len(names) - 1}, as `hosts` names {len(names)}, not {process}"
        )
    return Job(names[0], names, process, seconds)


def _first_node(nodes: str) -> str:
    """The first name of SLURM's list: node1 of node[1-3,7],other and of node1,node2."""
    found = re.match(r"([^,\[]+)(?:\[(\d+))?", nodes)
    return "".join(part or "" for part in found.groups()) if found else nodes


def is_first() -> bool:
    """Whether this process writes the run folder."""
    return _joined is None or _joined.process == 0


def is_joined() -> bool:
    """Whether several processes train together now."""
    return _joined is not None


@contextlib.contextmanager
def joined(job: Job | None) -> Iterator[None]:
    """Connects this process with the others; all leave together. Nothing without a job.

    Raises:
        UserError: another backend than JAX, a process does not answer in time, or one is lost.
    """
    global _joined
    if job is None:
        yield
        return
    join(job)
    try:
        yield
        leave()
    except Exception as error:
        text = " ".join(str(error).split())
        if isinstance(error, UserError) or not any(word in text.lower() for word in LOST):
            raise
        raise UserError(f"{ENDED} ({text[:160]})") from error
    finally:
        _joined = None  # after an error nobody says goodbye: the others would be waited for


ENDED = (
    "a process of the training ended or does not answer: see its messages; `python train.py --resume "
    "RUN` goes on from the last saved state, on any number of machines"
)


def join(job: Job) -> None:
    """See `joined`."""
    global _joined
    import keras

    if (backend := keras.backend.backend()) != "jax":
        raise UserError(
            f"`hosts`: several machines train with JAX only, not with {backend}: set KERAS_BACKEND=jax"
        )
    _meet(job)
    import jax

    jax.distributed.initialize(
        job.coordinator,
        len(job.names),
        job.process,
        cluster_detection_method="deactivate",  # SLURM's would use one GPU for each process
        initialization_timeout=int(job.seconds) + 1,
        heartbeat_timeout_seconds=HEARTBEAT,
    )
    _joined = job


def leave() -> None:
    """Disconnects this process, when all do; it can go on alone."""
    global _joined
    if _joined is None:
        return
    _joined = None
    import jax

    with contextlib.suppress(Exception):  # the others may be gone
        jax.distributed.shutdown()


def check_same(what: str, *values: object) -> None:
    """Checks that all processes have equal values.

    Args:
        what: what the values are, for the message.
        values: anything with a repr that is the same on every machine.

    Raises:
        UserError: on all processes, if one differs.
    """
    if _joined is None:
        return
    import numpy as np
    from jax.experimental import multihost_utils

    digest = np.frombuffer(hashlib.sha256(repr(values).encode()).digest(), np.uint8)
    digests = np.asarray(multihost_utils.process_allgather(digest))
    others = [
        name
        for name, found in zip(_joined.names, digests, strict=True)
        if (found != digests[0]).any()
    ]
    if others:
        raise UserError(
            f"`hosts`: {others[0]} has other {what} than {_joined.names[0]}: give all processes the "
            "same options and the same videos"
        )


def _meet(job: Job) -> None:
    """Waits until all processes are there; JAX's own waiting ends in an abort."""
    deadline = time.monotonic() + job.seconds
    host, _, port = job.coordinator.rpartition(":")
    address = host.strip("[]"), int(port)
    try:
        if job.process == 0:
            _receive(job, address[1], deadline)
        else:
            _call(job, address, deadline)
    except OSError as error:
        raise UserError(f"`hosts` {job.coordinator}: {error.strerror or error}") from None


def _receive(job: Job, port: int, deadline: float) -> None:
    """Process 0: hears from all others, then answers them."""
    missing = dict(enumerate(job.names))
    del missing[0]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("", port)))
        callers = []
        while missing:
            server.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                caller = stack.enter_context(server.accept()[0])
                caller.settimeout(RETRY * 5)
                number = int(caller.recv(16) or b"-1")
            except TimeoutError:
                if time.monotonic() < deadline:
                    continue
                raise UserError(
                    f"`hosts`: {', '.join(missing.values())} did not answer within "
                    f"{job.seconds:g} s: start the same command there, and check that it reaches "
                    f"{job.coordinator}"
                ) from None
            except ValueError:
                continue  # somebody else
            if missing.pop(number, None) is not None:
                callers.append(caller)
        for caller in callers:
            caller.sendall(b"go")


def _call(job: Job, address: tuple[str, int], deadline: float) -> None:
    """Another process: calls process 0 until it answers."""
    while (left := deadline - time.monotonic()) > 0:
        with contextlib.suppress(OSError), socket.create_connection(address, min(left, 5)) as call:
            call.settimeout(left)
            call.sendall(str(job.process).encode())
            if call.recv(16) == b"go":
                return
        time.sleep(RETRY)
    raise UserError(
        f"`hosts`: {job.coordinator} did not answer within {job.seconds:g} s: start the same command "
        "there, and check that the port can be reached"
    )
