"""Predicted against labeled stretches: a picture, and a page with each video beside its timeline."""

from __future__ import annotations

import colorsys
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ar3d_keras import atomic
from ar3d_keras.evaluation.events import Event
from ar3d_keras.reports import drawing, page
from ar3d_keras.reports.drawing import INK, PALE
from ar3d_keras.reports.fonts import clean
from ar3d_keras.reports.video_writer import VideoWriter
from ar3d_keras.videos.reader import ASSUMED_RATE, ReadError, load_cv2, read_header, timed_frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_DRAWN = 20  # videos in the picture
PLAYABLE = {".mp4": ("h264", "vp9", "av1"), ".webm": ("vp8", "vp9", "av1")}
COPY_HEIGHT = 360  # pixels of a copy that browsers play


def write_events_page(
    folder: Path,
    content: Mapping[str, Any],
    predicted: Sequence[tuple[str, Path, Sequence[Event]]],
    labeled: Sequence[Event],
) -> None:
    """Writes timeline.png and timeline.html, and a copy of each video that browsers cannot play.

    A video that browsers play is linked where it is. The others are copied into `folder`, smaller.

    Args:
        folder: of the report.
        content: of events.json.
        predicted: the name of each video, its file, and its predicted events.
        labeled: the labeled events of all videos, by these names.
    """
    names = sorted({e.label for e in labeled} | {e.label for *_, found in predicted for e in found})
    colors = {name: class_color(place, len(names)) for place, name in enumerate(names)}
    videos: list[dict[str, Any]] = []
    for number, (name, file, found) in enumerate(predicted, start=1):
        truth = [event for event in labeled if event.path == name]
        end = max([e.end for e in (*found, *truth)], default=0.0)
        videos.append(
            {
                "path": name,
                "source": playable(file, folder, f"video-{number}.mp4"),
                "seconds": max(_seconds(file), end),
                "rows": [("labeled", truth), ("predicted", list(found))],
            }
        )
    drawing.save(draw_timelines(videos[:MOST_DRAWN], colors), folder / "timeline.png")
    scores = content["test"]
    tiles = [
        (
            f"event F1 at IoU {iou}",
            "–" if each["f1"] is None else page.percent(each["f1"]),
            " · ".join(
                f"{name} {'–' if each[name] is None else page.percent(each[name])}"
                for name in ("precision", "recall")
            ),
        )
        for iou, each in scores["iou"].items()
    ]
    accuracy = scores["frame_accuracy"]
    shown = "–" if accuracy is None else page.percent(accuracy)
    tiles.append(("frame accuracy", shown, f"{scores['seconds']:,.0f} s in all"))
    tiles.append(("videos", f"{scores['videos']:,}", f"{scores['failed_videos']} failed"))
    rendered = page.render(
        "events.html",
        title=f"Untrimmed test videos of {Path(content['run']).name}",
        tiles=tiles,
        colors=colors,
        videos=videos,
        picture_png=(folder / "timeline.png").read_bytes(),
        about={
            key: value
            for key, value in content.items()
            if isinstance(value, str | int | float) and value != ""
        }
        | {f"chosen {key}": value for key, value in content["options"].items() if value},
    )
    atomic.write_text(folder / "timeline.html", rendered)


def class_color(place: int, count: int) -> str:
    """A color of its own for each class; neighbors in the list differ in lightness too."""
    red, green, blue = colorsys.hls_to_rgb(place / max(1, count), 0.42 + 0.16 * (place % 2), 0.55)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def _seconds(path: Path) -> float:
    try:
        header = read_header(path)
    except ReadError:
        return 0.0
    return header.frames / (header.rate or ASSUMED_RATE)


def playable(path: Path, folder: Path, name: str) -> str | None:
    """The address, relative to `folder`, of a video that browsers play; None: there is none.

    Args:
        path: a video file or a folder of frames.
        folder: of the page.
        name: of the copy, if one is needed.
    """
    if _codec(path) in PLAYABLE.get(path.suffix.lower(), ()):
        return quote(os.fsencode(os.path.relpath(path, folder.resolve())))
    cv2, rate = load_cv2(), _rate(path)
    writer: VideoWriter | None = None
    with atomic.replacing(folder / name) as temporary:
        try:
            for time, frame in timed_frames(path):
                height = min(COPY_HEIGHT, frame.shape[0])
                width = max(2, round(frame.shape[1] * height / frame.shape[0]))
                if writer is None:
                    size = width, height
                    writer = VideoWriter(temporary, width, height, rate, sound=path)
                writer.write(time, cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
            if writer is not None:
                writer.close()
        except ReadError:
            return None
        finally:
            if writer is not None:
                writer.abort()
    return quote(name)


def _rate(path: Path) -> float:
    return read_header(path).rate or ASSUMED_RATE


def _codec(path: Path) -> str:
    """The name of a file's video codec, "" where it has none."""
    import av

    try:
        with av.open(str(path.absolute())) as container:
            return container.streams.video[0].codec_context.name
    except (av.error.FFmpegError, OSError, IndexError, ValueError):
        return ""


def draw_timelines(videos: Sequence[Mapping[str, Any]], colors: Mapping[str, str]) -> Figure:
    """Draws labeled and predicted stretches, one panel for each video.

    Args:
        videos: with path, seconds and rows (name, events).
        colors: class name to color.
    """
    from matplotlib.patches import Patch

    rows = max(1, len(videos))
    figure = drawing.new_figure(11, 1.1 * rows + 0.9, drawing.constrained(h_pad=0.06))
    panels = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for axes, video in zip(panels, videos, strict=False):
        _draw_video(axes, video, colors)
    if videos:
        panels[-1].set_xlabel("seconds", color=INK)
    else:
        panels[0].set_axis_off()
    figure.legend(
        handles=[Patch(color=color, label=clean(name, 30)) for name, color in colors.items()],
        loc="outside lower center",
        ncols=6,
        fontsize=8,
        frameon=False,
    )
    return drawing.finish(figure)


def _draw_video(axes: Axes, video: Mapping[str, Any], colors: Mapping[str, str]) -> None:
    for place, (_, events) in enumerate(video["rows"]):
        axes.broken_barh(
            [(event.start, event.end - event.start) for event in events],
            (0.6 - place, 0.8),
            facecolors=[colors[event.label] for event in events],
            edgecolor="white",
            linewidth=0.5,
        )
    axes.set(xlim=(0, max(video["seconds"], 1e-3)), ylim=(-0.5, 1.5))
    axes.set_yticks([1, 0], [name for name, _ in video["rows"]], fontsize=8, color=INK)
    axes.set_title(clean(video["path"], 100, keep_end=True), fontsize=8, color=PALE, loc="left")
    axes.tick_params(labelsize=8, length=2)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
