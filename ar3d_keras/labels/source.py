"""A file of labels as text, as JSON and as rows, and what the user says about it."""

import csv
import dataclasses
import functools
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ar3d_keras.errors import UserError
from ar3d_keras.videos.video import split_name


@dataclass(frozen=True)
class ImportOptions:
    """What a file of labels does not say itself.

    Attributes:
        label_set: the sets of labels to import, where a file has several.
        subject: the subjects, or the annotators, where a file has several.
        point_seconds: length of the stretch around an event without duration; None: such events
            are left out.
        frame_rate: frames per second, where a file gives times as frame numbers.
        classes: a file with the class names, for forms that give class numbers.
        separator: the text between path and label in a list file; None: blanks.
    """

    label_set: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    point_seconds: float | None = None
    frame_rate: float | None = None
    classes: Path | None = None
    separator: str | None = None


@dataclass
class Source:
    """A file to import, with the notes that its reader makes.

    Attributes:
        file: where it is.
        text: its content.
        options: what the user says.
        notes: what the user should know, such as events that were left out.
    """

    file: Path
    text: str
    options: ImportOptions
    notes: list[str] = field(default_factory=list)

    @functools.cached_property
    def document(self) -> Any:
        """The JSON document; None if the file is not JSON."""
        if not self.text.lstrip().startswith(("{", "[")):
            return None
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    @functools.cached_property
    def rows(self) -> list[tuple[int, list[str]]]:
        """(number of its line, cells) of each row that is not empty; [] if the file is JSON.

        Raises:
            UserError: a quote is not closed, or another damage of the CSV.
        """
        if self.document is not None:
            return []
        # VIA puts comments in front of its rows; empty lines keep the numbers of the rows.
        text = re.sub(r"\A(?:#.*\n)+", lambda comments: "\n" * comments[0].count("\n"), self.text)
        delimiter = max("\t;,", key=text[:10_000].count)
        rows: list[tuple[int, list[str]]] = []
        line = 0
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    rows.append((line + 1, cells))
                line = reader.line_num
        except csv.Error as error:
            raise UserError(f"{self.file} row {line + 1} is not a row of a CSV: {error}") from None
        return rows

    def row(self, number: int) -> str:
        """Names a row for a message, as text editors count lines."""
        return f"{self.file} row {number}"

    def at(self, *path: object) -> str:
        """Names a place in the JSON document for a message."""
        keys = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
        return f"{self.file} {keys.removeprefix('.')}"

    def records(self, header: int) -> Iterator[tuple[str, dict[str, str]]]:
        """Yields (name for messages, cells by column) of the rows below a header.

        Args:
            header: the index in `rows` of the row with the names of the columns.

        Raises:
            UserError: a row has more or fewer cells than the header.
        """
        names = [name.strip() for name in self.rows[header][1]]
        for number, cells in self.rows[header + 1 :]:
            if len(cells) < len(names) or any(cell.strip() for cell in cells[len(names) :]):
                raise UserError(
                    f"{self.row(number)} has {len(cells)} cells, but the header has {len(names)}: "
                    "the file is cut off or damaged"
                )
            yield self.row(number), dict(zip(names, (cell.strip() for cell in cells), strict=False))

    def split(self, name: str, where: str) -> str:
        """Returns the split that a name such as "training" or "validate" means; "" for "".

        Raises:
            UserError: the name means no split.
        """
        if not name:
            return ""
        found = split_name("val" if name.casefold() == "validate" else name)
        if found is None:
            raise UserError(f"{where}: {name!r} is not train, val or test")
        return found


def open_source(file: Path, options: ImportOptions) -> Source:
    """Reads a file of labels.

    Raises:
        UserError: it cannot be read, or is not UTF-8 text.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read as text in UTF-8: {error}") from None
    if not text.strip():
        raise UserError(f"{file} is empty")
    return Source(file, text, options)


def optional(value: dict, key: str, kind: type, where: str) -> Any:
    """Returns `value[key]` as `entry` does; an empty one of that type where it is missing or null.

    Raises:
        UserError: the entry is of another type.
    """
    return kind() if value.get(key) is None else entry(value, key, kind, where)


def entry(value: Any, key: Any, kind: type | tuple[type, ...], where: str) -> Any:
    """Returns `value[key]`, which must be of a type.

    Raises:
        UserError: `value` has no such entry, or it is of another type.
    """
    missing = dataclasses.MISSING
    try:
        found = value[key]
    except (KeyError, IndexError, TypeError):
        found = missing
    if found is missing or not isinstance(found, kind) or isinstance(found, bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join({"str": "text", "dict": "an object", "list": "a list"}.get(
            one.__name__, "a number") for one in kinds)  # fmt: skip
        raise UserError(f"{where}: {key!r} must be {names}: the file is damaged or of another form")
    return found
