"""The frames of a video that evaluation looks at, for the clients beside this file.

OpenCV and NumPy alone, so that these three files are all that a client machine needs.
"""

import cv2
import numpy as np


def centre_frames(path: str, frames: int, stride: int, size: tuple[int, int]) -> list[np.ndarray]:
    """The centre window: `frames` frames, `stride` apart or the next that fits, over if too short.

    Args:
        path: of the video.
        frames: of the network's clip.
        stride: the run's --stride.
        size: (height, width) that frames are made before they travel, the run's --resize.

    Returns:
        uint8 (height, width, 3) each, BGR as OpenCV has them.
    """
    count = sum(1 for _ in _grabbed(path))
    if not count:
        raise SystemExit(f"error: {path} is no video that OpenCV can decode")
    stride = next((s for s in range(stride, 1, -1) if count // s > frames), 1)
    start = max(0, count - stride * (frames - 1) - 1) // 2
    window = [(start + stride * place) % count for place in range(frames)]
    found = {}
    for index, video in enumerate(_grabbed(path)):
        if index in window:
            found[index] = cv2.resize(video.retrieve()[1], size[::-1])
    return [found[index] for index in window]


def _grabbed(path: str):
    video = cv2.VideoCapture(path)
    while video.grab():
        yield video
