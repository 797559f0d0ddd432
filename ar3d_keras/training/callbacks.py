"""Keras callbacks that measure, record and stop a training.

SplitMetrics and HistoryCSV need nothing else of this package:
`model.fit(x, y, callbacks=[SplitMetrics({"val": batches}), HistoryCSV("history.csv")])`.
Order matters: SplitMetrics adds to the logs that later callbacks read. The callbacks that draw are
in `reports.callbacks`.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path

import keras

from ar3d_keras import atomic
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation import metrics
from ar3d_keras.evaluation.evaluator import evaluate_batches
from ar3d_keras.evaluation.metrics import Evaluation
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import Run
from ar3d_keras.videos.sources import ClipSource


class SplitMetrics(keras.callbacks.Callback):
    """Adds {split}_loss, {split}_accuracy and {split}_top5 to the logs of every epoch.

    Args:
        splits: name -> batches (clips, labels), any iterable that can be walked again (a
            tf.data.Dataset, a PyDataset, a list), or a function that returns an Evaluation of
            the model it is given.
    """

    def __init__(self, splits: Mapping[str, Iterable | Callable[[keras.Model], Evaluation]]):
        super().__init__()
        self.splits = splits

    def on_epoch_end(self, epoch, logs=None):
        for name, data in self.splits.items():
            evaluation = data(self.model) if callable(data) else evaluate_batches(self.model, data)
            scores = metrics.scores(evaluation)
            logs[f"{name}_loss"] = scores["loss"]
            logs[f"{name}_accuracy"] = scores["top1"]
            logs[f"{name}_top5"] = scores["top5"]


class EpochRate(keras.callbacks.Callback):
    """Adds lr, seconds, clips_per_s and wait_share, of training alone, to the logs of every epoch.

    wait_share is the part of those seconds in which the network had nothing to do because the
    next batch was not ready; the logs of every batch have it too, so far.

    Args:
        clips: of one epoch.
        ready: (epoch, step) -> when that batch lay ready, by time.perf_counter; what was looked
            up is taken out.
    """

    def __init__(self, clips: int, ready: MutableMapping[tuple[int, int], float]):
        super().__init__()
        self.clips, self.ready = clips, ready

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.waited = epoch, 0.0
        self.begun = self.ended = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        asked, self.ended = self.ended, time.perf_counter()
        self.waited += max(0.0, self.ready.pop((self.epoch, batch), asked) - asked)
        logs["wait_share"] = self.waited / (self.ended - self.begun)

    def on_epoch_end(self, epoch, logs=None):
        seconds = self.ended - self.begun
        logs["lr"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        logs["seconds"] = seconds
        logs["clips_per_s"] = self.clips / seconds
        logs["wait_share"] = self.waited / seconds


class HistoryCSV(keras.callbacks.Callback):
    """Writes one line an epoch: `epoch` (from 1) and every entry of the logs.

    Args:
        file: the CSV, written whole or not at all after every epoch.
        rows: lines of earlier epochs, where a run is continued.
    """

    def __init__(self, file: str | Path, rows: Sequence[dict[str, float]] = ()):
        super().__init__()
        self.file, self.rows = Path(file), list(rows)

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch + 1, "loss": logs["loss"], **logs})
        # Some epochs may say more than others: Keras's validation_freq, for one.
        header = list(dict.fromkeys(name for row in self.rows for name in row))
        lines = ([row.get(name, "") for name in header] for row in self.rows)
        atomic.write_csv(self.file, header, lines)


class BestNetwork(keras.callbacks.Callback):
    """Keeps the network of the epoch with the best val_accuracy (ties: the lower val_loss).

    Args:
        file: the .keras file, written whole or not at all.
        float32_model: the same network in float32; it takes the weights and is what is saved, so that
            the file computes in float32 wherever it is loaded.
        rows: lines of earlier epochs, where a run is continued.
        last: keep the last epoch's instead, whatever its val_accuracy.
    """

    def __init__(
        self,
        file: str | Path,
        float32_model: keras.Model,
        rows: Sequence[dict[str, float]] = (),
        *,
        last: bool = False,
    ):
        super().__init__()
        self.file, self.float32_model, self.last = Path(file), float32_model, last
        self.best = max(map(_rank, rows), default=(-math.inf, -math.inf))

    def on_epoch_end(self, epoch, logs=None):
        if self.last or _rank(logs) > self.best:
            self.best = _rank(logs)
            self.float32_model.set_weights(self.model.get_weights())
            with atomic.replacing(self.file) as temporary:
                self.float32_model.save(temporary)


class EarlyStop(keras.callbacks.Callback):
    """Ends the training when `epochs` have gone by since the best one, as BestNetwork ranks them.

    Args:
        epochs: to wait for a better one; 0 waits for ever.
        rows: lines of earlier epochs, where a run is continued.
    """

    def __init__(self, epochs: int, rows: Sequence[dict[str, float]] = ()):
        super().__init__()
        self.epochs, self.rows = epochs, list(rows)

    @property
    def is_due(self) -> bool:
        """Whether the epochs so far end the training."""
        if not (self.epochs and self.rows):
            return False
        best = max(range(len(self.rows)), key=lambda place: _rank(self.rows[place]))  # the first
        return len(self.rows) - 1 - best >= self.epochs

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append(dict(logs))
        if self.is_due:
            self.model.stop_training = True


def _rank(logs: Mapping[str, float]) -> tuple[float, float]:
    """Epochs by val accuracy, equal ones by val loss."""
    return logs["val_accuracy"], -logs["val_loss"]


class StopOnNaN(keras.callbacks.Callback):
    """Stops with a sentence when the loss is no number any more."""

    def on_train_begin(self, logs=None):
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise UserError(
                f"the loss became {loss} in epoch {self.epoch + 1}, step {batch + 1}: lower "
                "`learning_rate`, or train with `precision` float32; what earlier epochs wrote "
                "is kept"
            )


class EpochProgress(keras.callbacks.Callback):
    """A bar while an epoch trains, and one line when it is over.

    Args:
        reporter: draws the bar and says the line.
        clips: of one epoch.
        batch_size: clips a step.
        epochs: in all.
    """

    def __init__(self, reporter: Reporter, *, clips: int, batch_size: int, epochs: int):
        super().__init__()
        self.reporter, self.clips, self.batch_size = reporter, clips, batch_size
        self.epochs = epochs

        self.open_bar = contextlib.ExitStack()

    def on_epoch_begin(self, epoch, logs=None):
        self.update = self.open_bar.enter_context(
            self.reporter.bar(f"epoch {epoch + 1}/{self.epochs}", self.clips, "clips")
        )

    def on_train_batch_end(self, batch, logs=None):
        done = min((batch + 1) * self.batch_size, self.clips)
        told = f"loss {logs['loss']:.3f}  accuracy {logs['accuracy']:.3f}"
        self.update(done, f"{told}  waiting {logs['wait_share']:.0%}")
        if done == self.clips:
            self.close()

    def close(self) -> None:
        """Takes the bar off the terminal; call it when `fit` ended, however it did."""
        self.open_bar.close()

    def on_epoch_end(self, epoch, logs=None):
        told = "   ".join(
            f"{name} {logs[prefix + 'loss']:.3f} {logs[prefix + 'accuracy']:.3f}"
            for name, prefix in (("train", ""), ("val", "val_"), ("test", "test_"))
            if prefix + "loss" in logs
        )
        rate = f"{logs['clips_per_s']:.3g} clips/s, waiting {logs['wait_share']:.0%}"
        number = f"{epoch + 1:>{len(str(self.epochs))}}/{self.epochs}"
        self.reporter.log(f"epoch {number}   {told}   {rate}")


class UnreadableVideoLogger(keras.callbacks.Callback):
    """Names the training videos that could be decoded before but not any more.

    Args:
        source: its `failures` are told after the epoch in which they came up.
        run: its record counts them, under "lost".
        reporter: says them.
    """

    def __init__(self, source: ClipSource, run: Run, reporter: Reporter):
        super().__init__()
        self.source, self.run, self.reporter = source, run, reporter
        self.told: set[str] = set()

    def on_epoch_end(self, epoch, logs=None):
        new = {path: why for path, why in self.source.failures.items() if path not in self.told}
        if not new:
            return
        for path, why in new.items():
            self.reporter.log(f"lost (train): {path!r}: {why}; its clip weighs nothing")
        self.told.update(new)
        record = self.run.record()
        lost = record.get("lost", []) + [
            {"path": path, "epoch": epoch + 1, "reason": why} for path, why in new.items()
        ]
        self.run.write_record({**record, "lost": lost})
