"""How the videos of a pack stand in its shards: one after the other, or as WebDataset's tar files.

WebDataset (https://github.com/webdataset/webdataset): the files of one sample follow each other in a
POSIX tar and have one name up to the first dot. A video is the sample

    KEY.json        path, label, group, split, frames, the times of the frames in seconds
    KEY.npy         codec raw: uint8 (frames, height, width, 3), RGB
    KEY.000000.jpg  codec jpeg: one file for each frame
    KEY.table       what this package checks frames with, see `pack_index`

so that other programs read a shard as a stream, and this one reads frames at any place: the index
has the place of the first frame and the end of the table.
"""

import hashlib
import io
import json
import tarfile
from typing import IO, Protocol

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos.pack_index import PackedVideo, PackSettings
from ar3d_keras.videos.video import Video

TAR = "webdataset"
BLOCK = tarfile.BLOCKSIZE  # 512
_END = 2 * BLOCK  # zeros behind the last file of a tar


class Container(Protocol):
    """Writes the videos of a pack to shards.

    Attributes:
        seal: zeros behind the last video of a shard.
    """

    seal: int

    def write(self, packed: PackedVideo, content: IO[bytes], shard: IO[bytes]) -> tuple[int, int]:
        """Appends a video.

        Args:
            packed: the video; its `length` is that of `content`.
            content: at the video's bytes: frames, flow and table.
            shard: at its end.

        Returns:
            how many bytes stand before its first frame, and from there to the end of its table.
        """

    def end(self, end: int) -> int:
        """Where the next video begins, after a table that ends at `end`."""


def container_of(settings: PackSettings) -> Container:
    """The container of a pack."""
    return _Tar(settings) if settings.container == TAR else _Plain()


def frame_starts(settings: PackSettings, lengths: np.ndarray) -> np.ndarray:
    """Where the frames of a video begin, int64, from their lengths in the order of the table."""
    steps = lengths.astype(np.int64)
    if settings.container == TAR and settings.codec == "jpeg":
        steps = BLOCK + _padded(steps)
    return np.cumsum(steps) - steps


def check_container(settings: PackSettings) -> None:
    """Raises UserError for a pack that cannot be written this way."""
    if settings.container == TAR and settings.flow:
        raise UserError("`container` webdataset has no optical flow: leave `flow` out")


class _Plain:
    seal = 0

    def write(self, packed: PackedVideo, content: IO[bytes], shard: IO[bytes]) -> tuple[int, int]:
        copy(content, shard, packed.length)
        return 0, packed.length

    def end(self, end: int) -> int:
        return end


class _Tar:
    seal = _END

    def __init__(self, settings: PackSettings):
        self._settings = settings

    def write(self, packed: PackedVideo, content: IO[bytes], shard: IO[bytes]) -> tuple[int, int]:
        begin, name, frames = content.tell(), sample_name(packed.video), packed.frames
        content.seek(packed.length - 8 * frames, io.SEEK_CUR)
        table = content.read(8 * frames)
        after = content.tell()
        content.seek(begin)
        about = json.dumps(_description(packed)).encode()
        lead = _add(shard, f"{name}.json", io.BytesIO(about), len(about))
        start = 0
        if self._settings.codec == "raw":
            shape = frames, self._settings.height, self._settings.width, 3
            header = _npy_header(shape)
            lead += BLOCK + len(header)
            size = packed.length - len(table)
            shard.write(_tar_header(f"{name}.npy", len(header) + size) + header)
            copy(content, shard, size)
            start = size + _pad(shard, len(header) + size)
        else:
            lead += BLOCK
            for number, length in enumerate(np.frombuffer(table, "<u4")[::2].tolist()):
                start += _add(shard, f"{name}.{number:06d}.jpg", content, length)
            start -= BLOCK  # the first header stands before the first frame
        _add(shard, f"{name}.table", io.BytesIO(table), len(table))
        content.seek(after)
        return lead, start + BLOCK + len(table)

    def end(self, end: int) -> int:
        return int(_padded(end))


def sample_name(video: Video) -> str:
    """The name of a video's files in a tar: 16 hex digits, because a key may hold dots."""
    return hashlib.sha256(video.key.encode(errors="surrogateescape")).hexdigest()[:16]


def _description(packed: PackedVideo) -> dict:
    video = packed.video
    times = packed.times()[0].tolist() if packed.clock else None
    return {
        "path": video.path, "label": video.label, "group": video.group, "split": video.split,
        "start": video.start, "end": video.end, "frames": packed.frames, "times": times,
    }  # fmt: skip


def _padded(length):
    return -(-length // BLOCK) * BLOCK


def _pad(shard: IO[bytes], length: int) -> int:
    return shard.write(bytes(_padded(length) - length))


def _add(shard: IO[bytes], name: str, content: IO[bytes], length: int) -> int:
    """Appends a file to a tar; returns how many bytes that took."""
    shard.write(_tar_header(name, length))
    copy(content, shard, length)
    return BLOCK + length + _pad(shard, length)


def _tar_header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    # GNU's format holds files of more than 8 GiB. No time, so that the same videos give the same bytes.
    return info.tobuf(tarfile.GNU_FORMAT)


def _npy_header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue()


def copy(source: IO[bytes], target: IO[bytes], length: int) -> None:
    """Copies bytes from file to file."""
    while length:
        chunk = source.read(min(length, 1 << 20))
        length -= target.write(chunk)
