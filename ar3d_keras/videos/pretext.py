"""Tasks that a network learns from videos without labels. The task defines the classes."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ar3d_keras.config import AugmentConfig, Pretext
from ar3d_keras.errors import UserError
from ar3d_keras.videos.dataset import Dataset
from ar3d_keras.videos.sampling import NOTHING, ClipShape, ClipSpec, last_start, window
from ar3d_keras.videos.sources import ClipSampler, ClipSource, RandomSampler, UniformSampler

SPEEDS = (1, 2, 4)


@dataclass(frozen=True)
class PretextDataset(Dataset):
    """Videos without labels, and a task that makes labels for their clips.

    Attributes:
        task: `instance`: which of the videos a clip is cut from (Dosovitskiy et al. 2014,
            arXiv:1406.6909: each video is a class, so that clips of one video get similar features
            and clips of other videos different ones). `order`: whether the clip runs forward or backward (Misra et al. 2016,
            arXiv:1603.08561). `speed`: its speed, 1, 2 or 4 (Benaim et al. 2020, arXiv:2004.06130);
            the clips are then windows of these strides, with any `sampling`.
    """

    task: Pretext = "speed"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the task."""
        if self.task == "order":
            return ("forward", "backward")
        if self.task == "speed":
            return tuple(f"speed {speed}" for speed in SPEEDS)
        return tuple(video.key for video in self._readable("train"))

    def training(
        self, *, seed: int, flip: bool, augment: AugmentConfig = NOTHING, at_least: int = 0
    ) -> ClipSource:
        """Random clips of the training videos, with the labels of the task; see `Dataset.training`."""
        return self._labeled("train", RandomSampler(seed, flip, augment), at_least)

    def evaluation(self, name: str, *, clips: int = 1, crops: int = 1) -> ClipSource:
        """The center clips of a split; of `instance` those of the training videos."""
        return self._labeled("train" if self.task == "instance" else name, UniformSampler())

    def _readable(self, name: str) -> list:
        return [v for v in self.split.videos(name) if v.key not in self.unreadable]

    def _labeled(self, name: str, sampler: ClipSampler, at_least: int = 0) -> ClipSource:
        videos = self._readable(name)
        kinds = 1 if self.task == "instance" else len(self.class_names)
        labels = np.arange(len(videos)) if kinds == 1 else np.tile(np.arange(kinds), len(videos))
        repeats = max(1, math.ceil(at_least / max(1, len(labels))))
        source = self._source(name, _TaskSampler(sampler, self.task, kinds))
        source.videos = [video for video in videos for _ in range(kinds)] * repeats
        source.labels = np.tile(labels, repeats).astype(np.int64)
        return source


class _TaskSampler:
    """Changes the window of another sampler's clips to that of their class.

    Args:
        sampler: decides everything else.
        task: see PretextDataset.
        kinds: every video occurs so many times in a row, once for each class.
    """

    per_video = 1

    def __init__(self, sampler: ClipSampler, task: Pretext, kinds: int):
        self.sampler, self.task, self.kinds = sampler, task, kinds

    def __call__(self, available: int, shape: ClipShape, epoch: int, index: int) -> ClipSpec:
        spec = self.sampler(available, shape, epoch, index)
        kind = index % self.kinds
        if self.task == "order" and kind == 1:
            return dataclasses.replace(spec, window=spec.window[::-1].copy())
        if self.task == "speed":
            start = min(int(spec.window[0]), last_start(available, SPEEDS[kind], shape.frames))
            return dataclasses.replace(
                spec, window=window(available, start, SPEEDS[kind], shape.frames)
            )
        return spec


def check_task(dataset: PretextDataset) -> None:
    """Checks that the videos allow the task.

    Raises:
        UserError: fewer than two videos can be decoded, or they are too short for the speeds.
    """
    videos: Sequence = dataset._readable("train")
    if len(videos) < 2:
        raise UserError(f"`data` has {len(videos)} training video(s): pretraining needs at least 2")
    needed = max(SPEEDS) * (dataset.shape.frames - 1) + 1
    short = [video.key for video in videos if dataset.frames[video.key] < needed]
    if dataset.task == "speed" and short:
        raise UserError(
            f"`task` speed needs videos of at least {needed} frames, and {len(short)} of "
            f"{len(videos)} are shorter (first: {short[0]}): set fewer `frames`, or another `task`"
        )
