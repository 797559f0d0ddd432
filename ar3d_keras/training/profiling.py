"""Where a training step's time goes: a trace of a few steps, and a table of operations."""

import collections
import contextlib
import gzip
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import keras

from ar3d_keras import atomic
from ar3d_keras.progress import Reporter

TRACE = "trace.json.gz"


class ProfileSteps(keras.callbacks.Callback):
    """Traces some steps, once, and says which operations took longest.

    Writes operations.txt, a table, and trace.json.gz, the time line: open it in ui.perfetto.dev
    or chrome://tracing. Durations are of threads, so that those of parallel operations add up to
    more than the step.

    Args:
        folder: where they go.
        reporter: says the table.
        first: the step, from 0, at which it begins: the ones before compile and warm up.
        steps: how many.
    """

    def __init__(self, folder: str | Path, reporter: Reporter, first: int = 3, steps: int = 3):
        super().__init__()
        self.folder, self.reporter = Path(folder), reporter
        self.first, self.last = first, first + steps - 1
        self._trace = contextlib.ExitStack()
        self._step, self._open = 0, False

    def on_train_batch_begin(self, batch, logs=None):
        if self._step == self.first:
            self._events = self._trace.enter_context(trace())
            self._open = True

    def on_train_batch_end(self, batch, logs=None):
        self._step += 1
        if self._step > self.last:
            self.on_train_end()

    def on_train_end(self, logs=None):
        if self._open:  # fewer steps than it wanted
            self._finish()

    def close(self) -> None:
        """Ends a recording that an error interrupted, without writing it."""
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
    """One call of an operation; times in microseconds, `own` without those it called."""

    thread: str
    name: str
    begin: float
    duration: float
    own: float


@contextlib.contextmanager
def trace() -> Iterator[list[Event]]:
    """Records what the backend does inside the context; the list is filled when it ends."""
    events: list[Event] = []
    record = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
    with record(events):
        yield events


def table(events: list[Event], steps: int, rows: int = 15) -> str:
    """The operations that took longest: milliseconds a step, share, calls a step."""
    spent, calls = collections.Counter(), collections.Counter()
    for event in events:
        spent[event.name] += event.own
        calls[event.name] += 1
    total = sum(spent.values()) or 1.0
    lines = [f"{'ms a step':>10}  {'share':>6}  {'calls':>6}  operation"]
    for name, duration in spent.most_common(rows):
        lines.append(
            f"{duration / steps / 1e3:10.2f}  {duration / total:6.1%}  {calls[name] / steps:6.1f}  {name}"
        )
    return "\n".join(lines) + "\n"


def chrome(events: list[Event]) -> dict:
    """The events in Chrome's trace format.

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
        {"ph": "X", "name": e.name, "pid": 0, "tid": threads[e.thread], "ts": e.begin}
        | {"dur": e.duration}
        for e in events
    ]
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
    """Of all that TensorFlow's and JAX's profilers record, the operations and GPU kernels."""
    for plane, line, name, begin, duration in recorded:
        on_cpu = plane.startswith("/host") and line.startswith("tf_")
        on_gpu = plane.startswith("/device:GPU") and line.startswith("Stream")
        if (on_cpu and not _BOOKKEEPING.match(name)) or on_gpu:
            # TensorFlow's are "StatefulPartitionedCall/where/in/the/graph:Type".
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
