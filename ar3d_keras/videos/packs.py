"""Reading packs: clips cut out of decoded frames through memory maps; see `pack_index`."""

import mmap
import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import Catalog, Video, stamp
from ar3d_keras.videos.pack_index import (
    PackedVideo,
    PackSettings,
    is_pack,
    read_index,
    shard_name,
)
from ar3d_keras.videos.reader import ReadError, load_cv2, mirror
from ar3d_keras.videos.sampling import ClipShape, ClipSpec
from ar3d_keras.videos.scan import Scan

GONE = (-1, -1)
FRAME, FLOW = 0, 1  # parts of what a pack holds of each frame
# How much of a pack may count as this process's memory; the system takes it back when it needs it.
MAPPED_BYTES = 1 << 32
# What the kernel maps at least where a byte is read (Linux, fault_around_bytes).
MAPPED_AT_ONCE = 1 << 16


def open_pack(folder: str | os.PathLike) -> "Pack":
    """Opens a finished pack; its index and the sizes of its shards are verified.

    Raises:
        UserError: unfinished, of another version, damaged, or a shard is missing or cut short.
    """
    content = read_index(Path(folder))
    return Pack(
        Path(folder).resolve(),
        content["settings"],
        content["videos"],
        content["source"],
        content["demo"],
    )


def is_demo_pack(folder: Path) -> bool:
    """Whether `folder` is a pack of the built-in demo set; False where it cannot be opened."""
    try:
        return is_pack(folder) and open_pack(folder).demo
    except UserError:  # said when the data is opened in earnest
        return False


