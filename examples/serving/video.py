"""The frames of a video that evaluation uses, for the clients in this folder.

It needs OpenCV and NumPy only, so that a client machine needs these three files only.
"""

import math
from typing import Any

import cv2
import numpy as np

KNOWN = {
    "frames", "height", "width", "resize_height", "resize_width", "stride", "flow", "fps", "roi",
    "sampling",
}  # fmt: skip
ROUNDING = 0.0005  # seconds; containers round the time of a frame to a millisecond


def center_frames(path: str, clip_shape: dict[str, Any]) -> list[np.ndarray]:
    """Returns the frames of the center clip.

    The frames are 1 / `fps` seconds apart by their time stamps. Without `fps` they are `stride`
    apart, or the next smaller stride that fits. A video that is too short starts again from its
    first frame. With `sampling` uniform, the video is divided into equal parts, as many as the clip
    has frames, and the middle frame of each part is used. Frames are resized to save network
    traffic, unless the server cuts a region (`roi`) out of the full picture.

    Args:
        path: of the video.
        clip_shape: of preprocessor.json.

    Returns:
        uint8 (height, width, 3) each, BGR as in OpenCV.
    """
    if unknown := {name for name, value in clip_shape.items() if value} - KNOWN:
        raise SystemExit(f"error: this client is too old for a model with {', '.join(unknown)}")
    if clip_shape.get("sampling", "stride") not in ("stride", "uniform"):
        raise SystemExit(f"error: this client is too old for sampling {clip_shape['sampling']}")
    if clip_shape.get("flow"):
        raise SystemExit("error: the model needs optical flow, which this client does not compute")
    fps = clip_shape.get("fps")
    times = _times(path)
    if not times:
        raise SystemExit(f"error: OpenCV cannot decode {path}")
    shown = _frames_at(times, fps) if fps else list(range(len(times)))
    window = [shown[place] for place in _center_window(len(shown), clip_shape)]
    size = clip_shape["resize_width"], clip_shape["resize_height"]
    found = {}
    video = cv2.VideoCapture(path)
    for index in range(max(window) + 1):
        video.grab()
        if index in window:
            frame = video.retrieve()[1]
            found[index] = frame if clip_shape.get("roi") else cv2.resize(frame, size)
    return [found[index] for index in window]


def _center_window(count: int, clip_shape: dict[str, Any]) -> list[int]:
    """The places of the clip's frames among `count` frames."""
    frames = clip_shape["frames"]
    if clip_shape.get("sampling") == "uniform":
        return [(2 * place + 1) * count // (2 * frames) for place in range(frames)]
    widest = 1 if clip_shape.get("fps") else clip_shape["stride"]
    step = next((s for s in range(widest, 1, -1) if count // s > frames), 1)
    start = max(0, count - step * (frames - 1) - 1) // 2
    return [(start + step * place) % count for place in range(frames)]


def _times(path: str) -> list[float]:
    """The time of each frame in seconds, from 0."""
    video, times = cv2.VideoCapture(path), []
    while video.grab():
        times.append(video.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    return [time - times[0] for time in times]


def _frames_at(times: list[float], fps: float) -> list[int]:
    """The frames that are on the screen at 0, 1 / fps, 2 / fps, ... seconds."""
    step = times[-1] / max(1, len(times) - 1)
    count = max(1, math.ceil((times[-1] + step - ROUNDING) * fps))
    moments = np.arange(count) / fps + ROUNDING
    return (np.searchsorted(times, moments, side="right") - 1).tolist()
