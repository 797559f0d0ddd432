"""ClipSource: source[index, epoch] -> one uint8 clip. Every backend is fed from here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ar3d_keras.videos.catalog import Video
from ar3d_keras.videos.packs import Pack
from ar3d_keras.videos.reader import ReadError, read_frames
from ar3d_keras.videos.sampling import ClipShape, View, grid_view, random_view


class Views(Protocol):
    """Says how to cut a clip out of a video; `per_video` clips are cut from each."""

    per_video: int

    def __call__(self, available: int, shape: ClipShape, epoch: int, index: int) -> View:
        """The view of clip `index` (video * per_video + view) of a video of `available` frames."""


class RandomViews:
    """Training: another window, crop and flip in each epoch."""

    per_video = 1

    def __init__(self, seed: int, flip: bool):
        self.seed, self.flip = seed, flip

    def __call__(self, available: int, shape: ClipShape, epoch: int, index: int) -> View:
        return random_view(
            available, shape, flip=self.flip, seed=self.seed, epoch=epoch, index=index
        )


class GridViews:
    """Evaluation: a fixed grid of clips x crops; one by one is the centre of everything."""

    def __init__(self, clips: int = 1, crops: int = 1):
        self.clips, self.crops, self.per_video = clips, crops, clips * crops

    def __call__(self, available: int, shape: ClipShape, epoch: int, index: int) -> View:
        view = index % self.per_video
        return grid_view(available, shape, clips=self.clips, crops=self.crops, index=view)


class ClipSource(Protocol):
    """Clips of labelled videos, by number.

    Attributes:
        videos: the labelled videos, in order.
        labels: int64 (videos,), each video's class.
        views_per_video: clips cut from each video; clip i belongs to video i // views_per_video.
        shape: the geometry of every clip.
        failures: path -> reason, of the videos that could not be read since the run began.
    """

    videos: Sequence[Video]
    labels: np.ndarray
    views_per_video: int
    shape: ClipShape
    failures: dict[str, str]

    def __len__(self) -> int:
        """The number of clips: videos x views_per_video."""

    def __getitem__(self, place: tuple[int, int]) -> np.ndarray | None:
        """The clip at (index, epoch): uint8 (T, H, W, 3), or None where it cannot be read."""


class VideoSource:
    """A ClipSource that decodes the original files as clips are asked for."""

    def __init__(
        self,
        root: Path,
        videos: Sequence[Video],
        frames: Mapping[str, int],
        classes: Sequence[str],
        shape: ClipShape,
        views: Views,
    ):
        """Args: `frames` is the number of decodable frames by path (see `probe`)."""
        self.root, self.videos, self.shape = Path(root), videos, shape
        self.labels = np.array([classes.index(video.label) for video in videos], np.int64)
        self.views_per_video = views.per_video
        self.failures: dict[str, str] = {}
        self._frames, self._views = frames, views

    def __len__(self) -> int:
        return len(self.videos) * self.views_per_video

    def __getitem__(self, place: tuple[int, int]) -> np.ndarray | None:
        index, epoch = place
        path = self.videos[index // self.views_per_video].path
        view = self._views(self._frames[path], self.shape, epoch, index)
        size = self.shape.resize_height, self.shape.resize_width
        try:
            frames = read_frames(self.root / path, view.window, size)
        except ReadError as error:
            # It was readable when it was probed. One video must not end a night's training: it
            # is named and counted, its clip weighs nothing, and no other takes its place.
            self.failures[path] = str(error)
            return None
        return cut(frames, view, self.shape)


class PackSource:
    """A ClipSource that copies clips out of a pack: the ones that VideoSource would decode."""

    def __init__(
        self,
        pack: Pack,
        videos: Sequence[Video],
        frames: Mapping[str, int],
        classes: Sequence[str],
        shape: ClipShape,
        views: Views,
    ):
        """Args: `frames` is the number of frames by path (see `Pack.probe`)."""
        self.pack, self.videos, self.shape = pack, videos, shape
        self.labels = np.array([classes.index(video.label) for video in videos], np.int64)
        self.views_per_video = views.per_video
        self.failures: dict[str, str] = {}
        self._frames, self._views = frames, views

    def __len__(self) -> int:
        return len(self.videos) * self.views_per_video

    def __getitem__(self, place: tuple[int, int]) -> np.ndarray | None:
        return self.read(*place)

    def read(self, index: int, epoch: int, out: np.ndarray | None = None) -> np.ndarray | None:
        """The clip, written into `out` where it is given (see `Pack.read`); None: it is damaged."""
        path = self.videos[index // self.views_per_video].path
        view = self._views(self._frames[path], self.shape, epoch, index)
        try:
            return self.pack.read(path, view, self.shape, out)
        except ReadError as error:
            self.failures[path] = str(error)
            return None


def cut(frames: np.ndarray, view: View, shape: ClipShape) -> np.ndarray:
    """The crop and flip of a view: uint8 (T, resized height, width, 3) -> (T, H, W, 3)."""
    crop = frames[:, view.top : view.top + shape.height, view.left : view.left + shape.width]
    return np.ascontiguousarray(crop[:, :, ::-1] if view.flip else crop)
