"""Which characters can be drawn, and what is drawn in place of the others.

matplotlib ships DejaVu Sans, which has Latin, Greek, Cyrillic, Arabic and Hebrew letters but no
Korean, Japanese, Chinese or emoji. Another installed font is used where it has a character that
DejaVu Sans lacks. Where no font has it, a class name becomes its number (#3), which `legend` and
the tables of the HTML report explain, and other text loses it ("…").
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

DEFAULT = "DejaVu Sans"  # of matplotlib itself
# Fonts with wide coverage and even letters are tried first, then all others.
PREFERRED = (
    "Noto Sans", "Nanum", "Malgun Gothic", "Apple SD Gothic", "Hiragino", "Yu Gothic", "PingFang",
    "Microsoft YaHei", "WenQuanYi", "Segoe UI", "Arial Unicode",
)  # fmt: skip
# Fonts that map characters to placeholders, to mathematical signs or to coloured bitmaps.
UNUSABLE = ("Last Resort", "STIX", "cm", "Noto Color", "Apple Color")
ELLIPSIS = "…"


def clean(text: str, limit: int, keep_end: bool = False) -> str:
    """Makes one drawable line of at most `limit` Latin letters' width, without mathtext.

    Args:
        text: any text.
        limit: of the width; a longer text is cut.
        keep_end: cut at the start, not at the end.
    """
    text = readable(text)
    if display_width(text) > limit:
        while display_width(text) > limit - 1:
            text = text[1:] if keep_end else text[:-1]
        text = ELLIPSIS + text if keep_end else text + ELLIPSIS
    return text.replace("$", r"\$")


def readable(text: str) -> str:
    """Replaces each run of characters that no font has by an ellipsis.

    Control and other invisible characters become U+FFFD.
    """
    shown: list[str] = []
    for sign in text:
        if not sign.isprintable():
            sign = "\N{REPLACEMENT CHARACTER}"
        if _family(sign) is not None:
            shown.append(sign)
        elif not shown or shown[-1] != ELLIPSIS:
            shown.append(ELLIPSIS)
    return "".join(shown)


def class_labels(class_names: Sequence[str]) -> list[str]:
    """Returns a drawable label for each class: its name, or its number from 1 (#3).

    A name of which only a part can be drawn becomes its number and that part: "#3 walk".
    """
    return [class_label(class_names, n) for n in range(len(class_names))]


def class_label(class_names: Sequence[str], n: int) -> str:
    """Returns the drawable label of class `n`; see `class_labels`."""
    name = class_names[n]
    signs = [sign for sign in name if sign.isprintable()]
    if all(_family(sign) for sign in signs):
        return name
    rest = "".join(sign if _family(sign) else " " for sign in signs)
    # Letters are worth drawing; punctuation and signs on their own are not.
    parts = [part for part in rest.split() if any(map(str.isalnum, part))]
    return " ".join([f"#{n + 1}", *parts])


def legend(class_names: Sequence[str]) -> list[tuple[str, str]]:
    """Returns (label, name) of each class whose name cannot be drawn."""
    return [
        (label, name)
        for label, name in zip(class_labels(class_names), class_names, strict=True)
        if label != name
    ]


def display_width(text: str) -> int:
    """The width of `text` in Latin letters; a Hangul or Han sign takes two."""
    return sum(1 + (unicodedata.east_asian_width(sign) in "WF") for sign in text)


def families(text: str) -> list[str]:
    """The fonts that `text` needs, DejaVu Sans first."""
    needed = (_family(sign) for sign in set(text) if sign.isprintable())
    return list(dict.fromkeys([DEFAULT, *sorted(family for family in needed if family)]))


def has_bold(families: Sequence[str]) -> bool:
    """Whether all of some font families have a bold type; else matplotlib logs a warning."""
    return all(len(_files(family)) == 2 for family in families)


@functools.cache
def _family(sign: str) -> str | None:
    """The first font family that has a character in each of its types."""
    for family in _installed():
        if all(_has(file, ord(sign)) for file in _files(family)):
            return family
    return None


@functools.cache
def _installed() -> tuple[str, ...]:
    """The usable font families with a normal type, the best first."""
    from matplotlib import font_manager

    def rank(name: str) -> tuple[int, str]:
        places = [n for n, start in enumerate(PREFERRED) if name.startswith(start)]
        return min(places, default=len(PREFERRED)), name

    names = {font.name for font in font_manager.fontManager.ttflist} - {DEFAULT}
    usable = (name for name in names if _files(name) and not name.startswith(UNUSABLE))
    return (DEFAULT, *sorted(usable, key=rank))


@functools.cache
def _files(family: str) -> tuple[str, ...]:
    """The files of the normal and, if there is one, the bold type of a family.

    Not by findfont, which logs a warning for each family without one of them.
    """
    from matplotlib import font_manager

    found: dict[object, str] = {}
    for font in font_manager.fontManager.ttflist:
        if (font.name, font.style, font.variant) == (family, "normal", "normal"):
            weight = font.weight
            if isinstance(weight, str):
                weight = font_manager.weight_dict.get(weight, 0)
            if font.stretch in ("normal", 400):
                found.setdefault(weight, font.fname)
    if 400 not in found:
        return ()
    return (found[400], found[700]) if 700 in found else (found[400],)


def _has(file: str, code: int) -> bool:
    codes = _codes(file)
    place = int(np.searchsorted(codes, code))
    return place < len(codes) and int(codes[place]) == code


@functools.cache
def _codes(file: str) -> np.ndarray:
    """The code points that a font file has, sorted; none where it cannot be drawn."""
    from matplotlib import font_manager

    if not Path(file).is_file():  # removed since matplotlib listed it
        return np.empty(0, np.uint32)
    try:
        font = font_manager.get_font(file)
    except (OSError, RuntimeError):
        return np.empty(0, np.uint32)
    if not font.scalable:
        return np.empty(0, np.uint32)
    return np.array(sorted(font.get_charmap()), np.uint32)
