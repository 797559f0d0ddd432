"""Which frames, which crop, which flip, which augmentation: pure functions of (seed, epoch, index).

Nothing here reads a file or keeps state, so the same seed gives the same clips whatever the
number of workers, the source (videos or a pack), or the point at which a run was resumed.
"""

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ar3d_keras.config import AugmentConfig


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


class Box(NamedTuple):
    """A part of a picture, in pixels."""

    top: int
    left: int
    height: int
    width: int


class Colour(NamedTuple):
    """What is done to a clip's colours: three factors about 1, and a share of the colour circle."""

    brightness: float
    contrast: float
    saturation: float
    hue: float


@dataclass(frozen=True)
class ClipSpec:
    """One way to cut a clip out of a video.

    Attributes:
        window: int64 (T,), the indices of the clip's frames, none above the video's last.
        top: first row of the crop, in resized pixels.
        left: first column of the crop.
        flip: whether the clip is mirrored left to right.
        crop: (height, width) of the crop, which is then resized to the clip's; None: the clip's.
        colour: what is done to the colours of all frames alike; None: nothing.
        erased: the part of all frames that is made grey; None: none.
    """

    window: np.ndarray
    top: int
    left: int
    flip: bool = False
    crop: tuple[int, int] | None = None
    colour: Colour | None = None
    erased: Box | None = None


def stride_for(available: int, shape: ClipShape) -> int:
    """The largest of S, S-1, ..., 1 that leaves more than T frames, else 1.

    The rule of jfzhang95/pytorch-video-recognition (dataloaders/dataset.py, process_video),
    the code that the paper's split and sizes come from.
    """
    for stride in range(shape.stride, 1, -1):
        if available // stride > shape.frames:
            return stride
    return 1


def full_span(shape: ClipShape) -> int:
    """Frames of the shortest video whose clip has its widest stride; see `stride_for`."""
    return (shape.frames + 1) * shape.stride if shape.stride > 1 else shape.frames


def window(available: int, start: int, stride: int, frames: int) -> np.ndarray:
    """`frames` indices from `start` on; a video too short for them starts over at its front."""
    return (start + stride * np.arange(frames)) % available


def last_start(available: int, stride: int, frames: int) -> int:
    """The last frame that a window may start at, 0 where the video is shorter than one."""
    return max(0, available - stride * (frames - 1) - 1)


NOTHING = AugmentConfig()


def random_clip(
    available: int,
    shape: ClipShape,
    *,
    flip: bool,
    seed: int,
    epoch: int,
    index: int,
    augment: AugmentConfig = NOTHING,
) -> ClipSpec:
    """The training view: everything is drawn once for the whole clip.

    Args:
        available: frames of the video, at least 1.
        shape: the clip's geometry.
        flip: whether the coin is tossed at all.
        seed: of the run.
        epoch: counted from 0.
        index: the video's place in its source.
        augment: what is done beyond window, crop and flip.
    """
    stride = stride_for(available, shape)
    # Every value is drawn every time, so that switching one off leaves the others as they were.
    first, down, across, coin, *others = _draws(seed, epoch, index)
    start = _below(last_start(available, stride, shape.frames) + 1, first)
    top = _below(shape.resize_height - shape.height + 1, down)
    left = _below(shape.resize_width - shape.width + 1, across)
    further = _Further(*others)
    if augment.stride_jitter:
        stride = _jittered(available, stride, shape.frames, augment.stride_jitter, further.stride)
        start = _below(last_start(available, stride, shape.frames) + 1, further.start)
    crop = None
    if augment.crop_scale:
        low, high = augment.crop_scale
        top, left, *crop = box_of(
            low + (high - low) * further.area,
            shape.width / shape.height * (4 / 3) ** (2 * further.aspect - 1),
            further.top,
            further.left,
            (shape.resize_height, shape.resize_width),
        )
    return ClipSpec(
        window(available, start, stride, shape.frames),
        top,
        left,
        flip and coin < 0.5,
        crop and tuple(crop),
        _colour(augment, further),
        _erased(augment, further, shape),
    )


def _below(count: int, draw: float) -> int:
    """A whole number from 0 to count - 1, out of a draw in 0..1."""
    return int(draw * count)


def _draws(seed: int, epoch: int, index: int) -> list[float]:
    """The numbers, each uniform in 0..1, that a view is made of."""
    block, row = divmod(index, _BLOCK)
    return _block_of_draws(seed, epoch, block)[row].tolist()


# A generator costs 30 microseconds to make, a third of what cutting a clip out of a pack does.
_BLOCK = 1024


@functools.lru_cache(maxsize=512)
def _block_of_draws(seed: int, epoch: int, block: int) -> np.ndarray:
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, epoch, block))))
    return generator.random((_BLOCK, 4 + len(_Further._fields)), np.float32)


class _Further(NamedTuple):
    """The numbers, each uniform in 0..1, that augmentations are made of."""

    stride: float
    start: float
    area: float
    aspect: float
    top: float
    left: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    random_erasing: float
    erased_area: float
    erased_aspect: float
    erased_top: float
    erased_left: float


def _jittered(available: int, stride: int, frames: int, jitter: int, draw: float) -> int:
    """A stride at most `jitter` off, but no wider than lets the window fit into the video."""
    widest = max(stride, (available - 1) // max(1, frames - 1))
    low, high = max(1, stride - jitter), min(stride + jitter, widest)
    return low + _below(high - low + 1, draw)


def _colour(augment: AugmentConfig, draws: _Further) -> Colour | None:
    """Factors as torchvision's ColorJitter draws them: 1 - strength to 1 + strength."""

    def around(centre: float, name: str) -> float:
        return centre + getattr(augment, name) * (2 * getattr(draws, name) - 1)

    colour = Colour(
        around(1, "brightness"), around(1, "contrast"), around(1, "saturation"), around(0, "hue")
    )
    return None if colour == (1, 1, 1, 0) else colour


def _erased(augment: AugmentConfig, draws: _Further, shape: ClipShape) -> Box | None:
    """Of 2 to 33 % of the area, 0.3 to 3.3 times as wide as high (Zhong et al. 2020, and timm)."""
    if draws.random_erasing >= augment.random_erasing:
        return None
    return box_of(
        0.02 + 0.31 * draws.erased_area,
        0.3 * 11**draws.erased_aspect,
        draws.erased_top,
        draws.erased_left,
        (shape.height, shape.width),
    )


def box_of(share: float, ratio: float, down: float, across: float, size: tuple[int, int]) -> Box:
    """A box inside a picture.

    Args:
        share: of the picture's area, in 0..1.
        ratio: width over height; a side that would be longer than the picture's is cut.
        down: where it lies, 0 (top) to just below 1 (bottom).
        across: likewise from left to right.
        size: height and width of the picture.
    """
    area = share * size[0] * size[1]
    height = min(size[0], max(1, round(math.sqrt(area / ratio))))
    width = min(size[1], max(1, round(math.sqrt(area * ratio))))
    top, left = int(down * (size[0] - height + 1)), int(across * (size[1] - width + 1))
    return Box(top, left, height, width)


def uniform_clip(
    available: int, shape: ClipShape, *, clips: int, crops: int, index: int
) -> ClipSpec:
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
    return ClipSpec(window(available, start, stride, shape.frames), top, left)


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
        f"cropped to {shape.width}x{shape.height}; float32"
    )


def resize_for(height: int, width: int) -> tuple[int, int]:
    """The paper's 128x171 for 112x112 (height, width), in proportion for other sizes."""
    return round(height * 128 / 112), round(width * 171 / 112)
