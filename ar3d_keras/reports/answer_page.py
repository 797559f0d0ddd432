"""The pages of `ar3d app`: the page itself, the answer for one video, and the answer to save."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras.evaluation.events import Event
from ar3d_keras.inference.bouts import own_spans
from ar3d_keras.inference.calibration import NONE_OF_THESE
from ar3d_keras.inference.predictor import Prediction, likeliest, merged
from ar3d_keras.reports import page
from ar3d_keras.reports.events_page import class_color

SHOWN = 5  # the likeliest classes, which have a curve
MOST_SHOWN = 12  # curves, with those of other classes that have a stretch
LARGEST_VIDEO = 50_000_000  # bytes of a video inside a saved page
ASSETS = {
    "app.css": ("text/css", ("base.css", "film.css", "answer.css", "app.css")),
    "app.js": ("text/javascript", ("film.js", "app.js")),
}


def asset(name: str) -> str:
    """The text of a file of ASSETS."""
    folder = Path(__file__).parent / "templates"
    return "\n".join((folder / part).read_text(encoding="utf-8") for part in ASSETS[name][1])


def app_page(**values: object) -> str:
    """The page on which videos are dropped; see templates/app.html for the values."""
    return page.render("app.html", **values)


def answer_content(
    prediction: Prediction, seconds: float, damage: str | None, maps: str | None
) -> dict[str, Any]:
    """What the templates show of a predicted video.

    Args:
        prediction: with segments.
        seconds: the length of the video.
        damage: what is missing of it; None: nothing.
        maps: what the overlay shows, "attention" or "Grad-CAM"; None: there is none.
    """
    assert prediction.probabilities is not None
    stretches = merged(prediction)
    best = likeliest(prediction.class_names, prediction.probabilities, SHOWN)
    found = {name for *_, name, _ in stretches} - {NONE_OF_THESE}
    names = list(dict.fromkeys([*(name for name, _ in best), *sorted(found)]))
    colors = {name: class_color(place, len(names)) for place, name in enumerate(names)}
    colors[NONE_OF_THESE] = "#8a94a0"
    events = [Event("", name, start, end, share) for start, end, name, share in stretches]
    calibrated = prediction.calibrated
    return {
        "name": prediction.path,
        "seconds": seconds,
        "damage": damage,
        "maps": maps,
        "windows": len(prediction.segments),
        "label": best[0][0],
        "share": best[0][1],
        "accepted": prediction.accepted,
        "calibrated": None if calibrated is None else float(calibrated.max()),
        "classes": [
            {
                "name": name,
                "share": float(prediction.probabilities[prediction.class_names.index(name)]),
                "color": colors[name],
                "path": _path(prediction, name, seconds),
            }
            for name in names[:MOST_SHOWN]
        ],
        "events": events,
        "colors": colors,
    }


def answer_fragment(content: Mapping[str, Any], **values: object) -> str:
    """The answer as a part of the page; see templates/answer.html for the values."""
    return page.render("answer.html", **content, **values)


def answer_page(content: Mapping[str, Any], video: Path, about: Mapping[str, object]) -> str:
    """The answer as a page of its own, with the video inside if it is not too large.

    Args:
        content: of `answer_content`.
        video: the overlay, or the video.
        about: where the numbers come from.
    """
    small = video.stat().st_size <= LARGEST_VIDEO
    return page.render(
        "answer_page.html",
        **content,
        title=content["name"],
        tiles=_tiles(content),
        video=video.read_bytes() if small else None,
        about=about,
    )


def _tiles(content: Mapping[str, Any]) -> Sequence[tuple[str, str, str]]:
    rejected = content["accepted"] is False
    note = f"likeliest: {content['label']}" if rejected else "mean of its windows"
    return [
        ("predicted class", NONE_OF_THESE if rejected else content["label"], note),
        ("probability", page.percent(content["share"]), "of the likeliest class"),
        ("length", page.duration(content["seconds"]), f"{content['windows']} windows"),
    ]


def _path(prediction: Prediction, name: str, seconds: float) -> str:
    """The probability of a class over time as an SVG path in a box of 1000 x 100."""
    place = prediction.class_names.index(name)
    times = np.array([(segment.start, segment.end) for segment in prediction.segments])
    spans, _ = own_spans(times)
    parts = []
    for (start, end), segment in zip(spans, prediction.segments, strict=True):
        left, right = (1000 * time / max(seconds, 1e-3) for time in (start, end))
        top = 100 * (1 - float(segment.probabilities[place]))
        parts.append(f"M{left:.1f} 100V{top:.1f}H{right:.1f}V100Z")
    return "".join(parts)
