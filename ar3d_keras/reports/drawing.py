"""What all pictures share: an empty figure, a bound on its pixels, and PNG output.

No function touches matplotlib's global state, so all can be called from a server or a thread.
"""

from __future__ import annotations

import io
import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ar3d_keras.atomic import replacing
from ar3d_keras.reports.fonts import families, has_bold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import LayoutEngine
    from matplotlib.text import Text

INK, PALE = "#1f2933", "#6b7785"
DPI = 120
# 64 MB as RGBA. A larger picture is drawn with fewer dots per inch.
MAX_PIXELS = 16_000_000


def new_figure(width: float, height: float, layout: LayoutEngine | None = None) -> Figure:
    """Returns an empty figure that draws without a display, of at most MAX_PIXELS pixels.

    Args:
        width: inches.
        height: inches.
        layout: places the axes; None: the caller does. See `constrained`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dpi = min(DPI, math.sqrt(MAX_PIXELS / (width * height)))
    figure = Figure(figsize=(width, height), dpi=dpi, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def constrained(**padding: Any) -> LayoutEngine:
    """A layout in which no text overlaps axes; `padding` as in ConstrainedLayoutEngine."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return ConstrainedLayoutEngine(**padding)


def finish(figure: Figure) -> Figure:
    """Gives every text the fonts that have its characters (without touching rcParams)."""
    for text in _texts(figure):
        needed = families(text.get_text())
        text.set_fontfamily(needed)
        if not has_bold(needed):
            text.set_fontweight("normal")
    return figure


def hide_axis(axes: Axes) -> None:
    """Draws no axis. Ticks that nobody sees take half of the time of a picture with many axes."""
    axes.set_axis_off()
    axes.xaxis.set_visible(False)
    axes.yaxis.set_visible(False)


def _texts(artist: Artist) -> Iterator[Text]:
    """All texts in a figure; what is not drawn has none, so no ticks are made for it."""
    from matplotlib.text import Text

    if isinstance(artist, Text):
        yield artist
    for child in artist.get_children():
        if child.get_visible():
            yield from _texts(child)


def png_bytes(figure: Figure) -> bytes:
    """Renders `figure` as a PNG; the same figure gives the same bytes.

    `Figure.savefig` draws twice, and its PNG with an alpha channel takes twice as long and is larger.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, "png", compress_level=4)
    return buffer.getvalue()


def rgb_png(image: np.ndarray) -> bytes:
    """Encodes uint8 RGB (height, width, 3) as a PNG."""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, image, format="png")
    return buffer.getvalue()


def save(figure: Figure, path: str | os.PathLike) -> None:
    """Writes `figure` as a PNG to `path`, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(png_bytes(figure))
