"""Keras callbacks that measure, record and stop a training.

SplitMetrics and HistoryCSV work in any `fit`:
`model.fit(x, y, callbacks=[SplitMetrics({"val": batches}), HistoryCSV("history.csv")])`.
SplitMetrics comes first, because it adds to the logs that later callbacks read. The callbacks that
draw are in `reports.callbacks`.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ar3d_keras import atomic
from ar3d_keras.config import Monitor
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation import metrics
from ar3d_keras.evaluation.evaluator import evaluate_batches
from ar3d_keras.evaluation.metrics import Evaluation
from ar3d_keras.evaluation.monitor import rank
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import RunFolder
from ar3d_keras.training.divergence import diverged
from ar3d_keras.videos.sources import ClipSource

# Of the training videos; more that were decoded before training and now fail end it.
MOST_FAILURES = 0.05
Logs = dict[str, Any] | None  # the type of `logs` in Keras's callback methods


class SplitMetrics(keras.callbacks.Callback):
    """Adds {split}_loss, _accuracy, _top5 and _class_mean to the logs of every epoch.

    Losses are cross-entropies in nats; accuracies are between 0 and 1; class_mean is the mean of the
    accuracies of the classes.

    Args:
        splits: name -> batches (clips, labels): an iterable that can be iterated again (a
            tf.data.Dataset, a PyDataset, a list), or a function that takes the model and returns
            an Evaluation.
    """

    def __init__(
        self, splits: Mapping[str, Iterable | Callable[[keras.Model], Evaluation]]
    ) -> None:
        super().__init__()
        self.splits = splits

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = {} if logs is None else logs
        for name, data in self.splits.items():
            evaluation = data(self.model) if callable(data) else evaluate_batches(self.model, data)
            scores = metrics.scores(evaluation)
            logs[f"{name}_loss"] = scores["loss"]
            logs[f"{name}_accuracy"] = scores["top1"]
            logs[f"{name}_top5"] = scores["top5"]
            logs[f"{name}_class_mean"] = scores["mean_class_accuracy"]


class EpochRate(keras.callbacks.Callback):
    """Adds lr, seconds, clips_per_s and wait_share to the logs of every epoch.

    They measure the training steps only, without the evaluation at the end of an epoch. wait_share
    is the share of the time in which the network waited for the next batch. The logs of every
    batch contain wait_share too, measured since the start of the epoch. The time of steps before a
    resume counts too.

    Args:
        clips: the number of clips in an epoch.
        ready: (epoch, step) -> the time when that batch was ready, by time.perf_counter. The
            callback removes the entries that it has read.
    """

    def __init__(self, clips: int, ready: MutableMapping[tuple[int, int], float]) -> None:
        super().__init__()
        self.clips, self.ready = clips, ready
        self.before: dict[str, float] = {}

    def get_state(self) -> dict[str, float]:
        """The seconds of the epoch so far, and those in which the network waited."""
        seconds = self.ended - self.begun
        return {"epoch": self.epoch, "seconds": seconds, "waited": self.waited}

    def set_state(self, state: dict[str, float]) -> None:
        """Takes over those of the steps before a resume."""
        self.before = state

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        before = self.before if self.before.get("epoch") == epoch else {}
        self.epoch, self.waited = epoch, before.get("waited", 0.0)
        self.ended = time.perf_counter()
        self.begun = self.ended - before.get("seconds", 0.0)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        requested, self.ended = self.ended, time.perf_counter()
        ready = self.ready.pop((self.epoch, batch), requested)
        self.waited += max(0.0, ready - requested)
        if logs is not None:
            logs["wait_share"] = self.waited / (self.ended - self.begun)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if logs is None:
            return
        seconds = self.ended - self.begun
        logs["lr"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        logs["seconds"] = seconds
        logs["clips_per_s"] = self.clips / seconds
        logs["wait_share"] = self.waited / seconds


class HistoryCSV(keras.callbacks.Callback):
    """Writes one row per epoch: `epoch` (from 1) and every entry of the logs.

    Args:
        file: the CSV file, written atomically after every epoch.
        rows: the rows of earlier epochs if a run is resumed.
    """

    def __init__(self, file: str | Path, rows: Sequence[dict[str, float]] = ()) -> None:
        super().__init__()
        self.file, self.rows = Path(file), list(rows)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = logs or {}
        self.rows.append({"epoch": epoch + 1, "loss": logs["loss"], **logs})
        # Not every epoch has every entry, for example with Keras's validation_freq.
        header = list(dict.fromkeys(name for row in self.rows for name in row))
        lines = ([row.get(name, "") for name in header] for row in self.rows)
        atomic.write_csv(self.file, header, lines)


class BestNetwork(keras.callbacks.Callback):
    """Saves the network of the best epoch; see `evaluation.monitor`.

    Args:
        file: the .keras file, written atomically.
        float32_model: the same network in float32. It receives the weights and is saved, so that
            the file computes in float32 on every machine.
        rows: the rows of earlier epochs if a run is resumed.
        last: whether to save the network of the last epoch instead.
        monitor: the entry of the logs that ranks the epochs.
    """

    def __init__(
        self,
        file: str | Path,
        float32_model: keras.Model,
        rows: Sequence[dict[str, float]] = (),
        *,
        last: bool = False,
        monitor: Monitor = "val_accuracy",
    ) -> None:
        super().__init__()
        self.file, self.float32_model, self.last = Path(file), float32_model, last
        self.monitor = monitor
        self.best = -math.inf, -math.inf
        if not last:
            self.best = max((rank(row, monitor) for row in rows), default=self.best)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if not self.last:
            value = rank(logs or {}, self.monitor)
            if value <= self.best:
                return
            self.best = value
        self.float32_model.set_weights(self.model.get_weights())
        with atomic.replacing(self.file) as temporary:
            self.float32_model.save(temporary)


class EarlyStop(keras.callbacks.Callback):
    """Stops the training after `epochs` epochs without a better one, ranked as by BestNetwork.

    Args:
        epochs: how many epochs to wait for a better one; 0 never stops.
        rows: the rows of earlier epochs if a run is resumed.
        monitor: the entry of the logs that ranks the epochs.
    """

    def __init__(
        self,
        epochs: int,
        rows: Sequence[dict[str, float]] = (),
        monitor: Monitor = "val_accuracy",
    ) -> None:
        super().__init__()
        self.epochs, self.rows, self.monitor = epochs, list(rows), monitor

    @property
    def is_due(self) -> bool:
        """Whether the training stops after the epochs so far."""
        if not (self.epochs and self.rows):
            return False
        ranks = [rank(row, self.monitor) for row in self.rows]
        best = ranks.index(max(ranks))
        return len(self.rows) - 1 - best >= self.epochs

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.rows.append(dict(logs or {}))
        if self.is_due:
            self.model.stop_training = True


class StopOnNaN(keras.callbacks.Callback):
    """Raises a UserError when the loss, or a weight after an epoch, becomes NaN or infinite.

    It must come before the callbacks that write files, so that these keep what was good.

    Args:
        kept: returns a sentence that names the checkpoint that is left.
    """

    def __init__(self, kept: Callable[[], str] = str) -> None:
        super().__init__()
        self.kept = kept

    def on_train_begin(self, logs: Logs = None) -> None:
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            where = f"epoch {self.epoch + 1}, step {batch + 1}"
            raise diverged(f"the loss became {loss} in {where}", self.model, self.kept())

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        # The last step of an epoch may leave weights that no loss has been computed with yet.
        if not all(np.isfinite(weights).all() for weights in self.model.get_weights()):
            what = f"a weight became NaN or infinite in the last step of epoch {epoch + 1}"
            raise diverged(what, self.model, self.kept())


class EpochProgress(keras.callbacks.Callback):
    """Shows a bar during an epoch, and logs a line after it.

    Args:
        reporter: shows the bar and the line.
        clips: the number of clips in an epoch.
        batch_size: the number of clips in a step.
        epochs: the number of epochs of the whole training.
    """

    def __init__(self, reporter: Reporter, *, clips: int, batch_size: int, epochs: int) -> None:
        super().__init__()
        self.reporter, self.clips, self.batch_size = reporter, clips, batch_size
        self.epochs = epochs
        self.open_bar = contextlib.ExitStack()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.update = self.open_bar.enter_context(
            self.reporter.bar(f"epoch {epoch + 1}/{self.epochs}", self.clips, "clips")
        )

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        logs = logs or {}
        done = min((batch + 1) * self.batch_size, self.clips)
        scores = f"loss {logs['loss']:.3f}  accuracy {logs['accuracy']:.3f}"
        self.update(done, f"{scores}  waiting {logs['wait_share']:.0%}")
        if done == self.clips:
            self.close()

    def close(self) -> None:
        """Removes the bar; the trainer calls it when `fit` ends, also after an error."""
        self.open_bar.close()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = logs or {}
        scores = "   ".join(
            f"{name} {logs[prefix + 'loss']:.3f} {logs[prefix + 'accuracy']:.3f}"
            for name, prefix in (("train", ""), ("val", "val_"), ("test", "test_"))
            if prefix + "loss" in logs
        )
        rate = f"{logs['clips_per_s']:.3g} clips/s, waiting {logs['wait_share']:.0%}"
        number = f"{epoch + 1:>{len(str(self.epochs))}}/{self.epochs}"
        self.reporter.log(f"epoch {number}   {scores}   {rate}")


class UnreadableVideoLogger(keras.callbacks.Callback):
    """Names the training videos that the scan could decode and the training could not.

    Too many of them mean that a disk or a mount is gone, and end the training.

    Args:
        source: the training clips; its new `failures` are logged after every epoch.
        run: its run.json lists them as "unreadable".
        reporter: receives a line for each.
        strict: whether the first one ends the training.
    """

    def __init__(
        self, source: ClipSource, run: RunFolder, reporter: Reporter, *, strict: bool = False
    ) -> None:
        super().__init__()
        self.source, self.run, self.reporter = source, run, reporter
        self.most = 0 if strict else max(1, int(MOST_FAILURES * len(source.videos)))
        self.logged: set[str] = set()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        failures = self.source.failures
        if len(failures) > self.most:
            self._log(self.epoch)
            raise UserError(
                f"{len(failures)} of {len(self.source.videos)} training videos could be decoded "
                "before training and cannot be read now (named above): see that their disk is "
                "there, or leave them out with `skip`; the files of earlier epochs are kept"
            )

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch = epoch

    def get_state(self) -> dict[str, Any]:
        """The videos that failed, and those that are logged."""
        return {"failures": dict(self.source.failures), "logged": sorted(self.logged)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over those before a resume."""
        self.source.failures.update(state["failures"])
        self.logged.update(state["logged"])

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._log(epoch)

    def _log(self, epoch: int) -> None:
        failures = dict(self.source.failures)  # threads add to it
        new = {path: why for path, why in failures.items() if path not in self.logged}
        if not new:
            return
        for path, why in new.items():
            self.reporter.log(f"unreadable (train): {path!r}: {why}; its clip has weight 0")
        self.reporter.log(
            f"{len(failures)} of {len(self.source.videos)} training videos were unreadable so far"
        )
        self.logged.update(new)
        entries = [{"path": path, "epoch": epoch + 1, "reason": why} for path, why in new.items()]
        # A run that was killed after this line repeats the epoch.
        listed = self.run.record().get("unreadable", [])
        before = [entry for entry in listed if entry["path"] not in new]
        self.run.update_record(unreadable=[*before, *entries])
