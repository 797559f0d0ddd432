"""Exact resume: a run that was stopped and resumed ends with the same weights, bit for bit.

One file holds every variable of the network, including the seed generators of dropout, and of the
optimizer. Within an epoch it also holds the step, the sums of the metrics and the counters of the
callbacks. Clips need no state, because they are functions of (seed, epoch, index). Keras's
BackupAndRestore restores neither seed generators nor the order of the data, and does not write
atomically.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import keras
import numpy as np

from ar3d_keras import atomic
from ar3d_keras.errors import UserError
from ar3d_keras.training import hardware
from ar3d_keras.training.divergence import diverged
from ar3d_keras.training.stopping import StopSignals


@runtime_checkable
class Stateful(Protocol):
    """A callback whose counters are kept when a run is stopped and resumed."""

    def get_state(self) -> dict[str, Any]:
        """Returns the counters as JSON values."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes them over; called once, after `on_train_begin`."""


@dataclass(frozen=True)
class Saved:
    """What `restore` found besides the variables, which it has assigned.

    Attributes:
        epochs: the number of complete epochs.
        steps: the number of steps of the next epoch.
        metrics: the variables of the compiled metrics after these steps.
        generators: see `hardware.generator_states`.
        counters: callback -> its state, see `Stateful`.
    """

    epochs: int = 0
    steps: int = 0
    metrics: Sequence[np.ndarray] = ()
    generators: Sequence[np.ndarray] = ()
    counters: Mapping[str, Any] = field(default_factory=dict)


class RunState(keras.callbacks.Callback):
    """Writes the state after every epoch, and within an epoch.

    It must be the last callback: an epoch is complete when the others have written their files.

    Args:
        file: the .npz file, written atomically: the state before is kept until the new one has been
            read back.
        saved: what `restore` returned, if a run is resumed.
        callbacks: those with counters (`Stateful`) are saved and restored.
        steps: the number of steps in an epoch; None: nothing is saved within an epoch.
        minutes: the time between two states within an epoch; 0: after every step.
        stop: the signals; a requested stop is raised after the state has been saved.
    """

    def __init__(
        self,
        file: str | Path,
        saved: Saved | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        *,
        steps: int | None = None,
        minutes: float = 10.0,
        stop: StopSignals | None = None,
    ) -> None:
        super().__init__()
        self.file, self.saved = Path(file), saved or Saved()
        self.counters = _named([each for each in callbacks if isinstance(each, Stateful)])
        self.steps, self.seconds = steps, minutes * 60
        self.stop = stop or StopSignals()
        self.written = time.monotonic()
        self.unsaved: tuple[int, int] | None = None
        self.generators = self.saved.generators
        self.kept = self.saved.epochs, self.saved.steps

    def last_good(self) -> str:
        """Which state the file holds, for people."""
        epochs, steps = self.kept
        if not (epochs or steps):
            return "no state was saved before"
        after = f"step {steps} of epoch {epochs + 1}" if steps else f"epoch {epochs}"
        return f"{self.file} holds the state after {after}"

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        for name, state in self.saved.counters.items():
            if name in self.counters:  # a logger may be given to one part of a run only
                self.counters[name].set_state(state)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch = epoch
        saved, here = self.saved, self.saved.epochs == epoch
        if here and saved.steps:
            metrics = self.model.metrics_variables
            for variable, value in zip(metrics, saved.metrics, strict=True):
                variable.assign(value)
        # A `fit` that begins draws from torch's generator, which one that goes on does not.
        hardware.set_generator_states(self.generators)
        self.stop.during_steps = not here or saved.steps != self.steps

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if batch and (self.epoch, batch) == (self.saved.epochs, self.saved.steps):
            # Once more: Keras's iterator of an epoch has drawn from torch's generator.
            hardware.set_generator_states(self.saved.generators)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.steps is None:
            return
        done = batch + 1
        if done == self.steps:
            # The evaluation follows. If it is stopped, `save_unsaved` saves the steps.
            self.stop.during_steps = False
            self.unsaved = self.epoch, done
        elif self.stop.requested:
            self._write(self.epoch, done)
            raise self.stop.requested
        elif not 0 <= time.monotonic() - self.written < self.seconds:  # below 0: a broken clock
            self._write(self.epoch, done)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._write(epoch + 1, 0)
        self.generators = hardware.generator_states()

    def save_unsaved(self) -> None:
        """Saves the steps of an epoch whose evaluation was stopped."""
        if self.unsaved:
            self._write(*self.unsaved)

    def _write(self, epochs: int, steps: int) -> None:
        model = self.model
        variables = {name: keras.ops.convert_to_numpy(v) for name, v in _variables(model)}
        if not all(np.isfinite(value).all() for value in variables.values()):
            raise diverged("a weight became NaN or infinite", model, self.last_good())
        arrays = {"epochs": np.int64(epochs), "steps": np.int64(steps), **variables}
        if steps:
            values = map(keras.ops.convert_to_numpy, model.metrics_variables)
            arrays |= {f"metric.{number}": value for number, value in enumerate(values)}
        for number, value in enumerate(hardware.generator_states()):
            arrays[f"generator.{number}"] = value
        counters = {name: callback.get_state() for name, callback in self.counters.items()}
        arrays["counters"] = np.frombuffer(json.dumps(counters).encode(), np.uint8)
        with atomic.replacing(self.file) as temporary:
            np.savez(temporary, **arrays)
            _check_written(temporary, arrays)
        self.unsaved, self.written, self.kept = None, time.monotonic(), (epochs, steps)


