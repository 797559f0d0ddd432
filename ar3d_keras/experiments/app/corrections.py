"""The classes that people corrected: a CSV of labels beside the corrected videos."""

import datetime
import re
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ar3d_keras import atomic
from ar3d_keras.errors import UserError
from ar3d_keras.locking import LockedError, locked
from ar3d_keras.videos.file_scanner import content_hash
from ar3d_keras.videos.label_csv import read_label_csv
from ar3d_keras.videos.region import COLUMNS as REGION
from ar3d_keras.videos.segments import overlap
from ar3d_keras.videos.video import Video, format_seconds

CSV = "corrections.csv"
# The label loop reads the first four, and ignores the others.
COLUMNS = ("path", "label", "start", "end", "predicted", "by", "corrected", "network")
LONGEST_NAME = 80  # letters of a person's name


class Correction(NamedTuple):
    """What a person says of a video.

    Attributes:
        label: the right class.
        by: the person's name, which may be empty.
        start: seconds; None: the whole video.
        end: seconds; None: the whole video.
    """

    label: str
    by: str = ""
    start: float | None = None
    end: float | None = None


class Corrections:
    """Writes corrections.csv and videos/ in a folder.

    The CSV has the columns path, label, start and end, which every command takes as its `data`, and
    who corrected which prediction, when. A video is copied once. A correction replaces the earlier
    ones that it overlaps, so that no two rows contradict each other.

    Args:
        folder: made at the first correction.
        class_names: those that a correction may give.
        network: for the CSV.

    Raises:
        UserError: the folder has a CSV that cannot be read.
    """

    def __init__(self, folder: Path, class_names: Sequence[str], network: str):
        self.folder, self.class_names, self._network = folder, tuple(class_names), network
        self._lock = threading.Lock()
        if blocker := atomic.in_the_way(folder):
            raise UserError(f"`corrections` {folder}: {blocker} is a file, not a folder")
        self._read()

    @property
    def file(self) -> Path:
        """The CSV."""
        return self.folder / CSV

    def check(self, correction: Correction, seconds: float) -> None:
        """Raises UserError if a correction of a video of this length has no meaning."""
        label, by, start, end = correction
        if label not in self.class_names:
            raise UserError(f"{label!r} is no class of this network: choose one of its classes")
        try:
            label.encode()
        except UnicodeEncodeError:
            raise UserError(f"the class name {label!r} is not UTF-8, so no CSV holds it") from None
        if len(by) > LONGEST_NAME or not by.isprintable():
            raise UserError(f"a name is one line of at most {LONGEST_NAME} letters")
        if by and not by[0].isalnum():  # a spreadsheet would take =, + and @ for a formula
            raise UserError(f"the name {by!r} does not start with a letter or a digit")
        if (start is None) != (end is None):
            raise UserError("a stretch has a start and an end: give both, or none of them")
        if start is not None and end is not None and not 0 <= start < end <= seconds + 0.05:
            raise UserError(
                f"the stretch {start:g} to {end:g} is not inside the video, which has "
                f"{seconds:.2f} seconds"
            )

    def add(self, correction: Correction, video: Path, name: str, predicted: str) -> int:
        """Adds a checked correction and keeps the video.

        Args:
            correction: see `check`.
            video: the file.
            name: what the person calls it.
            predicted: the class that the network predicted.

        Returns:
            How many earlier corrections it replaced.

        Raises:
            UserError: the CSV cannot be read or is being written by another process.
            OSError: the folder cannot be written.
        """
        path = Path("videos", _kept_name(name, video))
        further = {
            "predicted": _utf8(predicted),
            "by": correction.by,
            "corrected": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "network": _utf8(self._network),
        }
        label, _, start, end = correction
        row = Video(path.as_posix(), label, extra=further, start=start, end=end)
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with self._lock, locked(self.folder / ".lock"):
                rows = self._read()
                kept = [old for old in rows if old.path != row.path or not overlap(old, row)]
                if not (self.folder / path).exists():
                    with atomic.replacing(self.folder / path) as temporary:
                        shutil.copyfile(video, temporary)
                self._write([*kept, row])
                return len(rows) - len(kept)
        except LockedError as holder:
            raise UserError(f"{self.file} is being written by {holder}: send it again") from None

    def _read(self) -> list[Video]:
        return read_label_csv(self.file, keep_overlaps=True) if self.file.exists() else []

    def _write(self, rows: Sequence[Video]) -> None:
        table = [_cells(row) for row in rows]
        header = list(dict.fromkeys([*COLUMNS, *(name for cells in table for name in cells)]))
        lines = ([cells.get(name, "") for name in header] for cells in table)
        atomic.write_csv(self.file, header, lines)


def _cells(row: Video) -> dict[str, str]:
    """A row with what a person may have added to it."""
    cells = {"path": row.path, "label": row.label or ""}
    if row.start is not None or row.end is not None:
        cells |= {"start": format_seconds(row.start or 0.0)}
        cells |= {} if row.end is None else {"end": format_seconds(row.end)}
    if row.group and row.group != row.path:  # else `label_csv` found it out
        cells["group"] = row.group
    if row.split:
        cells["split"] = row.split
    if row.roi:
        cells |= dict(zip(REGION, map(format_seconds, row.roi), strict=True))
    return cells | row.extra


def _utf8(text: str) -> str:
    """A CSV that is not UTF-8 could not be read again."""
    return text.encode("utf-8", "backslashreplace").decode()


def _kept_name(name: str, video: Path) -> str:
    """A plain file name, of its own for each content: letters, digits, "-", "_" and "."."""
    stem = re.sub(r"[^\w-]+", "_", Path(name).stem).strip("_-") or "video"
    return atomic.fitting_name(stem, f"-{content_hash(video)[:8]}{video.suffix}")
