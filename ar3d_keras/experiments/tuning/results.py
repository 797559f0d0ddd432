"""The result of a trial: one file in its folder, and how trials are ranked."""

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ar3d_keras import atomic
from ar3d_keras.config import Monitor
from ar3d_keras.evaluation.monitor import rank


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a finished trial.

    Attributes:
        trial: its number, as in the name of its folder.
        values: its values, by "section.option".
        epochs: the number of epochs that it was to train.
        seconds: how long it took.
        resumed_from: the trial whose training it continued (Hyperband).
        top1: the val accuracy, 0 to 1, of the epoch that a run would keep; NaN if the trial failed.
        loss: the val loss, in nats, of that epoch; NaN if the trial failed.
        class_mean: the mean over classes of the val accuracy of that epoch.
        epoch: that epoch, from 1.
        reason: why it failed.
        monitor: what ranks epochs and trials; see `evaluation.monitor`.
    """

    trial: str
    values: dict[str, Any]
    epochs: int
    seconds: float
    resumed_from: str | None = None
    top1: float = math.nan
    loss: float = math.nan
    class_mean: float = math.nan
    epoch: int | None = None
    reason: str | None = None
    monitor: Monitor = "val_accuracy"

    @property
    def failed(self) -> bool:
        """Whether the trial has no score."""
        return math.isnan(self.top1)

    def score(self, videos: int) -> float:
        """Returns a number that ranks as `rank` does: by the monitor first.

        Args:
            videos: the number of val videos. Two different top-1 differ by at least 1 / videos,
                and the loss subtracts less than that. Class means and losses may differ by less
                than any such step, so ties of them are broken by a billionth.
        """
        if self.monitor == "val_loss":
            return self.top1 / 1e9 - self.loss
        penalty = self.loss / (1 + self.loss)
        if self.monitor == "val_class_mean":
            return self.class_mean - penalty / 1e9
        return self.top1 - penalty / videos

    @property
    def rank(self) -> tuple[float, float]:
        """Larger for a better trial."""
        logs = {
            "val_accuracy": self.top1,
            "val_loss": self.loss,
            "val_class_mean": self.class_mean,
        }
        return rank(logs, self.monitor)

    def write(self, folder: Path) -> None:
        """Writes result.json."""
        fields = dataclasses.asdict(self)
        for name in ("top1", "loss", "class_mean"):
            if math.isnan(fields[name]):  # JSON has no NaN
                del fields[name]
        atomic.write_json(folder / "result.json", fields)


def read_result(folder: Path) -> Result | None:
    """The result of the trial in this folder; None if it has not finished."""
    file = folder / "result.json"
    if not file.exists():
        return None
    fields = json.loads(file.read_text(encoding="utf-8"))
    if "goes_on_from" in fields:  # its name in earlier versions
        fields["resumed_from"] = fields.pop("goes_on_from")
    return Result(**{name: value for name, value in fields.items() if value is not None})


def read_results(folder: Path) -> list[Result]:
    """The results of all finished trials of a search, by their numbers."""
    found = filter(None, map(read_result, folder.glob("trial_*")))
    return sorted(found, key=lambda result: int(result.trial))


def ranked(results: Iterable[Result]) -> list[Result]:
    """The results of the trials that did not fail, the best first."""
    return sorted((r for r in results if not r.failed), key=lambda r: r.rank, reverse=True)


def count_trials(runs_dir: Path, fingerprint: str) -> int:
    """The number of finished trials of all searches in a folder on the same data."""
    count = 0
    for file in runs_dir.glob("*/search.json"):
        # A damaged search must not end an evaluation.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if json.loads(file.read_text(encoding="utf-8")).get("fingerprint") == fingerprint:
                count += len(list(file.parent.glob("trial_*/result.json")))
    return count