class Pack:
    """A finished pack, open for reading from any number of threads.

    Attributes:
        root: its folder.
        settings: what it was made with.
        videos: one PackedVideo each, sorted by path, undecodable ones included.
        source: the folder of the videos it was made of.
        demo: whether that was the built-in demo set.
    """

    def __init__(
        self,
        root: Path,
        settings: PackSettings,
        videos: Sequence[PackedVideo],
        source: Path,
        demo: bool,
    ):
        self.root, self.settings, self.videos = root, settings, tuple(videos)
        self.source, self.demo = source, demo
        self._places = {packed.video.path: packed for packed in self.videos}
        self._maps: dict[int, mmap.mmap] = {}
        self._touched = 0  # bytes read through the maps since they were last dropped
        self._seen: dict[str, np.ndarray] = {}  # path -> which frames were verified

    @cached_property
    def catalog(self) -> Catalog:
        """The videos as the folder they came from would list them, with its fingerprint."""
        videos = tuple(packed.video for packed in self.videos)
        return Catalog(self.root, videos, tuple(packed.size for packed in self.videos))

    @cached_property
    def bytes(self) -> int:
        """Of all shards."""
        return sum(packed.length for packed in self.videos)

    def scan(self, videos: Sequence[Video]) -> Scan:
        """The result of `scan` on the original videos, without decoding anything."""
        frames, unreadable, damaged, hashes = {}, {}, {}, {}
        for path in (video.path for video in videos):
            packed = self._places.get(path)
            if packed is None:
                unreadable[path] = f"it is not in the pack {self.root}"
            elif packed.reason is not None:
                unreadable[path] = packed.reason
            else:
                frames[path] = packed.frames
                if packed.damage:
                    damaged[path] = packed.damage
                if packed.hash:
                    hashes[path] = packed.hash
        return Scan(frames, unreadable, damaged, hashes)

    def changed(self) -> list[str]:
        """Paths of the videos whose file is there and is another than the one that was packed."""
        return [
            packed.video.path
            for packed in self.videos
            if stamp(self.source / packed.video.path) not in ((packed.size, packed.mtime_ns), GONE)
        ]

    def require(self, shape: ClipShape) -> None:
        """Refuses clips that this pack cannot give as its videos would.

        Raises:
            UserError: frames of another size, or without the flow that is wanted.
        """
        mine = self.settings.height, self.settings.width
        wanted = shape.resize_height, shape.resize_width
        if mine != wanted:
            raise UserError(
                f"{self.root} holds frames of {mine[0]}x{mine[1]} and this run resizes to "
                f"{wanted[0]}x{wanted[1]}: give --resize {mine[0]} {mine[1]}, or pack again with "
                f"--resize {wanted[0]} {wanted[1]}"
            )
        if shape.flow and shape.flow != self.settings.flow:
            there = self.settings.flow
            raise UserError(
                f"{self.root} holds {f'{there} flow' if there else 'no optical flow'} and this run "
                f"needs that of {shape.flow}: "
                + (f"give --flow {there}, or " if there else "")
                + f"pack again with `ar3d pack --data {self.source} --out NEW --flow {shape.flow}`"
            )

    def check_unchanged(self) -> None:
        """Refuses a pack whose videos are still there but are not those it was made of.

        Raises:
            UserError: names the first.
        """
        if changed := self.changed():
            raise UserError(
                f"{len(changed)} of {len(self.videos)} videos in {self.source} have changed since "
                f"they were packed into {self.root} (first: {changed[0]}): "
                "give the `ar3d pack` command again, it packs those anew"
            )

    def verify(
        self, *, workers: int, progress: Callable[[int], None] = lambda done: None
    ) -> dict[str, str]:
        """Reads every byte once and compares checksums: path -> reason of what is damaged."""
        damaged = {}

        def look(packed: PackedVideo) -> str | None:
            self._seen.pop(packed.video.path, None)
            try:
                for part in range(self.settings.parts):
                    self._verify(packed, np.arange(packed.frames), part)
            except ReadError as error:
                return str(error)
            return None

        there = [packed for packed in self.videos if packed.frames]
        with ThreadPoolExecutor(workers) as pool:
            for done, (packed, reason) in enumerate(zip(there, pool.map(look, there), strict=True)):
                if reason:
                    damaged[packed.video.path] = reason
                progress(done + 1)
        return damaged

    def read(
        self, path: str, view: ClipSpec, shape: ClipShape, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Cuts a clip out of a video; only the crop is copied.

        Args:
            path: of a video that `scan` gives frames for.
            view: window, crop and flip.
            shape: the clip's geometry.
            out: uint8 (T, H, W, C), C-contiguous, that takes the clip; None: a new array.

        Returns:
            uint8 (T, H, W, C), RGB or, with flow, RGB, dx, dy: `out` where it was given.

        Raises:
            ReadError: a frame's bytes are not those that were packed.
        """
        packed = self._places[path]
        starts = self._verify(packed, view.window)
        if out is None:
            out = np.empty(shape.array, np.uint8)
        rows = slice(view.top, view.top + shape.height)
        columns = slice(view.left, view.left + shape.width)
        if self.settings.codec == "raw":
            self._cut_raw(packed, view, rows, columns, out[..., :3])
        else:
            self._cut_jpeg(packed, view, rows, columns, out[..., :3], starts)
        if shape.flow:
            self._cut_flow(packed, view, rows, columns, out[..., 3:])
        if view.flip:
            mirror(out)
        self._touch(len(out) * (starts[1] - starts[0]))
        return out

    def _cut_raw(
        self, packed, view: ClipSpec, rows: slice, columns: slice, out: np.ndarray
    ) -> None:
        height, width = self.settings.height, self.settings.width
        length = packed.frames * height * width * 3
        frames = self._bytes(packed)[:length].reshape(packed.frames, height, width, 3)
        crops = frames[:, rows, columns]
        first, last, count = int(view.window[0]), int(view.window[-1]), len(view.window)
        step = max(1, (last - first) // max(1, count - 1))
        # One call a clip: each gives Python's lock away and has to get it back from the others.
        if (view.window == np.arange(first, first + step * count, step)).all():
            np.copyto(out, crops[first : last + 1 : step])
        else:  # a short video starts over at its front
            for place, index in enumerate(view.window):
                out[place] = crops[index]

    def _cut_jpeg(
        self, packed, view, rows, columns, out: np.ndarray, starts: Sequence[int]
    ) -> None:
        cv2 = load_cv2()
        video = self._bytes(packed)
        for place, index in enumerate(view.window):
            frame = cv2.imdecode(video[starts[index] : starts[index + 1]], cv2.IMREAD_COLOR)
            if frame is None:
                raise ReadError(f"its frame {index} in {shard_name(packed.shard)} is no JPEG")
            out[place] = cv2.cvtColor(frame[rows, columns], cv2.COLOR_BGR2RGB)

    def _cut_flow(self, packed, view, rows: slice, columns: slice, out: np.ndarray) -> None:
        starts = self._verify(packed, view.window, FLOW)
        video = self._bytes(packed)
        size = self.settings.height, self.settings.width, 2
        for place, index in enumerate(view.window):
            flow = zlib.decompress(video[starts[index] : starts[index + 1]])
            out[place] = np.frombuffer(flow, np.uint8).reshape(size)[rows, columns]
        self._touch(starts[-1] - starts[0])

    def _bytes(self, packed: PackedVideo) -> np.ndarray:
        """A video's bytes in its shard, uint8 (length,), read-only; nothing is read yet."""
        shard = self._maps.get(packed.shard)
        if shard is None:
            try:
                with (self.root / shard_name(packed.shard)).open("rb") as file:
                    shard = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except OSError as error:
                raise ReadError(f"{shard_name(packed.shard)}: {error.strerror}") from None
            # Of two threads that come here at once, both get the same map.
            shard = self._maps.setdefault(packed.shard, shard)
        return np.frombuffer(shard, np.uint8, packed.length, packed.offset)

    def _touch(self, length: int) -> None:
        """Counts bytes read and now and then gives the maps' pages back.

        They stay in the page cache, from where other threads just take them again; but as long
        as they are mapped they count as this process's memory, which would grow with the pack.
        Taking them again costs half as much as the copy: a smaller pack keeps its own.
        """
        self._touched += max(length, MAPPED_AT_ONCE)
        if self._touched > MAPPED_BYTES < self.bytes:
            self._touched = 0
            for shard in list(self._maps.values()):
                shard.madvise(mmap.MADV_DONTNEED)

    def _verify(self, packed: PackedVideo, window: np.ndarray, part: int = FRAME) -> Sequence[int]:
        """Compares the checksums of frames, or of their flow, that were not read before.

        Returns:
            (frames + 1,), where each one starts in the video's bytes, and the end.
        """
        frames, parts = packed.frames, self.settings.parts
        video = self._bytes(packed)
        where = f"in {shard_name(packed.shard)} is damaged (its checksum is another)"
        table_bytes = video[len(video) - 8 * parts * frames :]
        seen = self._seen.get(packed.video.path)
        if seen is None:
            if zlib.crc32(table_bytes) != packed.crc:
                raise ReadError(f"its table {where}")
            seen = self._seen.setdefault(packed.video.path, np.zeros((parts, frames), bool))
        table = table_bytes.view("<u4").reshape(frames, parts, 2)
        if part == FRAME and self.settings.codec == "raw":
            size = self.settings.height * self.settings.width * 3
            starts = range(0, (frames + 1) * size, size)
        else:  # first all frames, then the flow of each
            ends = np.cumsum(table[:, :, 0].T, dtype=np.int64)
            starts = np.concatenate([[0], ends])[part * frames : (part + 1) * frames + 1]
        what = "flow of frame" if part == FLOW else "frame"
        for index in window[~seen[part, window]]:
            if zlib.crc32(video[starts[index] : starts[index + 1]]) != table[index, part, 1]:
                raise ReadError(f"its {what} {index} {where}")
            seen[part, index] = True
            self._touch(starts[index + 1] - starts[index])
        return starts
