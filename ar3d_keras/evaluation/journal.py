"""A journal of evaluations beside the runs: how often choices could fit val and test.

Every evaluation on test reduces its independence. Every configuration that is compared on val makes
the val accuracy of the best one more optimistic.
"""

import csv
import datetime
import hashlib
from typing import Any

from ar3d_keras.runs import RunFolder
from ar3d_keras.videos.splits import Split

JOURNAL = "evaluations.csv"
COLUMNS = ("when", "run", "data", "split_digest", "split", "protocol", "weights")


def split_digest(split: Split) -> str:
    """16 hex digits over the videos of each part."""
    rows = sorted(zip((v.key for v in split.catalog.videos), map(str, split.assigned), strict=True))
    return hashlib.sha256(repr(rows).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def note_evaluation(run: RunFolder, **entry: str) -> None:
    """Appends an evaluation to the journal in the folder of all runs.

    Args:
        run: that was evaluated.
        entry: data, split_digest, split, protocol and weights.
    """
    file = run.folder.parent / JOURNAL
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    values = {"when": now, "run": run.name, **entry}
    is_new = not file.exists()
    with file.open("a", encoding="utf-8", errors="backslashreplace", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        if is_new:
            writer.writerow(COLUMNS)
        writer.writerow([values[column] for column in COLUMNS])


def count_evaluations(
    run: RunFolder, *, data: str, split_digest: str, split: str
) -> dict[str, int]:
    """How often a part of a split was evaluated, by all runs beside this one.

    Returns:
        `evaluations`, and `networks`: those with different weights.
    """
    file = run.folder.parent / JOURNAL
    rows: list[dict[str, Any]] = []
    if file.exists():
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
            rows = list(csv.DictReader(lines))
    wanted = {"data": data, "split_digest": split_digest, "split": split}
    same = [row for row in rows if all(row.get(k) == v for k, v in wanted.items())]
    return {"evaluations": len(same), "networks": len({row["weights"] for row in same})}
