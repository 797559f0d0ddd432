"""Reads files of labels: recognizes their format by content, and calls its reader."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ar3d_keras.errors import UserError
from ar3d_keras.labels import (
    boris,
    kinetics,
    label_studio,
    lists,
    table,
    via,
    x_anylabeling,
)
from ar3d_keras.labels.files import located, unlocated
from ar3d_keras.labels.label import Label
from ar3d_keras.labels.source import ImportOptions, Source, open_source


class Format(NamedTuple):
    """A format: its name for the user, how it is recognized, and its reader."""

    title: str
    recognizes: Callable[[Source], bool]
    read: Callable[[Source], list[Label]]


# The first one that recognizes a file reads it, so the narrow ones come first.
FORMATS = {
    "boris-project": Format("BORIS project", boris.recognizes_project, boris.read_project),
    "boris-aggregated": Format(
        "BORIS aggregated events", boris.recognizes_aggregated, boris.read_aggregated
    ),
    "boris": Format("BORIS tabular events", boris.recognizes_tabular, boris.read_tabular),
    "label-studio": Format("Label Studio", label_studio.recognizes, label_studio.read),
    "via": Format("VIA 3", via.recognizes, via.read),
    "x-anylabeling": Format("X-AnyLabeling", x_anylabeling.recognizes, x_anylabeling.read),
    "kinetics": Format("Kinetics CSV", kinetics.recognizes_csv, kinetics.read_csv),
    "activitynet": Format(
        "ActivityNet or Kinetics JSON", kinetics.recognizes_json, kinetics.read_json
    ),
    "csv": Format("CSV of labels", table.recognizes, table.read),
    "mmaction": Format("mmaction or SlowFast list", lists.recognizes, lists.read_mmaction),
    # These look like the one before, so they are never recognized.
    "slowfast": Format("SlowFast list", lambda source: False, lists.read_slowfast),
    "mmaction-offset": Format(
        "mmaction rawframe list with offsets", lambda source: False, lists.read_mmaction_offset
    ),
}


class Imported(NamedTuple):
    """What files of labels contain.

    Attributes:
        labels: with `media` relative to the folder of the table.
        notes: what was left out or assumed.
        formats: the format of each file, by name.
    """

    labels: list[Label]
    notes: list[str]
    formats: dict[Path, str]


def read_labels(
    files: Sequence[Path],
    table_file: Path,
    options: ImportOptions,
    *,
    videos: Path | None = None,
    format: str | None = None,
) -> Imported:
    """Reads the labels of files.

    Args:
        files: of any of the formats.
        table_file: where the table will be; paths are relative to its folder.
        options: what the files do not say.
        videos: the folder of the videos; None: paths are relative to each file.
        format: a key of FORMATS; None: recognized by content.

    Raises:
        UserError: a file is not recognized or damaged, or an option is missing or out of range.
    """
    for name in ("point_seconds", "frame_rate"):
        value = getattr(options, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UserError(f"`{name}` must be above 0, not {value}")
    labels: list[Label] = []
    notes: list[str] = []
    formats = {}
    for file in files:
        source = open_source(file, options)
        formats[file] = format or _recognized(source)
        found = _read(source, formats[file])
        notes += source.notes
        labels += found if videos else unlocated(found, file, table_file, notes)
    if labels and videos:
        labels = located(labels, videos, table_file, notes)
    if not labels:
        raise UserError(f"{files[0]}: nothing to import" + "".join(f"; {note}" for note in notes))
    return Imported(labels, notes, formats)


def _read(source: Source, name: str) -> list[Label]:
    """Reads a file whose format was recognized or given.

    Raises:
        UserError: the file is not of this format.
    """
    of_json = name in ("boris-project", "label-studio", "x-anylabeling", "activitynet")
    of_table = not of_json and name != "via"
    if (of_json and source.document is None) or (of_table and source.document is not None):
        raise UserError(f"{source.file} is not a file of `format` {name}")
    if (name in ("csv", "kinetics", "activitynet")) and not FORMATS[name].recognizes(source):
        raise UserError(f"{source.file} is not a file of `format` {name}")
    return FORMATS[name].read(source)


def _recognized(source: Source) -> str:
    if source.text.lstrip().startswith(("{", "[")) and source.document is None:
        raise UserError(f"{source.file} begins like JSON but is damaged: {_damage(source)}")
    for name, each in FORMATS.items():
        if each.recognizes(source):
            return name
    if source.document is not None:
        raise UserError(
            f"{source.file} is JSON of no known form: give `format`, or export it again"
        )
    number, cells = source.rows[0] if source.rows else (1, ["only comments"])
    raise UserError(
        f"{source.row(number)} ({', '.join(cells)[:60]!r}) begins no known form: give `format`"
    )


def _damage(source: Source) -> str:
    try:
        json.loads(source.text)
    except ValueError as error:
        return str(error)
    return "it is complete"
