"""What came of a trial: one file in its folder, and how trials are ranked."""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ar3d_keras import atomic


@dataclass(frozen=True, kw_only=True)
class Result:
    """A trial that is over.

    Attributes:
        trial: its number, as its folder has it.
        values: what it tried, by "section.option".
        epochs: the epoch that it was to be trained to.
        goes_on_from: the trial whose training it continued (Hyperband).
        seconds: that it took.
        top1, loss: on val, of the epoch that a run would keep; None where it failed.
        epoch: that epoch, from 1.
        reason: why it failed.
    """

    trial: str
    values: dict[str, Any]
    epochs: int
    goes_on_from: str | None
    seconds: float
    top1: float | None = None
    loss: float | None = None
    epoch: int | None = None
    reason: str | None = None

    @property
    def failed(self) -> bool:
        """Whether there is no score."""
        return self.top1 is None

    def score(self, videos: int) -> float:
        """One number that ranks by val top-1 first, then by val loss.

        Args:
            videos: of val. Two different top-1 are at least 1 / videos apart, and the loss
                takes off less than that.
        """
        return self.top1 - self.loss / (1 + self.loss) / videos

    def write(self, folder: Path) -> None:
        """Writes result.json."""
        atomic.write_json(folder / "result.json", dataclasses.asdict(self))


def read_result(folder: Path) -> Result | None:
    """What came of the trial in this folder, None where it is not over."""
    file = folder / "result.json"
    return Result(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


def read_results(folder: Path) -> list[Result]:
    """Every trial of a search that is over, in the order of their numbers."""
    found = filter(None, map(read_result, folder.glob("trial_*")))
    return sorted(found, key=lambda result: int(result.trial))


def ranked(results: Iterable[Result]) -> list[Result]:
    """Those that did not fail, the best first."""
    return sorted((r for r in results if not r.failed), key=lambda r: (-r.top1, r.loss))
