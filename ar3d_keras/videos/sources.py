"""ClipSource: source[index, epoch] -> one uint8 clip. Every backend is fed from here."""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ar3d_keras.config import AugmentConfig
from ar3d_keras.videos import augment
from ar3d_keras.videos.catalog import Video
from ar3d_keras.videos.flow import read_with_flow
from ar3d_keras.videos.packs import Pack
from ar3d_keras.videos.reader import ReadError, mirror, read_frames
from ar3d_keras.videos.sampling import NOTHING, ClipShape, ClipSpec, random_clip, uniform_clip


class ClipSampler(Protocol):
    """Says how to cut a clip out of a video; `per_video` clips are cut from each."""

    per_video: int

    def __call__(self, available: int, shape: ClipShape, epoch: int, index: int) -> ClipSpec:
        """The view of clip `index` (video * per_video + view) of a video of `available` frames."""


class RandomSampler:
    """Training: another window, crop, flip and augmentation in each epoch."""

    per_video = 1

    def __init__(self, seed: int, flip: bool, augment: AugmentConfig = NOTHING):
        self.seed, self.flip, self.augment = seed, flip, augment

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
    """Evaluation: a fixed grid of clips x crops; one by one is the centre of everything."""

    def __init__(self, clips: int = 1, crops: int = 1):
        self.clips, self.crops, self.per_video = clips, crops, clips * crops

    def __call__(self, available: int, shape: ClipShape, epoch: int, index: int) -> ClipSpec:
        view = index % self.per_video
        return uniform_clip(available, shape, clips=self.clips, crops=self.crops, index=view)


class ClipSource(abc.ABC):
    """Clips of labelled videos, by number; where their frames come from is up to a subclass.

    Attributes:
        videos: the labelled videos, in order.
        labels: int64 (videos,), each video's class; -1 where it has no label.
        clips_per_video: clips cut from each video; clip i belongs to video i // views_per_video.
        shape: the geometry of every clip.
        failures: path -> reason, of the videos that could not be read since the run began.

    Args:
        videos: the labelled videos.
        frames: the number of frames that can be read, by path (see `scan`).
        class_names: the class names, in the order of the labels.
        shape: the geometry of every clip.
        views: how clips are cut out of a video.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        frames: Mapping[str, int],
        class_names: Sequence[str],
        shape: ClipShape,
        views: ClipSampler,
    ):
        self.videos, self.shape = videos, shape
        places = {None: -1} | {name: place for place, name in enumerate(class_names)}
        self.labels = np.array([places[video.label] for video in videos], np.int64)
        self.clips_per_video = views.per_video
        self.failures: dict[str, str] = {}
        self._frames, self._views = frames, views

    def __len__(self) -> int:
        """The number of clips: videos x views_per_video."""
        return len(self.videos) * self.clips_per_video

    def __getitem__(self, place: tuple[int, int]) -> np.ndarray | None:
        """The clip at (index, epoch): uint8 (T, H, W, C), or None where it cannot be read."""
        return self.read(*place)

    def read(self, index: int, epoch: int, out: np.ndarray | None = None) -> np.ndarray | None:
        """The same, written into `out`, uint8 (T, H, W, C), where that is given."""
        return self.cut(index, self.clip_spec(index, epoch), out)

    def clip_spec(self, index: int, epoch: int) -> ClipSpec:
        """How the clip at (index, epoch) is cut out of its video, and changed."""
        path = self.videos[index // self.clips_per_video].path
        return self._views(self._frames[path], self.shape, epoch, index)

    def cut(self, index: int, view: ClipSpec, out: np.ndarray | None = None) -> np.ndarray | None:
        """The clip that `view` cuts out of the video of clip `index`, as `read` gives it."""
        path = self.videos[index // self.clips_per_video].path
        try:
            if view.crop is None:
                clip = self._clip(path, view, self.shape, out)
            else:
                height, width = view.crop
                crop = dataclasses.replace(self.shape, height=height, width=width)
                clip = augment.resize(self._clip(path, view, crop, None), self.shape, out)
        except ReadError as error:
            # It was readable when it was probed. One video must not end a night's training: it
            # is named and counted, its clip weighs nothing, and no other takes its place.
            self.failures[path] = str(error)
            return None
        augment.change(clip, view)
        return clip

    @abc.abstractmethod
    def _clip(
        self, path: str, view: ClipSpec, shape: ClipShape, out: np.ndarray | None
    ) -> np.ndarray:
        """The window, crop and flip of `view` in a video, which `shape` sizes; raises ReadError."""


class VideoSource(ClipSource):
    """Decodes the original files, under `root`, as clips are asked for."""

    def __init__(self, root: Path, *videos_and_views):
        super().__init__(*videos_and_views)
        self.root = Path(root)

    def _clip(
        self, path: str, view: ClipSpec, shape: ClipShape, out: np.ndarray | None
    ) -> np.ndarray:
        size = shape.resize_height, shape.resize_width
        crop = (
            slice(view.top, view.top + shape.height),
            slice(view.left, view.left + shape.width),
        )
        if shape.flow:
            clip = np.empty(shape.array, np.uint8) if out is None else out
            available = self._frames[path]
            frames, flow = read_with_flow(
                self.root / path, view.window, size, available=available, name=shape.flow
            )
            clip[..., :3], clip[..., 3:] = frames[:, *crop], flow[:, *crop]
        else:
            clip = read_frames(self.root / path, view.window, size, crop=crop, out=out)
        if view.flip:
            mirror(clip)
        return clip


class PackSource(ClipSource):
    """Copies clips out of a pack: the ones that VideoSource would decode."""

    def __init__(self, pack: Pack, *videos_and_views):
        super().__init__(*videos_and_views)
        self.pack = pack

    def _clip(
        self, path: str, view: ClipSpec, shape: ClipShape, out: np.ndarray | None
    ) -> np.ndarray:
        return self.pack.read(path, view, shape, out)
