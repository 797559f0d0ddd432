"""Events of BORIS, from a table or a project, to labels."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ar3d_keras.errors import UserError
from ar3d_keras.labels.label import Label, chosen, listed, parse_seconds, parse_stretch
from ar3d_keras.labels.points import Points
from ar3d_keras.labels.source import Source

NO_SUBJECT = "No focal subject"
NO_MEDIA = ("", "NA", "Not found", "Live observation", "LIVE")


@dataclass(frozen=True)
class Event:
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


def media_time(time: object, offset: float, where: str) -> float:
    """The time in the video: BORIS adds the offset of the observation to the times of events."""
    return parse_seconds(round(signed(time, where) - offset, 3), where)


def signed(time: object, where: str) -> float:
    """A time in seconds, which may be negative; see `label.parse_seconds`."""
    text = str(time).strip()
    return parse_seconds(text.removeprefix("-"), where) * (-1 if text.startswith("-") else 1)


def shifted(event: Event, files: Sequence[tuple[str, float]]) -> Event:
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


def paired(source: Source, events: Iterable[Event]) -> Iterator[Event]:
    """Joins START and STOP of the same observation, subject, behavior and modifiers.

    A status of "" is that of a project: the first event starts, the next one stops.
    """
    open_events: dict[tuple, Event] = {}
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


def as_labels(source: Source, events: Iterable[Event]) -> list[Label]:
    """The events of the chosen categories and subjects; those without a video are left out.

    Raises:
        UserError: there are several categories or subjects, and none was chosen.
    """
    events = list(events)
    options = source.options
    live = [event for event in events if event.media in NO_MEDIA]
    if live:
        source.notes.append(
            f"{source.file}: {len(live)} events of observations without a video are left out "
            f"({listed(event.observation for event in live)})"
        )
    events = [event for event in events if event.media not in NO_MEDIA]
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
