"""Optical flow: the motion of each pixel to the next frame, as two uint8 channels.

The format is that of the two-stream literature (Simonyan, Zisserman, NIPS 2014; Wang et al., *Temporal
Segment Networks*, ECCV 2016): dx to the right and dy down, in pixels of the resized frame, clipped
at +-20, and 128 + 127 d / 20 as uint8. Its steps of 0.16 pixels are too coarse for slow motion in small
frames. `dis_fine` stores 128 + 127 sqrt(d / 20) instead; its first step is 0.001 pixels. 128 is no motion,
0 does not occur, and 256 - value is exactly the opposite motion.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos.reader import load_cv2, read_frames
from ar3d_keras.videos.region import Region

BOUND = 20  # pixels
STILL = 128
FINE = "dis_fine"

# Two grey frames, uint8 (height, width), to flow, float32 (height, width, 2), in pixels.
Algorithm = Callable[[np.ndarray, np.ndarray], np.ndarray]


def algorithm(name: str) -> Algorithm:
    """An algorithm with the settings of its authors or of OpenCV; use it in one thread at a time.

    Args:
        name: "dis" (Kroeger et al., ECCV 2016; OpenCV's preset `medium`; `fast` computes at a
            quarter of the height and width, too coarse for frames of this size), "dis_fine" (the
            same at full instead of half resolution), "farneback"
            (SCIA 2003; the settings of OpenCV's tutorial) or "tvl1" (Zach et al., DAGM 2007;
            OpenCV's defaults).

    Raises:
        UserError: this OpenCV does not have TV-L1.
    """
    cv2 = load_cv2()
    # None: given an array, OpenCV would start from the flow in it.
    if name in ("dis", FINE):
        dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        if name == FINE:
            dis.setFinestScale(0)
        return lambda frame, following: dis.calc(frame, following, None)
    if name == "farneback":
        return lambda frame, following: cv2.calcOpticalFlowFarneback(
            frame, following, None, 0.5, 3, 15, 3, 5, 1.2, 0
        )
    if not hasattr(cv2, "optflow"):
        raise UserError(
            "`flow` tvl1 needs OpenCV's contrib modules, which are not installed: run `pip uninstall "
            "opencv-python`, then `pip install opencv-contrib-python`, which replaces it (never "
            "install both), or use `flow` dis"
        )
    tvl1 = cv2.optflow.DualTVL1OpticalFlow_create()
    return lambda frame, following: tvl1.calc(frame, following, None)


def check(name: str, size: tuple[int, int]) -> None:
    """Checks that an algorithm is installed and works on frames of (height, width).

    Raises:
        UserError: it is not, or does not.
    """
    blank = np.zeros(size, np.uint8)
    estimate = algorithm(name)
    try:
        estimate(blank, blank)
    except load_cv2().error:
        raise UserError(
            f"`flow` {name} does not work on frames of {size[0]}x{size[1]}: give a larger `resize`"
        ) from None


def quantize(flow: np.ndarray, name: str) -> np.ndarray:
    """Converts pixels, float32, to uint8.

    Args:
        flow: in pixels; what is beyond +-20 is clipped.
        name: the algorithm, which decides the steps.
    """
    share = np.clip(flow, -BOUND, BOUND) * (127 / BOUND)
    if name == FINE:
        share = np.copysign(np.sqrt(127 * np.abs(share)), share)
    return (np.rint(share) + STILL).astype(np.uint8)


def every_flow(frames: Iterable[np.ndarray], name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each frame of a video with its flow to the next frame; the last repeats the flow before it.

    Args:
        frames: uint8 (height, width, 3), BGR, consecutive; each a new array.
        name: see `algorithm`.

    Yields:
        the frame, and uint8 (height, width, 2).
    """
    cv2, estimate = load_cv2(), algorithm(name)
    frame: np.ndarray | None = None
    grey: Any = None
    flow: np.ndarray | None = None
    for following in frames:
        grey_following = cv2.cvtColor(following, cv2.COLOR_BGR2GRAY)
        if frame is not None:
            flow = quantize(estimate(grey, grey_following), name)
            yield frame, flow
        frame, grey = following, grey_following
    if frame is not None:
        yield frame, np.full((*frame.shape[:2], 2), STILL, np.uint8) if flow is None else flow


def read_with_flow(
    path: Path,
    window: Sequence[int] | np.ndarray,
    size: tuple[int, int],
    *,
    available: int,
    name: str,
    numbers: Sequence[int] | np.ndarray | None = None,
    roi: Region | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Decodes the frames of a window and the frames after them, and estimates the flow.

    Args:
        path: a video file, or a folder of frames.
        window: frame numbers from 0, in any order, repeats allowed.
        size: (height, width) that each frame is resized to.
        available: number of frames of the video.
        name: see `algorithm`.
        numbers: the frames of the file that the video consists of; None: all of them.
        roi: see `read_frames`.

    Returns:
        frames uint8 (len(window), height, width, 3), RGB, and flow uint8 (..., 2), equal to that
        of `every_flow`.

    Raises:
        ReadError: the video cannot be opened or ends before one of the frames.
    """
    return with_flow(
        lambda wanted: read_frames(path, in_file(wanted, numbers), size, roi=roi),
        window,
        available=available,
        name=name,
    )


def in_file(
    window: Sequence[int] | np.ndarray, numbers: Sequence[int] | np.ndarray | None
) -> np.ndarray:
    """The numbers in the file of a video's frames; `numbers` as for `read_with_flow`."""
    return np.asarray(window) if numbers is None else np.array([numbers[n] for n in window])


def with_flow(
    read: Callable[[np.ndarray], np.ndarray],
    window: Sequence[int] | np.ndarray,
    *,
    available: int,
    name: str,
) -> tuple[np.ndarray, np.ndarray]:
    """As `read_with_flow`, for frames that `read` returns: uint8 (n, height, width, 3), RGB."""
    cv2 = load_cv2()
    window = np.asarray(window)
    first, wanted = frames_with_next(window, available)
    frames = read(wanted)
    flow = np.full((*frames.shape[:3], 2), STILL, np.uint8)
    if available > 1:
        estimate = algorithm(name)
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        for place in np.searchsorted(wanted, np.unique(first)):
            flow[place] = quantize(estimate(grey[place], grey[place + 1]), name)
    return frames[np.searchsorted(wanted, window)], flow[np.searchsorted(wanted, first)]


def frames_with_next(window: np.ndarray, available: int) -> tuple[np.ndarray, np.ndarray]:
    """For each frame of a window the one whose flow it has, and all frames that are needed, rising."""
    # The last frame has no next frame and takes the flow of the frame before it.
    first = np.minimum(window, max(0, available - 2))
    return first, np.unique([window, first, np.minimum(first + 1, available - 1)])


def copy_channels(part: np.ndarray, out: np.ndarray) -> None:
    """Copies color or flow, uint8 (..., channels), into a clip, whose channels may be more."""
    if out.strides[-2] == out.shape[-1]:
        np.copyto(out, part)
    else:  # one at a time: three to six times as fast
        for channel in range(out.shape[-1]):
            out[..., channel] = part[..., channel]
