"""The package's own table: path,label,start,end[,group][,split], and `ar3d predict --csv`."""

import difflib
from collections.abc import Sequence

from ar3d_keras.atomic import csv_text
from ar3d_keras.errors import UserError
from ar3d_keras.labels.label import Label, format_seconds, parse_stretch
from ar3d_keras.labels.source import Source

_PREDICTIONS = {"path", "start", "end", "rank", "class", "probability"}


def recognizes(source: Source) -> bool:
    """Whether the file has a column `path`, and `label` or the columns of predictions."""
    names = {name.strip().casefold() for _, cells in source.rows[:1] for name in cells}
    return {"path", "label"} <= names or names >= _PREDICTIONS


def read(source: Source) -> list[Label]:
    """Reads the labels; of predictions, the likeliest class of each window.

    Raises:
        UserError: a row lacks a path or a label, or its times cannot be used.
    """
    number, header = source.rows[0]
    names = [name.strip().casefold() for name in header]
    for name in names:
        for column in ("start", "end", "group", "split"):
            similar = difflib.get_close_matches(name, [column], cutoff=0.8)
            if column not in names and similar:
                raise UserError(
                    f"{source.row(number)} has a column {name!r}: name it {column!r} if it is that"
                )
    labels = []
    for where, cells in source.records(0):
        row = {name.casefold(): cell for name, cell in cells.items()}
        if "rank" in row and "label" not in row and row["rank"] != "1":
            continue
        name = row.get("label", row.get("class", ""))
        if not row["path"] or not name:
            raise UserError(f"{where} has no {'label' if row['path'] else 'path'}: fill it in")
        start, end = row.get("start", ""), row.get("end", "")
        if bool(start) != bool(end):
            raise UserError(f"{where} has only one of start and end: fill in both or none")
        times: tuple[float | None, float | None] = (None, None)
        if start:
            times = parse_stretch(start, end, where)
        split = source.split(row.get("split", ""), where)
        labels.append(Label(row["path"], name, *times, row.get("group", ""), split, where))
    return labels


def as_table(labels: Sequence[Label]) -> str:
    """Formats labels as CSV, sorted by path and time.

    Equal rows are written once. The columns group and split are written where a label has one.
    """
    header = ["path", "label", "start", "end"]
    header += [name for name in ("group", "split") if any(getattr(each, name) for each in labels)]
    ordered = sorted(
        labels, key=lambda each: (each.media, each.start or 0, each.end or 0, each.name)
    )
    rows: dict[tuple[str, ...], None] = {}
    for label in ordered:
        row = [label.media, label.name, format_seconds(label.start), format_seconds(label.end)]
        rows[(*row, *(getattr(label, name) for name in header[4:]))] = None
    return csv_text(header, rows)
