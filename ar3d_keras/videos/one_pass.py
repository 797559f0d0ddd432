"""Clips of files that nothing is known of, each decoded once and in a process of its own.

The clips of a video depend on its number of frames, which only its last frame tells: headers are
often wrong. So the frames are kept that the clips consist of if the header is right, and a file
whose header is wrong is decoded a second time.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ar3d_keras.videos.decoders import PyAVFrames
from ar3d_keras.videos.frame_folder import is_folder
from ar3d_keras.videos.inspection import Facts, Watcher, check_readable, remember
from ar3d_keras.videos.isolation import Isolation
from ar3d_keras.videos.reader import ReadError, load_cv2, read_frames
from ar3d_keras.videos.region import Region, cut_region
from ar3d_keras.videos.sampling import ClipShape, ClipSpec, uniform_clip
from ar3d_keras.videos.sources import ClipSource, UniformSampler
from ar3d_keras.videos.video import Video


@dataclass(frozen=True)
class Seen:
    """The result of decoding a file once.

    Attributes:
        facts: its frames and its damage.
        clips: uint8 (n, T, H, W, 3), those of evaluation.
    """

    facts: Facts
    clips: np.ndarray


def fits_one_pass(root: Path, video: Video, shape: ClipShape) -> bool:
    """Whether `OnePassSource` gives the clips of a video: a whole file, without flow or time stamps."""
    return not (shape.fps or shape.flow or video.is_segment or is_folder(root / video.path))


class OnePassSource(ClipSource):
    """The clips of evaluation, of files that were not scanned.

    Args:
        root: of the videos' paths.
        videos: for which `fits_one_pass` holds.
        class_names: in the order of the labels.
        shape: the geometry of every clip.
        sampler: of clips and crops.
        isolation: of the processes that decode.

    Attributes:
        damaged: `Video.key` -> what is missing, of the videos that were decoded so far.
    """

    def __init__(
        self,
        root: Path,
        videos: Sequence[Video],
        class_names: Sequence[str],
        shape: ClipShape,
        sampler: UniformSampler,
        *,
        isolation: Isolation,
    ):
        super().__init__(videos, {}, class_names, shape, sampler)
        self.root, self.damaged = Path(root), dict[str, str]()
        self._isolation = isolation
        self._views = {"clips": sampler.clips, "crops": sampler.crops}
        self._lock = threading.Lock()
        # Place of a video -> its clips, and how many of them are still to be asked for.
        self._coming: dict[int, Future[np.ndarray | None]] = {}
        self._left: dict[int, int] = {}

    def clip_spec(self, index: int, epoch: int) -> ClipSpec:
        """Nothing: only the process that decodes the video knows its number of frames."""
        return ClipSpec(np.empty(0, np.int64), 0, 0)

    def cut(self, index: int, spec: ClipSpec, out: np.ndarray | None = None) -> np.ndarray | None:
        """Clip `index`; the first one that is asked for decodes all clips of its video."""
        place, number = divmod(index, self.clips_per_video)
        with self._lock:
            first = place not in self._coming
            coming = self._coming.setdefault(place, Future())
            self._left[place] = self._left.get(place, self.clips_per_video) - 1
            if not self._left[place]:
                del self._coming[place], self._left[place]
        if first:
            try:
                coming.set_result(self._decode(self.videos[place]))
            except BaseException as error:
                coming.set_exception(error)
                raise
        clips = coming.result()
        if clips is None or out is None:
            return None if clips is None else clips[number]
        out[:] = clips[number]
        return out

    def _decode(self, video: Video) -> np.ndarray | None:
        path = self.root / video.path
        roi = video.roi or self.shape.roi
        try:
            at = check_readable(path)
            seen = self._isolation.call(see, path, shape=self.shape, roi=roi, **self._views)
        except ReadError as error:
            self.failures[video.key] = str(error)
            return None
        remember(path, seen.facts, at)
        if seen.facts.damage:
            self.damaged[video.key] = seen.facts.damage
        return seen.clips

    def _clip(
        self, video: Video, spec: ClipSpec, shape: ClipShape, out: np.ndarray | None
    ) -> np.ndarray:
        raise NotImplementedError  # `cut` needs none


def see(path: Path, *, shape: ClipShape, clips: int, crops: int, roi: Region | None) -> Seen:
    """Decodes a file; `OnePassSource` runs it in a process of its own.

    Args:
        path: a video file.
        shape: the geometry of the clips.
        clips: of the video.
        crops: of a clip.
        roi: the region of each frame that is resized; None: the whole frame.

    Raises:
        ReadError: no frame can be decoded, or the frames do not contain the region.
    """
    at = check_readable(path)
    frames = PyAVFrames(path)
    try:
        told = frames.promised or round((frames.duration or 0) * (frames.told_rate or 0))
        kept = _Kept(_specs(told, shape, clips, crops) if told else [], shape, roi)
        watcher = Watcher(frames)
        number = 0
        while frames.grab():
            watcher.see()
            if number in kept.wanted:
                kept.add(number, frames)
            number += 1
        facts = watcher.facts()
    finally:
        frames.close()
    remember(path, facts, at)
    if facts.frames == told and not kept.failed:
        return Seen(facts, kept.clips())
    size = shape.resize_height, shape.resize_width
    return Seen(
        facts,
        np.stack(
            [
                read_frames(path, spec.window, size, crop=_crop(spec, shape), roi=roi)
                for spec in _specs(facts.frames, shape, clips, crops)
            ]
        ),
    )


class _Kept:
    """The resized frames that clips consist of.

    Args:
        specs: of the clips.
        shape: their geometry.
        roi: of each frame.

    Attributes:
        wanted: the numbers of the frames.
        failed: whether one of them has no region or cannot be converted.
    """

    def __init__(self, specs: Sequence[ClipSpec], shape: ClipShape, roi: Region | None):
        self._specs, self._shape, self._roi = specs, shape, roi
        self.wanted = {int(number) for spec in specs for number in spec.window}
        self.failed = not specs
        self._frames: dict[int, np.ndarray] = {}

    def add(self, number: int, frames: PyAVFrames) -> None:
        """Keeps the grabbed frame."""
        cv2, size = load_cv2(), (self._shape.resize_width, self._shape.resize_height)
        try:
            frame = cut_region(frames.retrieve(), self._roi)
        except ReadError:
            self.failed = True  # reading it again raises this error for the video
            return
        small = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        self._frames[number] = cv2.cvtColor(small, cv2.COLOR_BGR2RGB)

    def clips(self) -> np.ndarray:
        """uint8 (n, T, H, W, 3)."""
        return np.stack(
            [
                np.stack([self._frames[int(n)][_crop(spec, self._shape)] for n in spec.window])
                for spec in self._specs
            ]
        )


def _specs(available: int, shape: ClipShape, clips: int, crops: int) -> list[ClipSpec]:
    return [
        uniform_clip(available, shape, clips=clips, crops=crops, index=index)
        for index in range(clips * crops)
    ]


def _crop(spec: ClipSpec, shape: ClipShape) -> tuple[slice, slice]:
    return (
        slice(spec.top, spec.top + shape.height),
        slice(spec.left, spec.left + shape.width),
    )
