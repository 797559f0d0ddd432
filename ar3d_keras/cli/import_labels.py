"""Make a CSV of labels, for --data, from the files of annotation tools and data sets.

ar3d import events.csv --to labels.csv                        paths relative to events.csv
ar3d import project.json --videos FOLDER --to FOLDER/labels.csv
ar3d import train.csv val.csv --classes names.txt --to labels.csv
ar3d import events.tsv --subject male1 --point-seconds 2 --to labels.csv

Reads BORIS (tabular and aggregated events, projects), Label Studio (JSON, JSON-MIN), VIA 3 (project,
CSV), X-AnyLabeling sidecars, Kinetics and ActivityNet, lists of mmaction and SlowFast, and CSV.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ar3d_keras.cli.options import option_names, parse
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ImportLabelsOptions:
    """The files, the table, and what the files do not say."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE ...")] = ()
    """Files of labels; each is recognized by its content."""
    to: Path
    """The CSV to write: path,label,start,end and, where known, group and split. It must be above the videos."""
    videos: Path | None = None
    """The folder of the videos, searched at any depth. Default: paths are relative to each file."""
    format: (
        Literal[
            "boris",
            "boris-aggregated",
            "boris-project",
            "label-studio",
            "via",
            "x-anylabeling",
            "kinetics",
            "activitynet",
            "mmaction",
            "mmaction-offset",
            "slowfast",
            "csv",
        ]
        | None
    ) = None
    """The form of all files. Default: each is recognized by its content."""
    label_set: tuple[str, ...] = ()
    """Which labels, where a file has several sets: a behavioral category (BORIS), a tag (Label Studio), an attribute (VIA)."""
    subject: tuple[str, ...] = ()
    """Which subjects (BORIS) or annotators (Label Studio), where a file has several."""
    point_seconds: float | None = None
    """Import events without duration as stretches of this many seconds around them. Default: they are left out."""
    frame_rate: float | None = None
    """Frames a second, where a file gives times as frame numbers and no rate."""
    classes: Path | None = None
    """The class names, one a line, for lists with class numbers."""
    separator: str | None = None
    """What stands between path and class in a list. Default: blanks."""
    overwrite: bool = False
    """Replace the CSV if it exists."""


OPTIONS = ImportLabelsOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for mistakes that the user can correct."""
    options = parse(ImportLabelsOptions, arguments, verb="import", text=__doc__)
    from ar3d_keras.cli import with_flags
    from ar3d_keras.labels.read import FORMATS, import_labels

    if not options.files:
        raise UserError("FILE is missing: name the files of labels before the options")
    given = {item.name: getattr(options, item.name) for item in dataclasses.fields(options)}
    imported = import_labels(**given)
    console = Console()
    names = option_names(ImportLabelsOptions)
    for note in imported.notes:
        console.log(with_flags(note, names))
    for file, name in imported.formats.items():
        console.log(f"{file}: {FORMATS[name].title}")
    counts = Counter(label.name for label in imported.labels)
    videos = len({label.media for label in imported.labels})
    console.log(
        f"{options.to}: {len(imported.labels)} labels in {videos} videos: "
        + ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    )
