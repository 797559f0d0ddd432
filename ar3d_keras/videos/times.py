"""Times of labels: seconds, or a clock."""

import math
import re
from typing import Any

from ar3d_keras.errors import UserError

_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d*)?)", re.ASCII)
_SECONDS = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_HOW = "give seconds from 0 on, such as 83.5, or hh:mm:ss.mmm, such as 00:01:23.500"


def parse_time(value: Any) -> float:
    """Seconds of a number or a text: `83.5`, `1:23.5` or `00:01:23.500`.

    Raises:
        UserError: it is something else: a negative number, NaN, or a number with a comma.
    """
    seconds = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str):
        text = value.strip()
        match = _CLOCK.fullmatch(text)
        if match and int(match[2]) < 60 and float(match[3]) < 60:
            seconds = 3600 * int(match[1] or 0) + 60 * int(match[2]) + float(match[3])
        elif _SECONDS.fullmatch(text):
            seconds = float(text)
    if 0 <= seconds < math.inf:
        return seconds
    comma = " with a point and not a comma" if isinstance(value, str) and "," in value else ""
    raise UserError(f"{value!r} is not a time: {_HOW}{comma}")


def parse_stretch(start: str, end: str) -> tuple[float | None, float | None]:
    """The stretch that two cells give; (None, None) if both are empty, which is the whole file.

    An empty `start` is 0, and an empty `end` is the end of the file: None.

    Raises:
        UserError: a cell is not a time, or the stretch ends before it starts.
    """
    stretch = []
    for name, text in (("start", start), ("end", end)):
        try:
            stretch.append(parse_time(text) if text.strip() else None)
        except UserError as error:
            raise UserError(f"`{name}` {error}") from None
    first, last = stretch
    if last is not None:
        first = first or 0.0
        check_order(first, last)
    return first, last


def check_order(start: float, end: float) -> None:
    """Checks that a stretch has a length.

    Raises:
        UserError: it ends before it starts, or where it starts.
    """
    if start >= end:
        raise UserError(f"`start` {start:g} must be before `end` {end:g}")
