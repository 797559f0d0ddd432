"""Labeled stretches of videos, from a CSV with the columns path, label, start and end."""

import csv
import math
from pathlib import Path
from typing import NamedTuple

from ar3d_keras.errors import UserError


class Stretch(NamedTuple):
    """A labeled stretch of a video.

    Attributes:
        path: relative to the CSV's folder, or absolute.
        label: the class name.
        start: seconds.
        end: seconds.
        split: train, val, test, or "" where the CSV has no such column.
    """

    path: str
    label: str
    start: float
    end: float
    split: str


def read_stretches(file: Path) -> list[Stretch]:
    """Reads the stretches of a CSV; further columns are ignored.

    Raises:
        UserError: the file cannot be read, a column is missing, it has no rows, or `start` and
            `end` of a row are not seconds with 0 <= start < end.
    """
    try:
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            missing = {"path", "label", "start", "end"} - set(reader.fieldnames or ())
            rows = list(reader)
    except (OSError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"`stretches` {file} cannot be read: {reason}") from None
    if missing or not rows:
        lack = f"has no column {', '.join(sorted(missing))}" if missing else "has no rows"
        raise UserError(f"`stretches` {file} {lack}: it needs path,label,start,end")
    found = []
    for number, row in enumerate(rows, start=2):
        try:
            start, end = float(row["start"]), float(row["end"])
            if not 0 <= start < end < math.inf:
                raise ValueError
        except (TypeError, ValueError):
            raise UserError(
                f"{file}, row {number}: start {row['start']!r} and end {row['end']!r} must be "
                "seconds, with 0 <= start < end"
            ) from None
        found.append(Stretch(row["path"], row["label"], start, end, row.get("split") or ""))
    return found
