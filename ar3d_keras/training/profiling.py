"""Profiles a few training steps: a trace, and a table of the slowest operations."""

import collections
import contextlib
import gzip
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras

from ar3d_keras import atomic
from ar3d_keras.progress import Reporter

TRACE = "trace.json.gz"


class ProfileSteps(keras.callbacks.Callback):
    """Traces some training steps once, and logs which operations took the most time.

    Writes operations.txt, a table, and trace.json.gz, a timeline for ui.perfetto.dev or
    chrome://tracing. Durations are measured per thread, so those of parallel operations can add up
    to more than the step.

    Args:
        folder: the folder of both files.
        reporter: receives the table.
        first: the first step to trace, from 0. Earlier steps compile and warm up.
        steps: the number of steps to trace.
    """

    def __init__(
        self, folder: str | Path, reporter: Reporter, first: int = 3, steps: int = 3
    ) -> None:
        super().__init__()
        self.folder, self.reporter = Path(folder), reporter
        self.first, self.last = first, first + steps - 1
        self._trace = contextlib.ExitStack()
        self._step, self._open = 0, False

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._step == self.first:
            self._events = self._trace.enter_context(trace())
            self._open = True

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._step += 1
        if self._step > self.last:
            self.on_train_end()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._open:  # also if the training had fewer steps
            self._finish()

    def close(self) -> None:
        """Stops a trace that an error interrupted, without writing it."""
        self._open = False
        self._trace.close()

    def _finish(self) -> None:
        self.close()
        steps = self._step - self.first
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(self.folder / TRACE) as file:
            file.write_bytes(gzip.compress(json.dumps(chrome(self._events)).encode()))
        text = table(self._events, steps)
        atomic.write_text(self.folder / "operations.txt", text)
        self.reporter.log(f"{text}profile  {self.folder}")


class Event(NamedTuple):
    """One call of an operation, in microseconds; `own` excludes the operations that it called."""

    thread: str
    name: str
    begin: float
    duration: float
    own: float


@contextlib.contextmanager
def trace() -> Iterator[list[Event]]:
    """Records the operations of the backend; the list is filled when the context ends."""
    events: list[Event] = []
    record = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
    with record(events):
        yield events


def table(events: list[Event], steps: int, rows: int = 15) -> str:
    """A table of the slowest operations: milliseconds per step, share, calls per step."""
    spent: dict[str, float] = collections.defaultdict(float)
    calls: collections.Counter[str] = collections.Counter()
    for event in events:
        spent[event.name] += event.own
        calls[event.name] += 1
    total = sum(spent.values()) or 1.0
    lines = [f"{'ms/step':>10}  {'share':>6}  {'calls':>6}  operation"]
    for name, duration in sorted(spent.items(), key=lambda item: -item[1])[:rows]:
        lines.append(
            f"{duration / steps / 1e3:10.2f}  {duration / total:6.1%}  {calls[name] / steps:6.1f}  {name}"
        )
    return "\n".join(lines) + "\n"


def chrome(events: list[Event]) -> dict[str, Any]:
    """The events in the Trace Event Format of Chrome.

    Source: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
    """
    threads = {
        thread: number for number, thread in enumerate(dict.fromkeys(e.thread for e in events))
    }
    named = [
        {"ph": "M", "name": "thread_name", "pid": 0, "tid": n, "args": {"name": thread}}
        for thread, n in threads.items()
    ]
    calls = [
        {"ph": "X", "name": e.name, "pid": 0, "tid": threads[e.thread], "ts": e.begin, "dur": e.duration}
        for e in events
    ]  # fmt: skip
    return {"traceEvents": named + calls}


@contextlib.contextmanager
def _tensorflow(events: list[Event]) -> Iterator[None]:
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            yield
        space = xplane_pb2.XSpace.FromString(_recorded(folder))
    events += _operations(
        (plane.name, line.name, plane.event_metadata[e.metadata_id].name,
         line.timestamp_ns + e.offset_ps / 1e3, e.duration_ps / 1e3)
        for plane in space.planes for line in plane.lines for e in line.events
    )  # fmt: skip


@contextlib.contextmanager
def _jax(events: list[Event]) -> Iterator[None]:
    import jax

    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            yield
        space = jax.profiler.ProfileData.from_serialized_xspace(_recorded(folder))
    events += _operations(
        (plane.name, line.name, event.name, event.start_ns, event.duration_ns)
        for plane in space.planes for line in plane.lines for event in line.events
    )  # fmt: skip


def _recorded(folder: str) -> bytes:
    return next(Path(folder).rglob("*.xplane.pb")).read_bytes()


def _operations(recorded: Iterable[tuple[str, str, str, float, float]]) -> Iterator[Event]:
    """The operations and GPU kernels among the events that TensorFlow and JAX record."""
    for plane, line, name, begin, duration in recorded:
        on_cpu = plane.startswith("/host") and line.startswith("tf_")
        on_gpu = plane.startswith("/device:GPU") and line.startswith("Stream")
        if (on_cpu and not _BOOKKEEPING.match(name)) or on_gpu:
            # TensorFlow's names are "StatefulPartitionedCall/path/in/the/graph:Type".
            name = name.removeprefix("StatefulPartitionedCall/")
            yield Event(line.split("/")[0], name, begin / 1e3, duration / 1e3, duration / 1e3)


_BOOKKEEPING = re.compile(
    r".*::|end: |Eager|Executor|FunctionRun|.*/ReadVariableOp:|KernelAnd|tf\.|TFE_"
)


@contextlib.contextmanager
def _torch(events: list[Event]) -> Iterator[None]:
    import torch
    from torch.profiler import profile

    with profile() as profiler:
        yield
    for event in profiler.events():
        on_gpu = event.device_type != torch.autograd.DeviceType.CPU
        thread = f"{'GPU' if on_gpu else 'CPU'} {event.thread}"
        time = event.time_range
        own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        events.append(Event(thread, event.name, time.start, time.elapsed_us(), own))
