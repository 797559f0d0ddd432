"""What the scan finds out about one file; `isolation` runs it in a process of its own."""

from dataclasses import dataclass
from pathlib import Path

from ar3d_keras.videos.duplicates import Descriptor
from ar3d_keras.videos.frame_folder import is_folder
from ar3d_keras.videos.inspection import Facts, known_facts
from ar3d_keras.videos.keyframes import FrameIndex
from ar3d_keras.videos.reader import count_frames, describe, make_index


@dataclass(frozen=True)
class Examination:
    """The result of decoding a file.

    Attributes:
        facts: its frames and its damage.
        descriptor: of its content; None: not asked for.
        index: the times of its frames; None: not asked for, or a folder of frames.
    """

    facts: Facts
    descriptor: Descriptor | None = None
    index: FrameIndex | None = None


def examine(
    path: Path, *, descriptor: bool = False, index: bool = False, threads: int = 1
) -> Examination:
    """Decodes a whole file.

    Args:
        path: a video file, or a folder of frames.
        descriptor: whether to describe its content.
        index: whether to index the times of its frames.
        threads: that decode the index.

    Raises:
        ReadError: no frame can be decoded, or an image of a folder of frames is damaged.
    """
    times = make_index(path, threads=threads) if index and not is_folder(path) else None
    if descriptor:
        return Examination(*describe(path), times)
    frames = count_frames(path)
    # None: a folder of frames
    return Examination(known_facts(path) or Facts(frames, None, False), None, times)
