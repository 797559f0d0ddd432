"""BORIS: tables of tabular and of aggregated events.

Formats: https://github.com/olivierfriard/BORIS (tests/files, boris/export_observation.py).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ar3d_keras.errors import UserError
from ar3d_keras.labels.boris_events import (
    NO_MEDIA,
    NO_SUBJECT,
    Event,
    as_labels,
    media_time,
    paired,
    shifted,
    signed,
)
from ar3d_keras.labels.label import Label, parse_seconds, parse_stretch
from ar3d_keras.labels.source import Source

_TIMES = ("Start (s)", "Stop (s)")


def recognizes_aggregated(source: Source) -> bool:
    """Whether the file is a table of aggregated events."""
    return _header(source, "Behavior", *_TIMES) is not None


def recognizes_tabular(source: Source) -> bool:
    """Whether the file is a table of tabular events, of BORIS 7 or later."""
    return _header(source, "Time", "Behavior", "Subject") is not None


def _header(source: Source, *columns: str) -> int | None:
    """The index of the row that names the columns; BORIS 7 writes the observation above it."""
    for place, (_, cells) in enumerate(source.rows[:200]):
        if set(columns) <= {cell.strip() for cell in cells}:
            return place
    return None


def read_aggregated(source: Source) -> list[Label]:
    """Reads aggregated events: one row for each state or point event.

    Raises:
        UserError: a row cannot be used, or a choice is needed.
    """
    header = _header(source, "Behavior", *_TIMES)
    if header is None:
        raise UserError(f"{source.file} has no columns Behavior, {_TIMES[0]}, {_TIMES[1]}")
    events = []
    for where, row in source.records(header):
        kind = row.get("Behavior type", "").upper()
        event = _table_event(row, where, row[_TIMES[0]], _offset(row, where))
        if kind == "POINT" or (not kind and row[_TIMES[0]] == row[_TIMES[1]]):
            events.append(replace(event, status="POINT"))
        else:
            stop = media_time(row[_TIMES[1]], _offset(row, where), where)
            start, end = parse_stretch(event.time, stop, where)
            events.append(replace(event, status="STATE", time=start, end=end))
    return as_labels(source, _in_their_files(source, header, events))


def read_tabular(source: Source) -> list[Label]:
    """Reads tabular events: START, STOP and POINT rows, which are paired.

    Raises:
        UserError: an event is not paired, a row cannot be used, or a choice is needed.
    """
    header = _header(source, "Time", "Behavior", "Subject")
    if header is None:
        raise UserError(f"{source.file} has no columns Time, Subject and Behavior")
    head = {cells[0].strip(): cells[1] for _, cells in source.rows[:header] if len(cells) > 1}
    events = []
    for where, row in source.records(header):
        status = (row.get("Status") or row.get("Behavior type") or "").upper()
        if status not in ("START", "STOP", "POINT"):
            raise UserError(f"{where}: status {status!r} is not START, STOP or POINT")
        event = _table_event(row, where, row["Time"], _offset(head | row, where))
        events.append(replace(event, status=status))
    events = list(paired(source, events))
    return as_labels(source, _in_their_files(source, header, events))


def _table_event(row: dict[str, str], where: str, time: str, offset: float) -> Event:
    names = ("Media file name", "Media file path", "Media file", "Source")
    media = next((row[name] for name in names if name in row), "")
    modifiers = tuple(row[name] for name in row if name.lower().startswith("modifier"))
    if not row["Behavior"]:
        raise UserError(f"{where} has no behavior")
    return Event(
        where,
        row.get("Observation id", ""),
        media.removeprefix("player #1:").strip(),
        row.get("Subject", "") or NO_SUBJECT,
        row["Behavior"],
        row.get("Behavioral category", "").replace("Not defined", ""),
        modifiers,
        "",
        media_time(time, offset, where),
    )


def _offset(row: Mapping[str, str], where: str) -> float:
    """The time offset of an observation in seconds; it may be negative."""
    text = row.get("Time offset (s)", "").strip()
    return 0.0 if text in ("", "NA") else signed(text, where)


def _in_their_files(source: Source, header: int, events: Iterable[Event]) -> Iterator[Event]:
    """Subtracts the start of each file where an observation plays several one after another.

    BORIS counts the time from the start of the first file.
    """
    lengths = {}
    for where, row in source.records(header):
        name = row.get("Observation id", "")
        files = row.get("Source", "").split("|")[0].removeprefix("player #1:").split(";")
        seconds = row.get("Media duration (s)", "").split("|")[0].split(";")
        if len(files) > 1 and len(seconds) == len(files):
            durations = [parse_seconds(each, where) for each in seconds]
            lengths[name] = list(zip(files, durations, strict=True))
    first_files = [
        cells[1]
        for _, cells in source.rows[:header]
        if len(cells) > 1 and cells[0].strip() == "Player #1"
    ]
    events = list(events)
    media: dict[str, dict[str, None]] = {}
    for event in events:
        media.setdefault(event.observation, {})[event.media] = None
    for event in events:
        several = len(media[event.observation]) > 1 or len(first_files) > 1
        if event.media in NO_MEDIA or not (several or event.observation in lengths):
            yield event
        elif event.observation in lengths:
            yield shifted(event, lengths[event.observation])
        else:
            raise UserError(
                f"{event.where}: observation {event.observation!r} plays several files one after "
                "another, and the table does not give their durations: import the project "
                "(.boris), or an export of BORIS 8 or later"
            )
