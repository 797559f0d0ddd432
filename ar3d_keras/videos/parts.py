"""The part of a file that one video consists of, decoded frame by frame."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ar3d_keras.videos.reader import frame_index, timed_frames
from ar3d_keras.videos.region import Region
from ar3d_keras.videos.segments import check_inside, frames_of, stretch
from ar3d_keras.videos.video import Video


@dataclass(frozen=True)
class Part:
    """A whole file or folder of frames, or a segment of it.

    Attributes:
        path: the file or the folder.
        start: seconds from the first frame of the file to the start of the part.
        end: seconds to its end; None: the end of the file, which its last frame shows.
        numbers: of its frames in the file; None: all.
        roi: the region of its own, see `region`; None: it has none.
    """

    path: Path
    start: float = 0.0
    end: float | None = None
    numbers: range | None = None
    roi: Region | None = None

    def frames(self, *, threads: int = 1) -> Iterator[tuple[float, np.ndarray]]:
        """Decodes the part: as `reader.timed_frames`, with seconds since its start."""
        for time, frame in timed_frames(self.path, threads=threads, numbers=self.numbers):
            yield time - self.start, frame


def part_of(root: Path, video: Video, *, threads: int = 1) -> Part:
    """The part that a video is; of a segment that ends beyond its file, what exists.

    The file of a segment is decoded once, to find its frames by their time stamps; see
    `reader.frame_index`.

    Args:
        root: what the video's path is relative to.
        video: a file, or a segment.
        threads: decoding threads.

    Raises:
        ReadError: the file cannot be decoded.
        UserError: the segment has no frame.
    """
    path = root / video.path
    if not video.is_segment:
        return Part(path, roi=video.roi)
    index = frame_index(path, threads=threads)
    numbers = frames_of(video, index.times)
    check_inside(video, len(numbers), float(index.times[-1]), index.end, root, clip=True)
    return Part(path, *stretch(video, index.end), numbers, video.roi)
