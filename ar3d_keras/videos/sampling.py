"""Frames, crop, flip and augmentation of each clip: pure functions of (seed, epoch, index).

Nothing here reads a file or keeps state. So the same seed gives the same clips for any number of
workers, from videos or a pack, and in a resumed run.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ar3d_keras.config import AugmentConfig, Sampling
from ar3d_keras.errors import UserError


@dataclass(frozen=True)
class ClipShape:
    """The geometry of a clip: uint8 (frames, height, width, channels), RGB; with flow RGB, dx, dy.

    Attributes:
        frames: number of frames T (paper: 16).
        height: height of the crop in pixels (paper: 112).
        width: width of the crop in pixels (paper: 112).
        resize_height: height of the resized frame before the crop (paper: 128).
        resize_width: width of the resized frame before the crop (paper: 171).
        stride: the largest step between two frames of a clip; see `stride_for`.
        flow: the optical flow algorithm (see `flow`); None: no flow.
        fps: frames a second of a clip, whatever the rate of the file: see `frames_at`. The stride is
            then 1. None: the frames of the file, at a stride.
        roi: the region of each frame that is resized, see `region`; None: the whole frame.
        sampling: `stride`: a window of frames at a stride. `uniform`: one frame from each of T equal
            parts of the video, see `one_of_each_part`; the stride is then not used.
    """

    frames: int = 16
    height: int = 112
    width: int = 112
    resize_height: int = 128
    resize_width: int = 171
    stride: int = 4
    flow: str | None = None
    fps: float | None = None
    roi: tuple[float, float, float, float] | None = None
    sampling: Sampling = "stride"

    def __post_init__(self):
        if self.roi is not None:  # JSON has lists
            object.__setattr__(self, "roi", tuple(self.roi))

    @property
    def array(self) -> tuple[int, int, int, int]:
        """The shape of a clip's array: (frames, height, width, channels); 5 channels with flow."""
        return self.frames, self.height, self.width, 5 if self.flow else 3


class Box(NamedTuple):
    """A rectangle in a picture, in pixels."""

    top: int
    left: int
    height: int
    width: int


class Color(NamedTuple):
    """The color change of a clip: three factors around 1, and a fraction of the color circle."""

    brightness: float
    contrast: float
    saturation: float
    hue: float


@dataclass(frozen=True)
class ClipSpec:
    """One way to cut a clip out of a video.

    Attributes:
        window: int64 (T,), the frame numbers of the clip, all within the video.
        top: first row of the crop, in resized pixels.
        left: first column of the crop.
        flip: whether the clip is mirrored left to right.
        crop: (height, width) of a crop that is resized to the clip's size; None: the clip's size.
        color: the color change, the same for all frames; None: no change.
        erased: the part of every frame that becomes gray; None: no part.
    """

    window: np.ndarray
    top: int
    left: int
    flip: bool = False
    crop: tuple[int, int] | None = None
    color: Color | None = None
    erased: Box | None = None


def stride_for(available: int, shape: ClipShape) -> int:
    """The largest of S, S-1, ..., 1 that leaves more than T frames, else 1.

    The rule of jfzhang95/pytorch-video-recognition (dataloaders/dataset.py, process_video),
    the code that the paper's split and sizes come from.
    """
    if shape.fps:
        return 1
    for stride in range(shape.stride, 1, -1):
        if available // stride > shape.frames:
            return stride
    return 1


def full_span(shape: ClipShape) -> int:
    """Number of frames of the shortest video whose clip has the largest stride; see `stride_for`.

    Raises:
        UserError: a clip spans the whole video, whatever its length.
    """
    if shape.sampling == "uniform":
        raise UserError(
            "`window_seconds` is needed: this network was trained with `sampling` uniform, so a clip "
            "has no length of its own; give the usual length of the training videos"
        )
    if shape.fps or shape.stride == 1:
        return shape.frames
    return (shape.frames + 1) * shape.stride


def window(available: int, start: int, stride: int, frames: int) -> np.ndarray:
    """`frames` indices from `start` on; a video that is too short starts again at frame 0."""
    return (start + stride * np.arange(frames)) % available


def last_start(available: int, stride: int, frames: int) -> int:
    """The last frame that a window can start at; 0 if the video is shorter than a window."""
    return max(0, available - stride * (frames - 1) - 1)


