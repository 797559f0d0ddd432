"""The frames of a video that evaluation uses, for the clients in this folder.

It needs OpenCV and NumPy only, so that a client machine needs these three files only.
"""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np


def centre_frames(path: str, clip_shape: dict[str, Any]) -> list[np.ndarray]:
    """Returns the frames of the center clip, resized as the model was trained.

    The frames are `stride` apart, or the next smaller stride that fits. A video that is too short
    starts again from its first frame.

    Args:
        path: of the video.
        clip_shape: of preprocessor.json: frames, stride, resize_height and resize_width.

    Returns:
        uint8 (resize_height, resize_width, 3) each, BGR as in OpenCV.
    """
    frames, stride = clip_shape["frames"], clip_shape["stride"]
    size = clip_shape["resize_width"], clip_shape["resize_height"]
    count = sum(1 for _ in _grabbed(path))
    if not count:
        raise SystemExit(f"error: OpenCV cannot decode {path}")
    stride = next((s for s in range(stride, 1, -1) if count // s > frames), 1)
    start = max(0, count - stride * (frames - 1) - 1) // 2
    window = [(start + stride * place) % count for place in range(frames)]
    found = {}
    for index, video in enumerate(_grabbed(path)):
        if index in window:
            found[index] = cv2.resize(video.retrieve()[1], size)
    return [found[index] for index in window]


def _grabbed(path: str) -> Iterator[cv2.VideoCapture]:
    video = cv2.VideoCapture(path)
    while video.grab():
        yield video
