"""BORIS: tabular events, aggregated events and projects.

Formats: https://github.com/olivierfriard/BORIS (tests/files, boris/export_observation.py and
boris/config.py). BORIS imports observations from projects (.boris) and, into an open observation,
from spreadsheets; it reads no CSV. So predictions are written as a project.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ar3d_keras.errors import UserError
from ar3d_keras.labels.label import Label, Media, chosen, listed, parse_seconds, parse_stretch
from ar3d_keras.labels.points import Points
from ar3d_keras.labels.source import Source, entry, optional

NO_SUBJECT = "No focal subject"
_TIMES = ("Start (s)", "Stop (s)")
_NO_MEDIA = ("", "NA", "Not found", "Live observation", "LIVE")


@dataclass(frozen=True)
class _Event:
    """A row of BORIS: the start, the stop or the whole of a behavior."""

    where: str
    observation: str
    media: str
    subject: str
    behavior: str
    category: str
    modifiers: tuple[str, ...]
    status: str  # START, STOP, POINT, STATE (with an end), or "" if it must be counted
    time: float
    end: float | None = None


def recognizes_project(source: Source) -> bool:
    """Whether the file is a project (.boris)."""
    document = source.document
    return isinstance(document, dict) and {"behaviors_conf", "observations"} <= document.keys()


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
            stop = _media_time(row[_TIMES[1]], _offset(row, where), where)
            start, end = parse_stretch(event.time, stop, where)
            events.append(replace(event, status="STATE", time=start, end=end))
    return _labels(source, _in_their_files(source, header, events))


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
    events = list(_paired(source, events))
    return _labels(source, _in_their_files(source, header, events))


def _table_event(row: dict[str, str], where: str, time: str, offset: float) -> _Event:
    names = ("Media file name", "Media file path", "Media file", "Source")
    media = next((row[name] for name in names if name in row), "")
    modifiers = tuple(row[name] for name in row if name.lower().startswith("modifier"))
    if not row["Behavior"]:
        raise UserError(f"{where} has no behavior")
    return _Event(
        where,
        row.get("Observation id", ""),
        media.removeprefix("player #1:").strip(),
        row.get("Subject", "") or NO_SUBJECT,
        row["Behavior"],
        row.get("Behavioral category", "").replace("Not defined", ""),
        modifiers,
        "",
        _media_time(time, offset, where),
    )


def _offset(row: Mapping[str, str], where: str) -> float:
    """The time offset of an observation in seconds; it may be negative."""
    text = row.get("Time offset (s)", "").strip()
    return 0.0 if text in ("", "NA") else _signed(text, where)


def _media_time(time: object, offset: float, where: str) -> float:
    """The time in the video: BORIS adds the offset of the observation to the times of events."""
    return parse_seconds(round(_signed(time, where) - offset, 3), where)


def _signed(time: object, where: str) -> float:
    text = str(time).strip()
    return parse_seconds(text.removeprefix("-"), where) * (-1 if text.startswith("-") else 1)


def _in_their_files(source: Source, header: int, events: Iterable[_Event]) -> Iterator[_Event]:
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
        if event.media in _NO_MEDIA or not (several or event.observation in lengths):
            yield event
        elif event.observation in lengths:
            yield _shifted(event, lengths[event.observation])
        else:
            raise UserError(
                f"{event.where}: observation {event.observation!r} plays several files one after "
                "another, and the table does not give their durations: import the project "
                "(.boris), or an export of BORIS 8 or later"
            )


def _shifted(event: _Event, files: Sequence[tuple[str, float]]) -> _Event:
    """The event with times in its own file."""
    begin, place = 0.0, 0
    while place < len(files) - 1 and event.time >= begin + files[place][1]:
        begin += files[place][1]
        place += 1
    file, length = files[place]
    end = None if event.end is None else round(event.end - begin, 3)
    if end is not None and end > length and place < len(files) - 1:
        raise UserError(f"{event.where} goes on in the next file: end it at the end of {file!r}")
    return replace(event, media=file.strip(), time=round(event.time - begin, 3), end=end)


def _paired(source: Source, events: Iterable[_Event]) -> Iterator[_Event]:
    """Joins START and STOP of the same observation, subject, behavior and modifiers.

    A status of "" is that of a project: the first event starts, the next one stops.
    """
    open_events: dict[tuple, _Event] = {}
    unpaired = []
    for event in events:
        key = event.observation, event.subject, event.behavior, event.modifiers
        if event.status == "POINT":
            yield event
        elif event.status == "STOP" or (event.status == "" and key in open_events):
            begun = open_events.pop(key, None)
            if begun is None:
                unpaired.append(event)
                continue
            start, end = parse_stretch(begun.time, event.time, f"{begun.where} to {event.where}")
            yield replace(begun, status="STATE", time=start, end=end)
        elif key in open_events:
            unpaired.append(open_events[key])
            open_events[key] = event
        else:
            open_events[key] = event
    unpaired += open_events.values()
    if unpaired:
        # The name of the file once, then what is after it.
        places = [each.where.removeprefix(f"{source.file} ") for each in unpaired]
        raise UserError(
            f"{source.file}: {len(unpaired)} events have no START or no STOP ({listed(places)}): "
            "correct them in BORIS (Observations, Fix unpaired events)"
        )


def _labels(source: Source, events: Iterable[_Event]) -> list[Label]:
    events = list(events)
    options = source.options
    live = [event for event in events if event.media in _NO_MEDIA]
    if live:
        source.notes.append(
            f"{source.file}: {len(live)} events of observations without a video are left out "
            f"({listed(event.observation for event in live)})"
        )
    events = [event for event in events if event.media not in _NO_MEDIA]
    sets = chosen(
        (event.category for event in events),
        options.label_set,
        option="label_set",
        what="behavioral category",
        where=source.file,
    )
    events = [event for event in events if event.category in sets]
    subjects = chosen(
        (event.subject for event in events),
        options.subject,
        option="subject",
        what="subject",
        where=source.file,
    )
    points = Points(source)
    labels: list[Label] = []
    for event in events:
        if event.subject not in subjects:
            continue
        if event.status == "POINT":
            labels += points.labels(event.media, event.behavior, event.time, event.where)
        else:
            times = event.time, event.end
            labels.append(Label(event.media, event.behavior, *times, where=event.where))
    points.report()
    return labels


def read_project(source: Source) -> list[Label]:
    """Reads the observations of a project.

    Raises:
        UserError: an event is not paired or damaged, or a choice is needed.
    """
    file = str(source.file)
    behaviors = {}
    for key, each in entry(source.document, "behaviors_conf", dict, file).items():
        where = source.at("behaviors_conf", key)
        behaviors[entry(each, "code", str, where)] = each
        entry(each, "type", str, where)
    found: list[_Event] = []
    observations = entry(source.document, "observations", dict, file)
    for name in observations:
        where = source.at("observations", name)
        observation = entry(observations, name, dict, where)
        found += _project_events(source, where, name, observation, behaviors)
    return _labels(source, found)


def _project_events(
    source: Source, where: str, name: str, observation: dict, behaviors: Mapping[str, dict]
) -> Iterator[_Event]:
    events = []
    if observation.get("media_creation_date_as_offset"):
        raise UserError(f"{where} counts time from the creation of the file: it is not supported")
    offset = _signed(observation.get("time offset") or 0, where)
    files = observation.get("file") or {}
    played = optional(files, "1", list, where) if isinstance(files, dict) else []
    told = entry(observation, "events", list, where)
    for number in range(len(told)):
        place = source.at("observations", name, "events", number)
        event = entry(told, number, list, place)
        behavior = entry(event, 2, str, place)
        if behavior not in behaviors:
            raise UserError(f"{place}: behavior {behavior!r} is not in the ethogram")
        point = behaviors[behavior]["type"].casefold().startswith("point")
        events.append(
            _Event(
                place,
                name,
                str(played[0]) if played else "",
                entry(event, 1, str, place) or NO_SUBJECT,
                behavior,
                str(behaviors[behavior].get("category") or ""),
                (str(event[3]) if len(event) > 3 else "",),
                "POINT" if point else "",
                _media_time(event[0], offset, place),
            )
        )
    events.sort(key=lambda event: event.time)
    for event in _paired(source, events):
        if len(played) < 2:
            yield event
            continue
        info = entry(entry(observation, "media_info", dict, where), "length", dict, where)
        lengths = [(str(each), float(entry(info, each, (int, float), where))) for each in played]
        yield _shifted(event, lengths)


def as_project(labels: Sequence[Label], media: Mapping[str, Media], *, date: str) -> bytes:
    """Formats labels as a BORIS project with an observation for each video.

    BORIS opens it, or imports its observations into another project (Observations, Import
    observations). The probability is the comment of the START event.

    Args:
        labels: stretches of videos.
        media: the frame rate and the duration of each video.
        date: of the project, as YYYY-MM-DDTHH:MM:SS.
    """
    names = sorted({label.name for label in labels})
    keys = "abcdefghijklmnopqrstuvwxyz0123456789"
    project = {
        "time_format": "hh:mm:ss",
        "project_date": date,
        "project_name": "predictions of ar3d_keras",
        "project_description": "",
        "project_format_version": "7.0",
        "subjects_conf": {},
        "behaviors_conf": {
            str(place): {
                "type": "State event",
                "key": keys[place % len(keys)],
                "code": name,
                "description": "",
                "color": "",
                "category": "",
                "modifiers": {},
                "excluded": "",
                "coding map": "",
            }
            for place, name in enumerate(names)
        },
        "observations": {
            path: _observation(path, [each for each in labels if each.media == path], told, date)
            for path, told in media.items()
        },
        "behavioral_categories": [],
        "behavioral_categories_config": {},
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }
    text = json.dumps(project, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _observation(path: str, labels: Sequence[Label], told: Media, date: str) -> dict[str, Any]:
    events: list[tuple[float, int, list]] = []
    for label in labels:
        assert label.start is not None and label.end is not None
        score = "" if label.score is None else f"{label.score:.4f}"
        events.append((label.start, 1, [round(label.start, 3), "", label.name, "", score]))
        events.append((label.end, 0, [round(label.end, 3), "", label.name, "", ""]))
    # A stop stands before a start at the same time.
    events.sort(key=lambda each: each[:2])
    length = told.duration or max((label.end or 0 for label in labels), default=0)
    return {
        "file": {str(player): [path] if player == 1 else [] for player in range(1, 9)},
        "type": "MEDIA",
        "date": date,
        "description": "",
        "time offset": 0.0,
        "events": [event for _, _, event in events],
        "observation time interval": [0, 0],
        "independent_variables": {},
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "media_creation_date_as_offset": False,
        "media_scan_sampling_duration": 0,
        "image_display_duration": 1,
        "close_behaviors_between_videos": False,
        "media_info": {
            "length": {path: round(length, 3)},
            "fps": {path: told.rate},
            "hasVideo": {path: True},
            "hasAudio": {path: False},
            "offset": {"1": 0.0},
            "zoom level": {"1": 1.0},
        },
    }
