"""Reading packs: clips cut out of decoded frames through memory maps; see `pack_index`."""

import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos import remote
from ar3d_keras.videos.catalog import Catalog, Video, stamp
from ar3d_keras.videos.flow import copy_channels
from ar3d_keras.videos.isolation import UNREADABLE
from ar3d_keras.videos.pack_containers import frame_starts
from ar3d_keras.videos.pack_index import (
    AGAIN,
    MEND,
    PackedVideo,
    PackSettings,
    is_pack,
    read_index,
)
from ar3d_keras.videos.reader import ReadError, load_cv2, mirror
from ar3d_keras.videos.sampling import ClipShape, ClipSpec, frames_at
from ar3d_keras.videos.scan import Scan
from ar3d_keras.videos.shards import open_shards

GONE = (-1, -1)
FRAME, FLOW = 0, 1  # the parts that a pack holds for each frame


def open_pack(folder: str | os.PathLike) -> "Pack":
    """Opens a finished pack and verifies its index and the sizes of its shards.

    Raises:
        UserError: the pack is unfinished, damaged or of another version, or a shard is missing or
            truncated.
    """
    content = read_index(Path(folder))
    pack = Pack(
        remote.plain(folder) if remote.is_remote(folder) else Path(folder).resolve(),
        content["settings"],
        content["videos"],
        content["source"],
        content["demo"],
    )
    if not remote.is_remote(folder):
        _check_shards(pack)
    return pack


