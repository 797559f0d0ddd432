"""ClipSource: source[index, epoch] -> one uint8 clip, for every backend."""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ar3d_keras.config import AugmentConfig
from ar3d_keras.videos import augment
from ar3d_keras.videos.catalog import Video
from ar3d_keras.videos.flow import copy_channels, in_file, read_with_flow, with_flow
from ar3d_keras.videos.packs import Pack
from ar3d_keras.videos.reader import ReadError, mirror, read_frames
from ar3d_keras.videos.sampling import NOTHING, ClipShape, ClipSpec, random_clip, uniform_clip


class ClipSampler(Protocol):
    """Decides how to cut clips out of a video: `per_video` clips from each."""

    per_video: int

    def __call__(self, available: int, shape: ClipShape, epoch: int, index: int) -> ClipSpec:
        """The spec of clip `index` (video * per_video + clip) of a video of `available` frames."""


class RandomSampler:
    """Training: another window, crop, flip and augmentation of every clip in each epoch."""

    def __init__(
        self, seed: int, flip: bool, augment: AugmentConfig = NOTHING, *, per_video: int = 1
    ):
        self.seed, self.flip, self.augment, self.per_video = seed, flip, augment, per_video

    def __call__(self, available: int, shape: ClipShape, epoch: int, index: int) -> ClipSpec:
        return random_clip(
            available,
            shape,
            flip=self.flip,
            seed=self.seed,
            epoch=epoch,
            index=index,
            augment=self.augment,
        )


class UniformSampler:
    """Evaluation: a fixed grid of clips x crops; 1 x 1 is the center clip and crop."""

    def __init__(self, clips: int = 1, crops: int = 1):
        self.clips, self.crops, self.per_video = clips, crops, clips * crops

    def __call__(self, available: int, shape: ClipShape, epoch: int, index: int) -> ClipSpec:
        number = index % self.per_video
        return uniform_clip(available, shape, clips=self.clips, crops=self.crops, index=number)


class ClipSource(abc.ABC):
    """Clips of labelled videos, by number. Subclasses decide where the frames come from.

    Attributes:
        videos: the labelled videos, in order.
        labels: int64 (videos,), the class of each video; -1 for a video without a label.
        clips_per_video: clips cut from each video; clip i belongs to video i // clips_per_video.
        shape: the geometry of every clip.
        failures: `Video.key` -> reason, for the videos that could not be read since the run began.

    Args:
        videos: the labelled videos.
        frames: the number of frames of each video, by `Video.key` (see `scan`).
        class_names: the class names, in the order of the labels.
        shape: the geometry of every clip.
        sampler: how clips are cut out of a video.
        numbers: which frames of its file, or of what a pack holds of it, a video consists of, by
            `Video.key`; a video that is not in there consists of all of them (see `scan`).
    """

    def __init__(
        self,
        videos: Sequence[Video],
        frames: Mapping[str, int],
        class_names: Sequence[str],
        shape: ClipShape,
        sampler: ClipSampler,
        *,
        numbers: Mapping[str, Sequence[int] | np.ndarray] | None = None,
    ):
        self.videos, self.shape = videos, shape
        places = {None: -1} | {name: place for place, name in enumerate(class_names)}
        self.labels = np.array([places[video.label] for video in videos], np.int64)
        self.clips_per_video = sampler.per_video
        self.failures: dict[str, str] = {}
        self._frames, self._sampler, self._numbers = frames, sampler, numbers or {}

    def __len__(self) -> int:
        """The number of clips: videos x clips_per_video."""
        return len(self.videos) * self.clips_per_video

    def video_of(self, index: Any) -> Any:
        """The places in `videos` of clips: an int, or an array.

        Training may ask for clips beyond the last one: clip i + k * len(source) is another random
        clip of the video of clip i.
        """
        return index // self.clips_per_video % len(self.videos)

    def __getitem__(self, place: tuple[int, int]) -> np.ndarray | None:
        """The clip at (index, epoch): uint8 (T, H, W, C), or None if it cannot be read."""
        return self.read(*place)

    def read(self, index: int, epoch: int, out: np.ndarray | None = None) -> np.ndarray | None:
        """The same clip, written to `out`, uint8 (T, H, W, C), if given."""
        return self.cut(index, self.clip_spec(index, epoch), out)

    def clip_spec(self, index: int, epoch: int) -> ClipSpec:
        """How the clip at (index, epoch) is cut out of its video and augmented."""
        video = self.videos[self.video_of(index)]
        return self._sampler(self._frames[video.key], self.shape, epoch, index)

    def cut(self, index: int, spec: ClipSpec, out: np.ndarray | None = None) -> np.ndarray | None:
        """The clip that `spec` cuts out of the video of clip `index`, as `read` returns it."""
        video = self.videos[self.video_of(index)]
        try:
            if spec.crop is None:
                clip = self._clip(video, spec, self.shape, out)
            else:
                height, width = spec.crop
                crop = dataclasses.replace(self.shape, height=height, width=width)
                clip = augment.resize(self._clip(video, spec, crop, None), self.shape, out)
        except ReadError as error:
            # It was readable during the scan. One video must not end a night's training: it is
            # named and counted, its clip has weight 0, and no other clip replaces it.
            self.failures[video.key] = str(error)
            return None
        augment.change(clip, spec)
        return clip

    @abc.abstractmethod
    def _clip(
        self, video: Video, spec: ClipSpec, shape: ClipShape, out: np.ndarray | None
    ) -> np.ndarray:
        """The window, crop and flip of `spec`, of the size of `shape`; raises ReadError."""