def one_of_each_part(available: int, positions: np.ndarray) -> np.ndarray:
    """One frame from each of T equal parts of a video, as Temporal Segment Networks sample.

    Source: Wang, Xiong, Wang, Qiao, Lin, Tang, Van Gool: *Temporal Segment Networks*, ECCV 2016.

    Args:
        available: number of frames of the video, at least 1; below T, frames repeat.
        positions: float64 (T,), the position inside each part, from 0 to just below 1.

    Returns:
        int64 (T,), not falling.
    """
    parts = len(positions)
    frames = ((np.arange(parts) + positions) * available / parts).astype(np.int64)
    return np.minimum(frames, available - 1)


def regular_parts(available: int, frames: int, *, clips: int, index: int) -> np.ndarray:
    """`one_of_each_part` of evaluation clip `index` of `clips`: all positions (index + 0.5) / clips.

    In whole numbers, so that a TensorFlow graph computes the same.
    """
    return (np.arange(frames) * 2 * clips + 2 * index + 1) * available // (2 * clips * frames)


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
    """The spec of a training clip: all values are drawn once for the whole clip.

    Args:
        available: number of frames of the video, at least 1.
        shape: the clip's geometry.
        flip: whether half of the clips are mirrored.
        seed: the seed of the run.
        epoch: the epoch, from 0.
        index: the video's place in its source.
        augment: augmentations other than window, crop and flip.
    """
    stride = stride_for(available, shape)
    # All values are drawn every time, so that disabling one leaves the others unchanged.
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
        top, left, *size = box_of(
            low + (high - low) * further.area,
            shape.width / shape.height * (4 / 3) ** (2 * further.aspect - 1),
            further.top,
            further.left,
            (shape.resize_height, shape.resize_width),
        )
        crop = size[0], size[1]
    if shape.sampling == "uniform":
        frames = one_of_each_part(available, _positions(seed, epoch, index, shape.frames))
    else:
        frames = window(available, start, stride, shape.frames)
    return ClipSpec(
        frames,
        top,
        left,
        flip and coin < 0.5,
        crop,
        _color(augment, further),
        _erased(augment, further, shape),
    )


def _below(count: int, draw: float) -> int:
    """An integer from 0 to count - 1, from a draw in 0..1."""
    return int(draw * count)


def _draws(seed: int, epoch: int, index: int) -> list[float]:
    """The random numbers of a spec, each uniform in 0..1."""
    block, row = divmod(index, _BLOCK)
    return _blocks_of_draws(seed, epoch)(block)[row].tolist()


# Making a generator takes 30 microseconds, a third of the time of cutting a clip out of a pack.
_BLOCK = 1024


@functools.lru_cache(maxsize=2)  # batches are read ahead into the next epoch
def _blocks_of_draws(seed: int, epoch: int) -> Callable[[int], np.ndarray]:
    @functools.lru_cache(maxsize=256)
    def draws(block: int) -> np.ndarray:
        entropy = np.random.SeedSequence((seed, epoch, block))
        generator = np.random.Generator(np.random.Philox(entropy))
        return generator.random((_BLOCK, 4 + len(_Further._fields)), np.float32)

    return draws


def _positions(seed: int, epoch: int, index: int, frames: int) -> np.ndarray:
    """The random numbers of `one_of_each_part`: float64 (frames,), uniform in 0..1."""
    block, row = divmod(index, _BLOCK)
    return _block_of_positions(seed, epoch, block, frames)[row]


@functools.lru_cache(maxsize=16)
def _block_of_positions(seed: int, epoch: int, block: int, frames: int) -> np.ndarray:
    # The fourth number separates this stream from that of `_blocks_of_draws`.
    entropy = np.random.SeedSequence((seed, epoch, block, frames))
    return np.random.Generator(np.random.Philox(entropy)).random((_BLOCK, frames))