def _check_shards(pack: "Pack") -> None:
    """Raises UserError if a shard is that of another pack: none of some of its videos is right."""
    shards: dict[int, list[PackedVideo]] = defaultdict(list)
    for packed in pack.videos:
        if packed.frames:
            shards[packed.shard].append(packed)
    for number, videos in shards.items():
        some = {videos[place].offset: videos[place] for place in (0, len(videos) // 2, -1)}
        if len(some) > 1 and not any(map(pack.has_table, some.values())):
            name = pack.root / pack.settings.shard_name(number)
            raise UserError(
                f"{name} holds other videos than the pack's index says: it is of another pack, or "
                f"all of it is damaged; copy it again from where the pack is whole, or {MEND}"
            )


def is_demo_pack(folder: Path) -> bool:
    """Whether `folder` is a pack of the built-in demo set; False if it cannot be opened."""
    try:
        return is_pack(folder) and open_pack(folder).demo
    except UserError:  # reported when the data is opened
        return False


class Pack:
    """A finished pack, open for reading from any number of threads.

    Attributes:
        root: its folder.
        settings: the settings that it was made with.
        videos: one PackedVideo each, sorted by path, undecodable ones included.
        source: the folder of the original videos.
        demo: whether they are the built-in demo set.
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
        self._places = {packed.video.key: packed for packed in self.videos}
        self._shards = open_shards(root, settings, self.bytes)
        self._seen: dict[str, np.ndarray] = {}  # `Video.key` -> which frames were verified

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog of the original videos, with the same fingerprint."""
        videos = tuple(packed.video for packed in self.videos)
        return Catalog(self.root, videos, tuple(packed.size for packed in self.videos))

    @cached_property
    def bytes(self) -> int:
        """Size of all shards."""
        return sum(packed.length for packed in self.videos)

    def scan(self, videos: Sequence[Video], *, fps: float | None = None) -> Scan:
        """The result of `scan` on the original videos, without decoding anything.

        `Scan.numbers` counts the frames that the pack holds of a video, from 0.
        """
        frames, unreadable, damaged, hashes = {}, {}, {}, {}
        numbers: dict[str, Sequence[int] | np.ndarray] = {}
        for key in (video.key for video in videos):
            packed = self._places.get(key)
            if packed is None:
                unreadable[key] = f"it is not in the pack {self.root}"
            elif packed.reason is not None:
                unreadable[key] = packed.reason
            else:
                frames[key] = packed.frames
                if fps:
                    times, duration = packed.times()
                    numbers[key] = frames_at(times, duration, fps)
                    frames[key] = len(numbers[key])
                if packed.damage:
                    damaged[key] = packed.damage
                if packed.hash:
                    hashes[key] = packed.hash
        kinds = dict.fromkeys(unreadable, UNREADABLE)
        return Scan(frames, unreadable, damaged, hashes, numbers=numbers, kinds=kinds)

    def changed(self) -> list[str]:
        """Paths of the videos whose original file has changed since it was packed."""
        if remote.is_remote(self.source):
            try:
                remote.list_files(self.source)  # instead of a request for each video
            except UserError:  # gone, or not for this user
                return []
        return [
            packed.video.path
            for packed in self.videos
            if stamp(self.source / packed.video.path) not in ((packed.size, packed.mtime_ns), GONE)
        ]

    def require(self, shape: ClipShape) -> None:
        """Checks that this pack can provide clips of a geometry.

        Raises:
            UserError: its frames have another size, or it lacks the flow.
        """
        mine = self.settings.height, self.settings.width
        wanted = shape.resize_height, shape.resize_width
        if mine != wanted:
            raise UserError(
                f"{self.root} holds frames of {mine[0]}x{mine[1]} and this run resizes to "
                f"{wanted[0]}x{wanted[1]}: set `resize` to {mine[0]} {mine[1]}, or pack again with "
                f"`ar3d pack --resize {wanted[0]} {wanted[1]}`"
            )
        if shape.roi != self.settings.roi:
            made = f"the region {self.settings.roi}" if self.settings.roi else "no region"
            here = shape.roi if shape.roi else "none"
            raise UserError(
                f"{self.root} was made with {made} of interest and this run has {here}: set `roi` "
                "to the same, or pack again with `ar3d pack --roi`"
            )
        if shape.fps and any(packed.frames and not packed.clock for packed in self.videos):
            raise UserError(
                f"{self.root} was made by an earlier version and has no time stamps, which `fps` "
                f"needs: {AGAIN}"
            )
        # With `fps`, `PackSource` computes the flow between the frames of a clip: the pack's is that
        # between the frames of the files.
        if shape.flow and not shape.fps and shape.flow != self.settings.flow:
            there, size = self.settings.flow, (self.settings.height, self.settings.width)
            raise UserError(
                f"{self.root} holds {f'{there} flow' if there else 'no optical flow'} and this run "
                f"needs that of {shape.flow}: pack again with `ar3d pack --data {self.source} "
                f"--resize {size[0]} {size[1]} --flow {shape.flow} --out NEW`, or choose another "
                "`model` or `flow`"
            )

    def check_unchanged(self) -> None:
        """Checks that the original videos, where they still exist, have not changed.

        Raises:
            UserError: names the first that has.
        """
        if changed := self.changed():
            raise UserError(
                f"{len(changed)} of {len(self.videos)} videos in {self.source} have changed since "
                f"they were packed into {self.root} (first: {changed[0]}): "
                "repeat the `ar3d pack` command, which packs these again"
            )

    def verify(
        self, *, workers: int, progress: Callable[[int], None] = lambda done: None
    ) -> dict[str, str]:
        """Reads every byte once and compares checksums; returns key -> reason of damaged videos."""
        damaged = {}

        def look(packed: PackedVideo) -> str | None:
            self._seen.pop(packed.video.key, None)
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
                    damaged[packed.video.key] = reason
                progress(done + 1)
        return damaged

    def read(
        self, key: str, spec: ClipSpec, shape: ClipShape, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Cuts a clip out of a video; only the crop is copied.

        Args:
            key: the `Video.key` of a video for which `scan` gives frames.
            spec: window, crop and flip.
            shape: the clip's geometry.
            out: uint8 (T, H, W, C), C-contiguous, to write to; None: a new array.

        Returns:
            uint8 (T, H, W, C), RGB or, with flow, RGB, dx, dy: `out` if given.

        Raises:
            ReadError: the checksum of a frame is wrong.
        """
        packed = self._places[key]
        starts, lengths = self._verify(packed, spec.window)
        if out is None:
            out = np.empty(shape.array, np.uint8)
        rows = slice(spec.top, spec.top + shape.height)
        columns = slice(spec.left, spec.left + shape.width)
        if self.settings.codec == "raw":
            self._cut_raw(packed, spec, rows, columns, out[..., :3])
        else:
            self._cut_jpeg(packed, spec, rows, columns, out[..., :3], starts, lengths)
        if shape.flow:
            self._cut_flow(packed, spec, rows, columns, out[..., 3:])
        if spec.flip:
            mirror(out)
        self._shards.touch(len(out) * int(lengths[0]))
        return out

    def _cut_raw(
        self, packed, spec: ClipSpec, rows: slice, columns: slice, out: np.ndarray
    ) -> None:
        height, width = self.settings.height, self.settings.width
        size, start, stop = height * width * 3, int(spec.window.min()), int(spec.window.max()) + 1
        stretch = self._shards.video(packed)[start * size : stop * size]
        crops = stretch.reshape(stop - start, height, width, 3)[:, rows, columns]
        first, last, count = int(spec.window[0]), int(spec.window[-1]), len(spec.window)
        step = max(1, (last - first) // max(1, count - 1))
        # One call per clip: each call releases Python's lock and has to acquire it again.
        if (spec.window == np.arange(first, first + step * count, step)).all():
            copy_channels(crops[::step], out)
        else:  # a short video starts again at frame 0
            for place, index in enumerate(spec.window):
                copy_channels(crops[index - start], out[place])

    def _cut_jpeg(
        self,
        packed,
        spec,
        rows: slice,
        columns: slice,
        out: np.ndarray,
        starts: Sequence[int] | np.ndarray,
        lengths: np.ndarray,
    ) -> None:
        cv2 = load_cv2()
        video = self._shards.video(packed)
        for place, index in enumerate(spec.window):
            jpeg = video[starts[index] : starts[index] + lengths[index]]
            frame = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
            if frame is None:
                raise ReadError(f"its frame {index} in {self._shard(packed)} is not a JPEG")
            copy_channels(cv2.cvtColor(frame[rows, columns], cv2.COLOR_BGR2RGB), out[place])

    def _cut_flow(self, packed, spec, rows: slice, columns: slice, out: np.ndarray) -> None:
        starts, lengths = self._verify(packed, spec.window, FLOW)
        video = self._shards.video(packed)
        size = self.settings.height, self.settings.width, 2
        for place, index in enumerate(spec.window):
            flow = zlib.decompress(video[starts[index] : starts[index] + lengths[index]].data)
            cut = np.frombuffer(flow, np.uint8).reshape(size)[rows, columns]
            copy_channels(cut, out[place])
        self._shards.touch(int(lengths.sum()))

    def _verify(
        self, packed: PackedVideo, window: np.ndarray, part: int = FRAME
    ) -> tuple[Sequence[int] | np.ndarray, np.ndarray]:
        """Compares the checksums of frames, or of their flow, at the first reading.

        Returns:
            (frames,), the offset of each one in the video's bytes, and (frames,), its length.
        """
        frames, parts = packed.frames, self.settings.parts
        video = self._shards.video(packed)
        where = f"in {self._shard(packed)} is damaged (its checksum is wrong)"
        table_bytes = video[len(video) - 8 * parts * frames :]
        seen = self._seen.get(packed.video.key)
        if seen is None:
            if not self.has_table(packed):
                raise ReadError(f"its table {where}")
            seen = self._seen.setdefault(packed.video.key, np.zeros((parts, frames), bool))
        table = table_bytes.view("<u4").reshape(frames, parts, 2)
        lengths = table[:, part, 0]
        if part == FRAME and self.settings.codec == "raw":
            size = self.settings.height * self.settings.width * 3
            starts: Sequence[int] | np.ndarray = range(0, frames * size, size)
        elif part == FRAME:
            starts = frame_starts(self.settings, lengths)
        else:  # behind all frames
            starts = table[:, FRAME, 0].sum(dtype=np.int64) + frame_starts(self.settings, lengths)
        what = "flow of frame" if part == FLOW else "frame"
        for index in window[~seen[part, window]]:
            frame = video[starts[index] : starts[index] + lengths[index]]
            if zlib.crc32(frame.data) != table[index, part, 1]:
                raise ReadError(f"its {what} {index} {where}")
            seen[part, index] = True
            self._shards.touch(int(lengths[index]))
        return starts, lengths

    def has_table(self, packed: PackedVideo) -> bool:
        """Whether a video's table is the one that the index knows.

        Raises:
            ReadError: the shard is missing or cut off.
        """
        video = self._shards.video(packed)
        table = video[len(video) - 8 * self.settings.parts * packed.frames :]
        return zlib.crc32(table.data) == packed.crc

    def _shard(self, packed: PackedVideo) -> str:
        return self.settings.shard_name(packed.shard)