class VideoSource(ClipSource):
    """Decodes clips from the original files under `root`.

    Args:
        root: of the videos' paths.
        videos_and_sampler: see `ClipSource`.
        numbers: see `ClipSource`.
    """

    def __init__(
        self,
        root: Path,
        *videos_and_sampler,
        numbers: Mapping[str, Sequence[int] | np.ndarray] | None = None,
    ):
        super().__init__(*videos_and_sampler, numbers=numbers)
        self.root = Path(root)

    def _clip(
        self, video: Video, spec: ClipSpec, shape: ClipShape, out: np.ndarray | None
    ) -> np.ndarray:
        path, size = self.root / video.path, (shape.resize_height, shape.resize_width)
        roi = video.roi or shape.roi
        if shape.flow:
            available = self._frames[video.key]
            frames, flow = read_with_flow(
                path,
                spec.window,
                size,
                available=available,
                name=shape.flow,
                numbers=self._numbers.get(video.key),
                roi=roi,
            )
            return _cropped(frames, flow, spec, shape, out)
        crop = (
            slice(spec.top, spec.top + shape.height),
            slice(spec.left, spec.left + shape.width),
        )
        window = in_file(spec.window, self._numbers.get(video.key))
        clip = read_frames(path, window, size, crop=crop, out=out, roi=roi)
        if spec.flip:
            mirror(clip)
        return clip


class PackSource(ClipSource):
    """Copies clips out of a pack; they equal those of VideoSource.

    With a frame rate of their own (`fps`), their optical flow is that between the frames of the
    clip. It is computed from the packed frames, because a pack holds the flow between the frames of
    the files.
    """

    def __init__(
        self,
        pack: Pack,
        *videos_and_sampler,
        numbers: Mapping[str, Sequence[int] | np.ndarray] | None = None,
    ):
        super().__init__(*videos_and_sampler, numbers=numbers)
        self.pack = pack

    def _clip(
        self, video: Video, spec: ClipSpec, shape: ClipShape, out: np.ndarray | None
    ) -> np.ndarray:
        numbers = self._numbers.get(video.key)
        if shape.flow and shape.fps:
            return self._clip_with_flow(video, spec, shape, out, numbers)
        if numbers is not None:
            spec = dataclasses.replace(spec, window=in_file(spec.window, numbers))
        return self.pack.read(video.key, spec, shape, out)

    def _clip_with_flow(
        self,
        video: Video,
        spec: ClipSpec,
        shape: ClipShape,
        out: np.ndarray | None,
        numbers: Sequence[int] | np.ndarray | None,
    ) -> np.ndarray:
        whole = dataclasses.replace(
            shape, height=shape.resize_height, width=shape.resize_width, flow=None
        )

        def read(wanted: np.ndarray) -> np.ndarray:
            frames = dataclasses.replace(whole, frames=len(wanted))
            return self.pack.read(video.key, ClipSpec(in_file(wanted, numbers), 0, 0), frames)

        available, name = self._frames[video.key], str(shape.flow)
        frames, flow = with_flow(read, spec.window, available=available, name=name)
        return _cropped(frames, flow, spec, shape, out)


def _cropped(
    frames: np.ndarray,
    flow: np.ndarray,
    spec: ClipSpec,
    shape: ClipShape,
    out: np.ndarray | None,
) -> np.ndarray:
    """The crop and flip of `spec` out of frames and their flow: uint8 (T, H, W, 5)."""
    clip = np.empty(shape.array, np.uint8) if out is None else out
    rows = slice(spec.top, spec.top + shape.height)
    columns = slice(spec.left, spec.left + shape.width)
    copy_channels(frames[:, rows, columns], clip[..., :3])
    copy_channels(flow[:, rows, columns], clip[..., 3:])
    if spec.flip:
        mirror(clip)
    return clip