class _Further(NamedTuple):
    """The random numbers of the augmentations, each uniform in 0..1."""

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
    """A stride that differs by at most `jitter`, while the window fits into the video."""
    widest = max(stride, (available - 1) // max(1, frames - 1))
    low, high = max(1, stride - jitter), min(stride + jitter, widest)
    return low + _below(high - low + 1, draw)


def _color(augment: AugmentConfig, draws: _Further) -> Color | None:
    """Factors from 1 - strength to 1 + strength, as in torchvision's ColorJitter."""

    def around(center: float, name: str) -> float:
        return center + getattr(augment, name) * (2 * getattr(draws, name) - 1)

    color = Color(
        around(1, "brightness"), around(1, "contrast"), around(1, "saturation"), around(0, "hue")
    )
    return None if color == (1, 1, 1, 0) else color


def _erased(augment: AugmentConfig, draws: _Further, shape: ClipShape) -> Box | None:
    """A box of 2 to 33 % of the area and aspect ratio 0.3 to 3.3 (Zhong et al. 2020; timm)."""
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
        share: fraction of the picture's area, in 0..1.
        ratio: width over height; a side longer than the picture's is cut.
        down: vertical position, from 0 (top) to just below 1 (bottom).
        across: horizontal position, from 0 (left) to just below 1 (right).
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
    """The spec of evaluation clip number `index` of clips x crops; deterministic.

    Args:
        available: number of frames of the video, at least 1.
        shape: the clip's geometry.
        clips: number of windows. The range of possible starts is divided into `clips` equal
            parts, and a window starts at the middle of each; one is the center window. With uniform
            sampling every clip spans the video, and each takes other frames, see `regular_parts`.
        crops: 1 (center) or 3 (both ends and the center of the longer side).
        index: 0 .. clips * crops - 1; crops vary fastest.
    """
    if crops not in (1, 3):
        raise ValueError(f"`crops` must be 1 or 3, not {crops}")
    clip, crop = divmod(index, crops)
    if shape.sampling == "uniform":
        frames = regular_parts(available, shape.frames, clips=clips, index=clip)
    else:
        stride = stride_for(available, shape)
        start = int(last_start(available, stride, shape.frames) * (clip + 0.5) / clips)
        frames = window(available, start, stride, shape.frames)
    down, across = shape.resize_height - shape.height, shape.resize_width - shape.width
    top, left = down // 2, across // 2
    if crops == 3 and across >= down:
        left = (0, left, across)[crop]
    elif crops == 3:
        top = (0, top, down)[crop]
    return ClipSpec(frames, top, left)


_TICKS = 1_000_000  # a second
_ROUNDING = 500  # ticks: containers round the time of a frame to a millisecond


def frames_at(times: Sequence[float] | np.ndarray, duration: float, fps: float) -> np.ndarray:
    """The frames that a video shows at regular moments: 0, 1/fps, 2/fps, ... before its end.

    At each moment that is the last frame whose time stamp is at or before it. So versions of one
    recording at different frame rates give the same moments, and a slower version repeats frames.

    Args:
        times: (frames,) seconds since the start of the video, rising.
        duration: seconds until the end of its last frame.
        fps: moments a second.

    Returns:
        int64 (n,), numbers of frames, at least one, not falling.
    """
    ticks = np.rint(np.asarray(times, np.float64) * _TICKS).astype(np.int64)
    count = max(1, math.ceil((round(duration * _TICKS) - _ROUNDING) * fps / _TICKS))
    moments = np.floor(np.arange(count) * (_TICKS / fps)).astype(np.int64) + _ROUNDING
    # Before the first frame of a segment, the segment shows that one.
    return np.maximum(np.searchsorted(ticks, moments, side="right") - 1, 0)


def epoch_order(videos: int, *, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch visits its videos: int64 (videos,), a permutation."""
    # The third number separates this stream from that of the specs, whose index starts at 0.
    entropy = np.random.SeedSequence((seed, epoch, 2**32))
    return np.random.Generator(np.random.Philox(entropy)).permutation(videos)


def protocol(shape: ClipShape, *, clips: int, crops: int, precision: str = "float32") -> str:
    """The evaluation protocol as a sentence, for every report."""
    if clips * crops == 1:
        views = (
            "1 clip x 1 centre crop"
            if shape.sampling == "uniform"
            else "1 centre clip x 1 centre crop"
        )
    else:
        views = f"{clips} clip(s) x {crops} crop(s) a video, probabilities averaged"
    rate = f"at stride {shape.stride} or the next that fits"
    if shape.fps:
        rate = f"{shape.fps:g} a second by their time stamps"
    if shape.sampling == "uniform":
        source = f" at {shape.fps:g} a second" if shape.fps else ""
        rate = f"spread evenly over the whole video{source}"
    region = ""
    if shape.roi:
        region = "region " + " ".join(f"{side:g}" for side in shape.roi) + ", "
    return (
        f"{views}; {shape.frames} frames {rate}, {region}"
        f"resized to {shape.resize_width}x{shape.resize_height}, "
        f"cropped to {shape.width}x{shape.height}; {precision}"
    )


def resize_for(height: int, width: int) -> tuple[int, int]:
    """Resized height and width: the paper's 128x171 for a crop of 112x112, else in proportion."""
    return round(height * 128 / 112), round(width * 171 / 112)
