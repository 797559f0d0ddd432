"""Describes videos for the search for near-duplicates: whole files, segments and regions of them."""

import os
from collections.abc import Iterable, Sequence

import numpy as np

from ar3d_keras.videos.descriptor import Describer, Descriptor
from ar3d_keras.videos.duplicate_frames import MOST_FRAMES, FrameCollector, Frames
from ar3d_keras.videos.inspection import Facts
from ar3d_keras.videos.reader import frame_index, gray_frames, show_frames
from ar3d_keras.videos.region import Region, cut_region
from ar3d_keras.videos.segments import ends, starts
from ar3d_keras.videos.video import ReadError, Video


class FileDescriber:
    """Makes a descriptor of each video of a file.

    Args:
        videos: the rows of one file.

    Attributes:
        descriptors: `Video.key` -> descriptor, of the videos that have a frame; complete after `end`.
        failed: key -> reason, where the frames do not contain the region.
    """

    def __init__(self, videos: Iterable[Video]):
        # In reverse order, to take the next one from the end.
        self._waiting = sorted(videos, key=lambda video: video.start or 0.0, reverse=True)
        self._active: list[tuple[Video, float, Describer]] = []
        self.descriptors: dict[str, Descriptor] = {}
        self.failed: dict[str, str] = {}

    def add(self, seconds: float, gray: np.ndarray) -> None:
        """Adds a frame of the file; see `Describer.add`."""
        while self._waiting and starts(self._waiting[-1], seconds):
            self._active.append((self._waiting.pop(), seconds, Describer()))
        for part in list(self._active):
            video, first, describer = part
            if ends(video, seconds):
                self._finish(part)
                continue
            try:
                describer.add(seconds - first, cut_region(gray, video.roi))
            except ReadError as error:
                self.failed[video.key] = str(error)
                self._active.remove(part)

    def end(self) -> None:
        """Is called after the last frame."""
        for part in list(self._active):
            self._finish(part)

    def _finish(self, part: tuple[Video, float, Describer]) -> None:
        video, _, describer = part
        self._active.remove(part)
        if describer.has_frames:
            self.descriptors[video.key] = describer.descriptor()


def describe(path: str | os.PathLike) -> tuple[Facts, Descriptor]:
    """Decodes a whole video once, for the data report.

    Args:
        path: a video file, or a folder of frames, which has no times: ASSUMED_RATE holds.

    Raises:
        ReadError: no frame can be decoded, or an image of a folder of frames is damaged.
    """
    describer = Describer()
    return show_frames(path, describer), describer.descriptor()


def reduced_frames(
    path: str | os.PathLike,
    frames: Sequence[int] | np.ndarray | None = None,
    roi: Region | None = None,
) -> Frames:
    """Decodes a video; its first frames, reduced, to compare it with another.

    Args:
        path: a video file, or a folder of frames.
        frames: the numbers of the frames of a segment, rising; None: all.
        roi: the part of each frame that counts; None: the whole frame.

    Raises:
        ReadError: as `describe`.
    """
    collector = FrameCollector()
    if frames is None and roi is None:
        show_frames(path, collector)
    else:
        times = frame_index(path).times
        numbers = list(range(len(times)) if frames is None else frames)[:MOST_FRAMES]
        for number, picture in zip(numbers, gray_frames(path, numbers), strict=True):
            collector.add(float(times[number] - times[numbers[0]]), cut_region(picture, roi))
    return collector.frames()