def restore(file: Path, model: keras.Model, *, soft_labels: bool = False) -> Saved:
    """Restores the variables of a compiled model and its optimizer.

    Args:
        file: the .npz file that `RunState` wrote.
        model: the network that it belongs to; unchanged if an error is raised.
        soft_labels: see `trainer.compile_network`.

    Returns:
        How far the training is, and what RunState restores; empty without a file, that is, before
        the first state was written.

    Raises:
        UserError: the file is damaged, or belongs to another network.
    """
    if not file.exists():
        return Saved()
    model.optimizer.build(model.trainable_variables)
    variables = dict(_variables(model))
    saved, arrays = _read(file)
    if saved.steps:
        _build_metrics(model, soft_labels)
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    metrics = [tuple(v.shape) for v in model.metrics_variables] if saved.steps else []
    if {n: a.shape for n, a in arrays.items()} != shapes or metrics != [
        value.shape for value in saved.metrics
    ]:
        raise UserError(f"{file} belongs to another network: resume with the options of the run")
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return saved


def position(file: Path) -> tuple[int, int]:
    """The number of complete epochs in a state, and of steps after them; 0, 0 without a file.

    Raises:
        UserError: the file is damaged.
    """
    saved = _read(file)[0] if file.exists() else Saved()
    return saved.epochs, saved.steps


def _build_metrics(model: keras.Model, soft_labels: bool) -> None:
    """Makes the variables of the compiled metrics, which `fit` makes in its first step."""
    classes = model.output_shape[-1]
    outputs = np.full((1, classes), 1 / classes, np.float32)
    labels = outputs if soft_labels else np.zeros(1, np.int64)
    model.compute_metrics(None, labels, outputs)
    model.reset_metrics()


def _check_written(file: Path, arrays: dict[str, Any]) -> None:
    """Raises UserError if a file, read back, does not hold the arrays; NumPy checks the checksums."""
    try:
        with np.load(file) as written:
            same = written.files == list(arrays) and all(
                np.array_equal(written[name], array) for name, array in arrays.items()
            )
    except Exception:  # as in _read
        same = False
    if not same:
        raise UserError(
            f"{file.parent} does not give back the state that was written to it, and keeps the state "
            "before: check the disk, then `python train.py --resume`"
        )


def _read(file: Path) -> tuple[Saved, dict[str, np.ndarray]]:
    """The state, and the variables by name."""
    try:
        with file.open("rb") as handle, np.load(handle) as found:
            arrays = dict(found)
        counters = json.loads(arrays.pop("counters", np.frombuffer(b"{}", np.uint8)).tobytes())
        saved = Saved(
            int(arrays.pop("epochs")),
            int(arrays.pop("steps", 0)),  # earlier versions saved whole epochs only
            _take(arrays, "metric"),
            _take(arrays, "generator"),
            counters,
        )
        return saved, arrays
    except Exception as error:  # zipfile and NumPy raise a dozen types for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{file} cannot be read ({reason}): restore it, or train again under another `name`"
        ) from None


def _take(arrays: dict[str, np.ndarray], kind: str) -> list[np.ndarray]:
    """Removes the arrays KIND.0, KIND.1, ... and returns them."""
    count = sum(name.startswith(f"{kind}.") for name in arrays)
    return [arrays.pop(f"{kind}.{number}") for number in range(count)]


def _named(callbacks: Sequence[Stateful]) -> dict[str, Stateful]:
    """The callbacks by class name; those of the same class are numbered."""
    named: dict[str, Stateful] = {}
    for callback in callbacks:
        name = base = type(callback).__name__
        number = 2
        while name in named:
            name, number = f"{base}-{number}", number + 1
        named[name] = callback
    return named


def _variables(model: keras.Model) -> Iterator[tuple[str, keras.Variable]]:
    """(name, variable) of everything that training changes."""
    for kind, variables in (("model", model.variables), ("optimizer", model.optimizer.variables)):
        for number, variable in enumerate(variables):
            yield f"{kind}.{number}", variable
