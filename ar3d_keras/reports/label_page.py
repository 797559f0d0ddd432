"""suspects.html and next.html: videos to look at, with frames, their label and a proposed one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ar3d_keras.reports import drawing, page
from ar3d_keras.reports.contact_sheet import strip

PLAYABLE = (".mp4", ".webm", ".mov", ".m4v", ".ogv")  # most browsers play these


@dataclass(frozen=True)
class Item:
    """A video to look at.

    Attributes:
        path: of the video, as shown.
        file: the video, for a player in the page; None: no player.
        frames: (T, H, W, 3) uint8 RGB.
        facts: what the page says about it: name -> text.
    """

    path: str
    file: Path | None
    frames: np.ndarray
    facts: Mapping[str, str]


def build(
    title: str, explanation: Sequence[str], items: Sequence[Item], about: Mapping[str, object]
) -> str:
    """Builds the page.

    Args:
        title: of the page.
        explanation: sentences on how to read it, the headline first.
        items: the videos, most important first.
        about: where they come from.
    """
    shown = [
        {
            "path": item.path,
            "player": _player(item.file),
            "png": drawing.rgb_png(strip(item.frames)),
            "facts": item.facts,
        }
        for item in items
    ]
    return page.render(
        "labels.html",
        title=title,
        tiles=[("videos", f"{len(items):,}", "most important first")],
        explanation=explanation,
        items=shown,
        about=about,
    )


def _player(file: Path | None) -> str | None:
    """The address of a video that browsers play."""
    if file is None or file.suffix.lower() not in PLAYABLE:
        return None
    return file.resolve().as_uri()
