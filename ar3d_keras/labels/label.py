"""A label of a stretch of a video, and the times in it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ar3d_keras.errors import UserError
from ar3d_keras.videos.times import check_order, parse_time

_SHOWN = 5  # how many of a list of names or rows a message shows


@dataclass(frozen=True)
class Label:
    """A labelled video, or a labelled stretch of one.

    Attributes:
        media: the video: a path, or a YouTube identifier, as the format names it.
        name: the class.
        start: seconds since the start of the video; None: the label is for the whole file.
        end: seconds; None: the label is for the whole file.
        group: the source recording; "" if unknown.
        split: "train", "val" or "test"; "" if unknown.
        where: the file and the row that it was read from, for messages.
        score: the probability of a prediction, 0 to 1; None for a person's label.
    """

    media: str
    name: str
    start: float | None = None
    end: float | None = None
    group: str = ""
    split: str = ""
    where: str = ""
    score: float | None = None


@dataclass(frozen=True)
class Media:
    """What a writer must know of a video.

    Attributes:
        rate: frames per second.
        duration: seconds; None: unknown.
    """

    rate: float
    duration: float | None = None


def parse_seconds(value: Any, where: str) -> float:
    """Returns a time in seconds; see `times.parse_time`.

    Raises:
        UserError: it is no time; the message starts with `where`.
    """
    try:
        return parse_time(value)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def parse_stretch(start: Any, end: Any, where: str) -> tuple[float, float]:
    """Returns start and end in seconds, rounded to milliseconds.

    Raises:
        UserError: one of them is not a time, or the start is not before the end.
    """
    first, last = (round(parse_seconds(value, where), 3) for value in (start, end))
    try:
        check_order(first, last)
    except UserError as error:
        raise UserError(f"{where}: {error}, by a millisecond or more") from None
    return first, last


def format_seconds(seconds: float | None) -> str:
    """Formats a time with the digits that it needs, at most milliseconds; "" for None."""
    if seconds is None:
        return ""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def listed(items: Iterable[object]) -> str:
    """Joins items for a message; of a long list it shows the first ones and the number of all."""
    shown = list(dict.fromkeys(map(str, items)))
    if len(shown) <= _SHOWN:
        return ", ".join(shown)
    return f"{', '.join(shown[:_SHOWN])} and {len(shown) - _SHOWN} more"


def chosen(
    found: Iterable[str], wanted: tuple[str, ...], *, option: str, what: str, where: object
) -> set[str]:
    """Returns which of the sets that a file contains are imported.

    Args:
        found: the names in the file, any number of times.
        wanted: what the user chose; empty: nothing was chosen.
        option: the name of the option that chooses.
        what: what the names are, for the message.
        where: the file, for the message.

    Raises:
        UserError: the file has several and none was chosen, or lacks a chosen one.
    """
    names = list(dict.fromkeys(found))
    choices = ", ".join(repr(name) for name in names)
    for name in wanted:
        if names and name not in names:
            raise UserError(f"{where} has no {what} {name!r}: `{option}` must be one of {choices}")
    if len(names) > 1 and not wanted:
        raise UserError(f"{where} has several {what}s: choose with `{option}` from {choices}")
    return set(wanted or names)
