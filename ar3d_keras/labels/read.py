"""From files of labels to a table: recognizes each format by content, and calls its reader."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ar3d_keras.atomic import in_the_way, write_text
from ar3d_keras.errors import UserError
from ar3d_keras.labels import (
    boris,
    boris_tables,
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
        "BORIS aggregated events", boris_tables.recognizes_aggregated, boris_tables.read_aggregated
    ),
    "boris": Format(
        "BORIS tabular events", boris_tables.recognizes_tabular, boris_tables.read_tabular
    ),
    "label-studio": Format("Label Studio", label_studio.recognizes, label_studio.read),
    "via": Format("VIA 3", via.recognizes, via.read),
    "x-anylabeling": Format("X-AnyLabeling", x_anylabeling.recognizes, x_anylabeling.read),
    "kinetics": Format("Kinetics CSV", kinetics.recognizes_csv, kinetics.read_csv),
    "activitynet": Format(
        "ActivityNet or Kinetics JSON", kinetics.recognizes_json, kinetics.read_json
    ),
    "csv": Format("CSV of labels", table.recognizes, table.read),
    "mmaction": Format("mmaction or SlowFast list", lists.recognizes, lists.read_mmaction),
    # These begin like the one before, so they are read only where the user says so.
    "slowfast": Format("SlowFast list", lists.recognizes, lists.read_slowfast),
    "mmaction-offset": Format(
        "mmaction rawframe list with offsets", lists.recognizes, lists.read_mmaction_offset
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


def import_labels(
    files: Sequence[str | Path],
    to: str | Path,
    *,
    videos: str | Path | None = None,
    format: str | None = None,
    label_set: Sequence[str] = (),
    subject: Sequence[str] = (),
    point_seconds: float | None = None,
    frame_rate: float | None = None,
    classes: str | Path | None = None,
    separator: str | None = None,
    overwrite: bool = False,
) -> Imported:
    """Makes a CSV of labels from the files of annotation tools and data sets.

    Its columns are path, label, start and end (seconds; empty where the whole video is meant) and,
    where known, group and split. Equal rows are written once.

    Args:
        files: of BORIS, Label Studio, VIA 3, X-AnyLabeling, Kinetics, ActivityNet, mmaction,
            SlowFast, or CSV; each is recognized by its content.
        to: the CSV to write, in a folder above the videos.
        videos: the folder of the videos, searched at any depth; None: paths are relative to each
            file.
        format: the form of all files, as `ar3d import --format`; None: recognized by content.
        label_set: which sets of labels, where a file has several: behavioral categories (BORIS),
            tags (Label Studio), attributes (VIA).
        subject: which subjects (BORIS) or annotators (Label Studio), where a file has several.
        point_seconds: length of the stretch around an event without duration; None: such events
            are left out, with a note.
        frame_rate: frames per second, where a file gives times as frame numbers and no rate.
        classes: a file with the class names, for lists with class numbers.
        separator: what stands between path and class in a list; None: blanks.
        overwrite: replaces `to` if it exists.

    Returns:
        The labels, notes about what was left out or assumed, and the format of each file.

    Raises:
        UserError: a file is not recognized or damaged, an option is missing or out of range, or
            `to` cannot be written.
    """
    paths, to = [Path(file) for file in files], Path(to)
    _check_target(to, paths, overwrite)
    options = ImportOptions(
        label_set=tuple(label_set),
        subject=tuple(subject),
        point_seconds=point_seconds,
        frame_rate=frame_rate,
        classes=None if classes is None else Path(classes),
        separator=separator,
    )
    videos = None if videos is None else Path(videos)
    imported = read_labels(paths, to, options, videos=videos, format=format)
    write_text(to, table.as_table(imported.labels))
    return imported


def _check_target(target: Path, files: Sequence[Path], overwrite: bool) -> None:
    if blocker := in_the_way(target.parent):
        raise UserError(f"`to` {target} cannot be written because {blocker} is a file")
    if target.is_dir():
        raise UserError(f"`to` {target} is a folder: name a file in it, such as labels.csv")
    if any(target.resolve() == file.resolve() for file in files):
        raise UserError(f"`to` {target} is one of the files to import: choose another name")
    if target.exists() and not overwrite:
        raise UserError(f"`to` {target} exists: choose another name, or give `overwrite`")


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
    if format is not None and format not in FORMATS:
        raise UserError(f"`format` must be one of {', '.join(FORMATS)}, not {format!r}")
    for name in ("point_seconds", "frame_rate"):
        value = getattr(options, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UserError(f"`{name}` must be above 0, not {value}")
    labels: list[Label] = []
    notes: list[str] = []
    formats = {}
    for file in files:
        source = open_source(file, options)
        formats[file] = format or recognize(source)
        found = read_source(source, formats[file])
        notes += source.notes
        labels += found if videos else unlocated(found, file, table_file, notes)
    if labels and videos:
        labels = located(labels, videos, table_file, notes)
    if not labels:
        raise UserError(f"{files[0]}: nothing to import" + "".join(f"; {note}" for note in notes))
    return Imported(labels, notes, formats)


def read_source(source: Source, name: str) -> list[Label]:
    """Reads a file whose format was recognized or given.

    Raises:
        UserError: the file is not of this format.
    """
    check_json(source)
    if not FORMATS[name].recognizes(source):
        where = source.row(1) if source.document is None else source.file
        raise UserError(f"{where} does not begin as a file of `format` {name}")
    return FORMATS[name].read(source)


def recognize(source: Source) -> str:
    """Returns the format of a file, a key of FORMATS, by its content.

    Raises:
        UserError: the file is of no known format.
    """
    check_json(source)
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


def check_json(source: Source) -> None:
    """Raises UserError if the file begins as JSON and is damaged."""
    if source.document is None and source.text.lstrip().startswith(("{", "[")):
        try:
            json.loads(source.text)
        except ValueError as error:
            raise UserError(f"{source.file} is damaged JSON: {error}") from None
