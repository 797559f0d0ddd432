"""Kinetics (CSV and JSON) and ActivityNet (JSON): segments of YouTube videos.

Formats: https://github.com/activitynet/ActivityNet (Crawler/Kinetics/data, Evaluation) and
https://github.com/open-mmlab/mmaction2 (docs: ActivityNet annotation).
"""

from typing import Any

from ar3d_keras.errors import UserError
from ar3d_keras.labels.label import Label, listed, parse_stretch
from ar3d_keras.labels.source import Source, entry

_COLUMNS = {"label", "youtube_id", "time_start", "time_end"}


def recognizes_csv(source: Source) -> bool:
    """Whether the file is a Kinetics CSV."""
    return "youtube_id" in {name.strip() for _, cells in source.rows[:1] for name in cells}


def read_csv(source: Source) -> list[Label]:
    """Reads a Kinetics CSV; the media are YouTube identifiers.

    Raises:
        UserError: the file has no labels, or a row is damaged.
    """
    number, header = source.rows[0]
    if missing := sorted(_COLUMNS - {name.strip() for name in header}):
        raise UserError(f"{source.row(number)} has no column {listed(missing)}: nothing to import")
    labels = []
    for where, row in source.records(0):
        if not row["label"] or not row["youtube_id"]:
            raise UserError(f"{where} has no {'youtube_id' if row['label'] else 'label'}")
        times = parse_stretch(row["time_start"], row["time_end"], where)
        split = source.split(row.get("split", ""), where)
        # A group of two files is one recording: the same film.
        labels.append(
            Label(row["youtube_id"], row["label"], *times, row["youtube_id"], split, where)
        )
    return labels


def recognizes_json(source: Source) -> bool:
    """Whether the file is an ActivityNet or Kinetics JSON."""
    entries = _database(source.document)
    first = next(iter(entries.values()), None) if isinstance(entries, dict) else None
    return isinstance(first, dict) and "annotations" in first and "result" not in first


def read_json(source: Source) -> list[Label]:
    """Reads an ActivityNet or Kinetics JSON; the media are YouTube identifiers.

    Raises:
        UserError: an entry is damaged.
    """
    document = source.document
    path = ("database",) if isinstance(document, dict) and "database" in document else ()
    labels: list[Label] = []
    unlabelled = []
    for name, video in _database(document).items():
        where = source.at(*path, name)
        annotations = entry(video, "annotations", (list, dict), where)
        if isinstance(annotations, dict):  # Kinetics has one for each video
            annotations = [annotations]
        if not annotations:
            unlabelled.append(name)
        split = source.split(str(video.get("subset", "")), where)
        media = name[2:] if len(name) == 13 and name.startswith("v_") else name
        for number, annotation in enumerate(annotations):
            place = source.at(*path, name, "annotations", number)
            label = entry(annotation, "label", str, place).strip()
            if not label:
                raise UserError(f"{place} has no label")
            segment = entry(annotation, "segment", list, place)
            if len(segment) != 2:
                raise UserError(f"{place}: {segment} is not a start and an end")
            times = parse_stretch(segment[0], segment[1], place)
            labels.append(Label(media, label, *times, media, split, place))
    if unlabelled:
        source.notes.append(
            f"{source.file}: {len(unlabelled)} videos have no annotations ({listed(unlabelled)})"
        )
    return labels


def _database(document: Any) -> Any:
    if isinstance(document, dict) and isinstance(document.get("database"), dict):
        return document["database"]
    return document
