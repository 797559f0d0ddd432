"""Which frames, which crop, which flip: pure functions of (seed, epoch, index).

Nothing here reads a file or keeps state, so the same seed gives the same clips whatever the
number of workers, the source (videos or a pack), or the point at which a run was resumed.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClipShape:
    """The geometry of a clip: (frames, height, width, channels), uint8, RGB; with flow RGB, dx, dy.

    Attributes:
        frames: T of a clip (paper: 16).
        height: of the crop, in pixels (paper: 112).
        width: of the crop, in pixels (paper: 112).
        resize_height: each frame is resized to this before the crop (paper: 128).
        resize_width: likewise (paper: 171).
        stride: the widest step between two frames of a clip; see `stride_for`.
        flow: the algorithm of the optical flow (see `flow`), None: there is none.
    """

    frames: int = 16
    height: int = 112
    width: int = 112
    resize_height: int = 128
    resize_width: int = 171
    stride: int = 4
    flow: str | None = None

    @property
    def array(self) -> tuple[int, int, int, int]:
        """The shape of a clip's array: (frames, height, width, channels); 5 channels with flow."""
        return self.frames, self.height, self.width, 5 if self.flow else 3


@dataclass(frozen=True)
class View:
    """One way to cut a clip out of a video.

    Attributes:
        window: int64 (T,), the indices of the clip's frames, none above the video's last.
        top: first row of the crop, in resized pixels.
        left: first column of the crop.
        flip: whether the clip is mirrored left to right.
    """

    window: np.ndarray
    top: int
    left: int
    flip: bool = False


def stride_for(available: int, shape: ClipShape) -> int:
    """The largest of S, S-1, ..., 1 that leaves more than T frames, else 1.

    The rule of jfzhang95/pytorch-video-recognition (dataloaders/dataset.py, process_video),
    the code that the paper's split and sizes come from.
    """
    for stride in range(shape.stride, 1, -1):
        if available // stride > shape.frames:
            return stride
    return 1


def window(available: int, start: int, stride: int, frames: int) -> np.ndarray:
    """`frames` indices from `start` on; a video too short for them starts over at its front."""
    return (start + stride * np.arange(frames)) % available


def last_start(available: int, stride: int, frames: int) -> int:
    """The last frame that a window may start at, 0 where the video is shorter than one."""
    return max(0, available - stride * (frames - 1) - 1)


def random_view(
    available: int, shape: ClipShape, *, flip: bool, seed: int, epoch: int, index: int
) -> View:
    """The training view: random window, one random crop and one coin for the whole clip.

    Args:
        available: frames of the video, at least 1.
        shape: the clip's geometry.
        flip: whether the coin is tossed at all.
        seed: of the run.
        epoch: counted from 0.
        index: the video's place in its source.
    """
    draw = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, epoch, index))))
    stride = stride_for(available, shape)
    # Every value is drawn every time, so that switching one off leaves the others as they were.
    start = draw.integers(last_start(available, stride, shape.frames), endpoint=True)
    top = draw.integers(shape.resize_height - shape.height, endpoint=True)
    left = draw.integers(shape.resize_width - shape.width, endpoint=True)
    coin = draw.random() < 0.5
    return View(
        window(available, int(start), stride, shape.frames), int(top), int(left), flip and coin
    )


def grid_view(available: int, shape: ClipShape, *, clips: int, crops: int, index: int) -> View:
    """The evaluation view number `index` of clips x crops; nothing is random.

    Args:
        available: frames of the video, at least 1.
        shape: the clip's geometry.
        clips: windows, each centred in one of `clips` equal parts of where a window may start;
            one is the centre window.
        crops: 1 (centre) or 3 (both ends and the centre of the longer side).
        index: 0 .. clips * crops - 1; crops vary fastest.
    """
    if crops not in (1, 3):
        raise ValueError(f"crops must be 1 or 3, not {crops}.")
    clip, crop = divmod(index, crops)
    stride = stride_for(available, shape)
    span = last_start(available, stride, shape.frames)
    start = int(span * (clip + 0.5) / clips)
    down, across = shape.resize_height - shape.height, shape.resize_width - shape.width
    top, left = down // 2, across // 2
    if crops == 3 and across >= down:
        left = (0, left, across)[crop]
    elif crops == 3:
        top = (0, top, down)[crop]
    return View(window(available, start, stride, shape.frames), top, left)


def epoch_order(videos: int, *, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch visits its videos: int64 (videos,), a permutation."""
    # The third number keeps this stream apart from the views', whose index starts at 0.
    entropy = np.random.SeedSequence((seed, epoch, 2**32))
    return np.random.Generator(np.random.Philox(entropy)).permutation(videos)


def protocol(shape: ClipShape, *, clips: int, crops: int) -> str:
    """The sentence that says how a video was looked at; it stands in every report."""
    if clips * crops == 1:
        views = "1 centre clip x 1 centre crop"
    else:
        views = f"{clips} clip(s) x {crops} crop(s) a video, probabilities averaged"
    return (
        f"{views}; {shape.frames} frames at stride {shape.stride} or the next that fits, "
        f"resized to {shape.resize_width}x{shape.resize_height}, "
        f"cropped to {shape.width}x{shape.height}; "
        + (f"optical flow {shape.flow} from each frame to the next; " if shape.flow else "")
        + "float32"
    )


def resize_for(height: int, width: int) -> tuple[int, int]:
    """The paper's 128x171 for 112x112 (height, width), in proportion for other sizes."""
    return round(height * 128 / 112), round(width * 171 / 112)
