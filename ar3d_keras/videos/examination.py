"""The scan of one file; `isolation` runs it in a process of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ar3d_keras.videos.describing import FileDescriber
from ar3d_keras.videos.descriptor import Descriptor
from ar3d_keras.videos.frame_folder import is_folder
from ar3d_keras.videos.inspection import (
    Facts,
    check_readable,
    inspect,
    known_facts,
    remember,
)
from ar3d_keras.videos.isolation import Isolation
from ar3d_keras.videos.keyframes import FrameIndex, cached_index, keep_index
from ar3d_keras.videos.reader import (
    ASSUMED_RATE,
    count_frames,
    frame_index,
    make_index,
    read_header,
    show_frames,
    timed_frames,
)
from ar3d_keras.videos.video import Video


@dataclass(frozen=True)
class Examination:
    """The result of decoding a file.

    Attributes:
        facts: its frames and its damage.
        index: the times of its frames; None: not wanted, or a folder of frames.
        descriptors: `Video.key` -> descriptor, of the videos that were to be described.
        outside: key -> reason, where the frames do not contain the region of the video.
    """

    facts: Facts
    index: FrameIndex | None = None
    descriptors: dict[str, Descriptor] = field(default_factory=dict)
    outside: dict[str, str] = field(default_factory=dict)


def examine(
    path: Path, *, described: Sequence[Video] = (), indexed: bool = False, threads: int = 1
) -> Examination:
    """Decodes a whole file.

    Args:
        path: a video file, or a folder of frames.
        described: the videos of this file to describe.
        indexed: whether to index the times of its frames.
        threads: that decode a file that is indexed.

    Raises:
        ReadError: no frame can be decoded, or an image of a folder of frames is damaged.
    """
    viewer = FileDescriber(described) if described else None
    index = None
    if indexed and not is_folder(path):
        index = make_index(path, threads=threads, viewer=viewer)
        facts = inspect(path)  # known from that pass
    elif viewer:
        facts = show_frames(path, viewer)
    else:
        frames = count_frames(path)
        # None: a folder of frames
        facts = known_facts(path) or Facts(frames, None, False)
    if viewer is None:
        return Examination(facts, index)
    viewer.end()
    return Examination(facts, index, viewer.descriptors, viewer.failed)


def measure(path: Path) -> tuple[float, tuple[int, int]]:
    """The seconds of a video by its header, and height and width of its first frame.

    Raises:
        ReadError: it cannot be decoded.
    """
    _, frame = next(iter(timed_frames(path)))
    header = read_header(path)
    return header.frames / (header.rate or ASSUMED_RATE), frame.shape[:2]


def isolated_index(isolation: Isolation, path: Path, *, threads: int = 1) -> FrameIndex:
    """`reader.frame_index`, for which a file is decoded in another process.

    Args:
        isolation: of the process.
        path: a video file, or a folder of frames.
        threads: decoding threads.

    Raises:
        ReadError: no frame can be decoded, or the decoder crashed or broke a limit.
    """
    if is_folder(path):
        return frame_index(path)
    at = check_readable(path)
    if known_facts(path) and (index := cached_index(path, at)):
        return index
    found = isolation.call(examine, path, indexed=True, threads=threads)
    assert found.index is not None
    keep_index(path, at, found.index)
    remember(path, found.facts, at)
    return found.index
