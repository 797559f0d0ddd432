"""Renders HTML pages, and Markdown cards, from the templates beside this file.

A page needs nothing beside it: style, script and pictures are inside, and it uses no network.
Autoescaping is on in all templates. Line breaks and invisible characters of any text are shown as
escapes, so that a file name cannot hide a part of itself.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ar3d_keras.evaluation.metrics import format_interval
from ar3d_keras.reports import fonts, plots

# What the headline numbers depend on; the provenance table holds all facts.
MAIN_FACTS = ("dataset", "split", "split_scheme", "protocol", "backend", "precision", "seed")


def render(template: str, **values: object) -> str:
    """Renders a page.

    Args:
        template: the name of a file in templates/.
        values: what the template uses. All pages use title and tiles, (name, value, note) each.

    Raises:
        jinja2.UndefinedError: The template uses a value that was not given.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ar3d_keras.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": duration,
        "cell": _cell,
        "base64": lambda png: base64.b64encode(png).decode(),
        "font_legend": fonts.legend,
        "interval": _interval,
        "main_facts": _main_facts,
        "p_value": _p_value,
        "percent": percent,
        "points": points,
    }
    environment.globals |= {"detailed_classes": plots.DETAILED, "named_classes": plots.NAMED}
    return environment


def visible(value: object) -> str:
    """Escapes line breaks and invisible characters; markup of a template is left as it is."""
    if isinstance(value, Markup):
        return value
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cell(value: object) -> Markup:
    """Text of a file for a cell of a Markdown table: no markup, no column of its own."""
    text = str(visible(str(value)))
    for mark, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", r"\|"), ("`", "'")):
        text = text.replace(mark, escaped)
    for mark in "*_[]":
        text = text.replace(mark, "\\" + mark)
    return Markup(text)


def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal."""
    return f"{100 * fraction:.1f} %"


def duration(seconds: float) -> str:
    """Seconds as people write them: "3.2 s", "4:05 min", "2:10 h"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"


def points(fraction: float) -> str:
    """A difference of fractions in percentage points, with its sign."""
    return f"{100 * fraction:+.1f}".replace("-", "\N{MINUS SIGN}")


def _interval(interval: Sequence[float] | None, signed: bool = False) -> str:
    return format_interval(interval, percent=True, signed=signed)


def _p_value(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def _main_facts(about: Mapping[str, object]) -> list[tuple[str, object]]:
    return [
        (key.replace("_", " "), about[key])
        for key in MAIN_FACTS
        if about.get(key) not in (None, "")
    ]


def interval_note(interval: Sequence[float] | None, over: str = "") -> str:
    """The note of a tile: "95 % interval 41.2 to 53.0 %"; the footer of the page says how."""
    over = f"over {over}" if over else "interval"
    if interval is None:
        return f"95 % {over} cannot be estimated"
    return f"95 % {over} {format_interval(interval, percent=True)} %"
