"""The bytes of the videos of a pack: memory maps of local shards, ranges of remote ones."""

import mmap
from pathlib import Path
from typing import Protocol

import numpy as np

from ar3d_keras.videos.pack_index import PackedVideo, PackSettings
from ar3d_keras.videos.remote import RangeReader, is_remote
from ar3d_keras.videos.video import ReadError

# Mapped bytes of a pack that may count as memory of this process; the system can reclaim them.
MAPPED_BYTES = 1 << 32
# The least that the kernel maps when a byte is read (Linux, fault_around_bytes).
MAPPED_AT_ONCE = 1 << 16


class VideoBytes(Protocol):
    """The bytes of a video; an array of a memory map is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> np.ndarray:
        """uint8, read-only; nothing else is read."""


class Shards(Protocol):
    """Opens shards when they are first needed, for any number of threads."""

    def video(self, packed: PackedVideo) -> VideoBytes:
        """A video's bytes; nothing is read yet.

        Raises:
            ReadError: the shard is missing or cut off.
        """

    def touch(self, length: int) -> None:
        """Counts the bytes read."""


def open_shards(root: Path, settings: PackSettings, size: int) -> Shards:
    """The shards in a folder, of `size` bytes together."""
    return RemoteShards(root, settings) if is_remote(root) else MappedShards(root, settings, size)


class MappedShards:
    """Shards of a local folder."""

    def __init__(self, root: Path, settings: PackSettings, size: int):
        self.root, self._settings, self._size = root, settings, size
        self._maps: dict[int, mmap.mmap] = {}
        self._touched = 0  # bytes read through the maps since they were last dropped

    def video(self, packed: PackedVideo) -> np.ndarray:
        name = self._settings.shard_name(packed.shard)
        shard = self._maps.get(packed.shard)
        if shard is None:
            try:
                with (self.root / name).open("rb") as file:
                    shard = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:  # ValueError: an empty file
                reason = error.strerror if isinstance(error, OSError) else error
                raise ReadError(f"{name}: {reason}") from None
            # Two threads that arrive here at once get the same map.
            shard = self._maps.setdefault(packed.shard, shard)
        if packed.offset + packed.length > len(shard):
            raise ReadError(f"{name} is cut off")
        return np.frombuffer(shard, np.uint8, packed.length, packed.offset)

    def touch(self, length: int) -> None:
        """Releases the pages of the maps from time to time.

        The pages stay in the page cache, so reading them again is cheap. While they are mapped
        they count as memory of this process, which would grow with the pack. Mapping them again
        takes half as long as the copy, so a small pack keeps its pages.
        """
        self._touched += max(length, MAPPED_AT_ONCE)
        if self._touched > MAPPED_BYTES < self._size:
            self._touched = 0
            for shard in list(self._maps.values()):
                shard.madvise(mmap.MADV_DONTNEED)


class RemoteShards:
    """Shards of an object store, of which only the ranges that clips need are read."""

    def __init__(self, root: Path, settings: PackSettings):
        self.root, self._settings = root, settings
        self._readers: dict[int, RangeReader] = {}

    def video(self, packed: PackedVideo) -> "_RemoteBytes":
        name = self._settings.shard_name(packed.shard)
        reader = self._readers.get(packed.shard)
        if reader is None:
            try:
                reader = RangeReader(self.root / name)
            except FileNotFoundError:
                raise ReadError(f"{name} is missing") from None
            reader = self._readers.setdefault(packed.shard, reader)
        if packed.offset + packed.length > reader.size:
            raise ReadError(f"{name} is cut off")
        return _RemoteBytes(reader, packed.offset, packed.length)

    def touch(self, length: int) -> None:
        pass


class _RemoteBytes:
    def __init__(self, reader: RangeReader, offset: int, length: int):
        self._reader, self._offset, self._length = reader, offset, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice, /) -> np.ndarray:
        start, stop, _ = part.indices(self._length)
        try:
            content = self._reader.read(self._offset + start, self._offset + stop)
        except OSError as error:
            raise ReadError(f"its shard cannot be read ({error})") from None
        return np.frombuffer(content, np.uint8)
