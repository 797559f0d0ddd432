"""What every picture shares: an empty figure, fonts that can write every name, PNG out.

No function touches matplotlib's global state, so all can be called from a server or a thread.
"""

from __future__ import annotations

import functools
import io
import os
import unicodedata
import warnings
from typing import TYPE_CHECKING

from ar3d_keras.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, PALE = "#1f2933", "#6b7785"
# DejaVu Sans has no Hangul, kana or Han; the first of these that is installed lends them.
CJK_FAMILIES = ("Noto Sans CJK", "NanumGothic", "Noto Sans KR", "Malgun Gothic", "Apple SD Gothic")


def new_figure(width: float, height: float, layout: str | None = None) -> Figure:
    """Returns an empty figure of `width` x `height` inches that draws without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def finish(figure: Figure) -> Figure:
    """Gives every text the fonts that know its script (without touching rcParams)."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_fontfamily(_families())
    return figure


def png_bytes(figure: Figure) -> bytes:
    """Renders `figure` as a PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A class name in a script no installed font has shows as boxes; it is no error.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def save(figure: Figure, path: str | os.PathLike) -> None:
    """Writes `figure` as a PNG to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(png_bytes(figure))


def clean(text: str, limit: int, keep_end: bool = False) -> str:
    """One printable line of at most `limit` Latin letters' width, safe from mathtext."""
    text = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    if display_width(text) > limit:
        while display_width(text) > limit - 1:
            text = text[1:] if keep_end else text[:-1]
        text = "…" + text if keep_end else text + "…"
    return text.replace("$", r"\$")


def display_width(text: str) -> int:
    """The width of `text` in Latin letters; a Hangul or Han sign takes two."""
    return sum(1 + (unicodedata.east_asian_width(sign) in "WF") for sign in text)


@functools.cache
def _families() -> list[str]:
    """The fonts to look a glyph up in, in order; only installed ones, or matplotlib complains."""
    from matplotlib import font_manager

    installed = sorted({font.name for font in font_manager.fontManager.ttflist})
    return ["DejaVu Sans"] + [
        next(name for name in installed if name.startswith(family))
        for family in CJK_FAMILIES
        if any(name.startswith(family) for name in installed)
    ]
