"""BORIS: projects.

Format: https://github.com/olivierfriard/BORIS (tests/files and boris/config.py). BORIS imports
observations from projects (.boris) and, into an open observation, from spreadsheets; it reads no CSV.
So predictions are written as a project. `boris_tables` reads the tables that BORIS writes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ar3d_keras.errors import UserError
from ar3d_keras.labels.boris_events import (
    NO_SUBJECT,
    Event,
    as_labels,
    media_time,
    paired,
    shifted,
    signed,
)
from ar3d_keras.labels.label import Label, Media
from ar3d_keras.labels.source import Source, entry, optional


def recognizes_project(source: Source) -> bool:
    """Whether the file is a project (.boris)."""
    document = source.document
    return isinstance(document, dict) and {"behaviors_conf", "observations"} <= document.keys()


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
    found: list[Event] = []
    observations = entry(source.document, "observations", dict, file)
    for name in observations:
        where = source.at("observations", name)
        observation = entry(observations, name, dict, where)
        found += _project_events(source, where, name, observation, behaviors)
    return as_labels(source, found)


def _project_events(
    source: Source, where: str, name: str, observation: dict, behaviors: Mapping[str, dict]
) -> Iterator[Event]:
    events = []
    if observation.get("media_creation_date_as_offset"):
        raise UserError(f"{where} counts time from the creation of the file: it is not supported")
    offset = signed(observation.get("time offset") or 0, where)
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
            Event(
                place,
                name,
                str(played[0]) if played else "",
                entry(event, 1, str, place) or NO_SUBJECT,
                behavior,
                str(behaviors[behavior].get("category") or ""),
                (str(event[3]) if len(event) > 3 else "",),
                "POINT" if point else "",
                media_time(event[0], offset, place),
            )
        )
    events.sort(key=lambda event: event.time)
    for event in paired(source, events):
        if len(played) < 2:
            yield event
            continue
        info = entry(entry(observation, "media_info", dict, where), "length", dict, where)
        lengths = [(str(each), float(entry(info, each, (int, float), where))) for each in played]
        yield shifted(event, lengths)


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
