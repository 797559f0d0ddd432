"""Making packs: every video decoded once, in an order that the paths decide, so that a pack made
in pieces is the pack made in one go, byte for byte.

While it is being made, packing.jsonl takes a line as soon as a video's bytes are in its shard.
Whoever continues cuts off what no line names, and believes the last shard, which may not have
been on the disk yet when a machine lost its power, only after comparing checksums.
"""

import collections
import contextlib
import dataclasses
import errno
import hashlib
import os
import shutil
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import Catalog, Video, stamp
from ar3d_keras.videos.demo import is_demo
from ar3d_keras.videos.flow import algorithm, every_flow
from ar3d_keras.videos.pack_index import (
    INDEX,
    JOURNAL,
    NOT_PACKED,
    PackedVideo,
    PackSettings,
    shard_name,
    write_index,
)
from ar3d_keras.videos.pack_journal import line, read_journal, write_journal
from ar3d_keras.videos.packs import Pack, open_pack
from ar3d_keras.videos.reader import ReadError, damage, every_frame, load_cv2
from ar3d_keras.videos.scan import content_hash

SHARD_BYTES = 1 << 30
# A decoded video waits for its turn in memory up to this size, above it in a file beside the pack.
SPOOL_BYTES = 32 << 20
LOCK = ".lock"


def make_pack(
    catalog: Catalog,
    folder: Path,
    settings: PackSettings,
    *,
    workers: int,
    reporter: Reporter,
    shard_bytes: int = SHARD_BYTES,
) -> Pack:
    """Packs the videos of a catalog, or goes on where that was stopped; names what it cannot decode.

    Args:
        catalog: the videos.
        folder: where the pack goes; in one that is there, only videos that are new, changed or
            could not be decoded are packed, and what nothing names any more keeps its bytes.
        settings: codec and size.
        workers: threads that decode; OpenCV does so without Python's global lock.
        reporter: draws the bar and says what cannot be decoded.
        shard_bytes: a shard ends before the video that would make it larger; a single video
            that is larger fills one of its own.

    Raises:
        UserError: the folder holds something else, a pack with other settings or of other
            videos altogether, the disk is full, or no video can be decoded.
    """
    with _only_one(folder, reporter):
        packing = _Packing(catalog, folder, settings, shard_bytes)
        try:
            if packing.take_over():
                packing.run(workers, reporter)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
                raise
            raise UserError(
                f"{folder} could not be written ({error.strerror}) after {len(packing.done)} of "
                f"{len(catalog)} videos, which are kept: make room and give the same command "
                "again, or close the pack as it is with --close"
            ) from None
        return open_pack(folder)


def close_pack(catalog: Catalog, folder: Path, *, reporter: Reporter) -> Pack:
    """Finishes a pack with the videos that it holds; the others are listed as not packed.

    Raises:
        UserError: there is no unfinished pack, or it holds nothing.
    """
    with _only_one(folder, reporter):
        if (folder / INDEX).is_file() or not (folder / JOURNAL).is_file():
            raise UserError(f"{folder} is no unfinished pack, so there is nothing to close")
        packing = _Packing(catalog, folder, read_journal(folder)[0], SHARD_BYTES)
        packing.take_over()
        if not packing.done:
            raise UserError(f"{folder} holds no video yet, so it cannot be closed: remove it")
        for video in packing.todo:
            there = stamp(catalog.root / video.path)
            packing.done[video.path] = PackedVideo(video, *there, reason=NOT_PACKED)
        packing.finish()
        return open_pack(folder)


@contextlib.contextmanager
def _only_one(folder: Path, reporter: Reporter) -> Iterator[None]:
    """Makes the folder and keeps other processes out of it; they wait for their turn.

    The lock is the kernel's: it goes with the process, however that ends.
    """
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {file.name for file in folder.iterdir()}
        if names and not names & {LOCK, INDEX, JOURNAL}:
            raise UserError(
                f"{folder} holds other files ({min(names)}): give --out a folder that is new, "
                "empty or a pack"
            )
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise UserError(f"{folder} cannot be made or written ({error.strerror})") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reporter.log(f"another process is packing into {folder}: waiting until it ends")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Packing:
    """A pack that is being made.

    Attributes:
        done: path -> the videos packed so far, and those that failed in this process.
        shards: bytes of each shard so far.
    """

    def __init__(self, catalog: Catalog, folder: Path, settings: PackSettings, shard_bytes: int):
        self.catalog, self.folder, self.settings = catalog, folder, settings
        self.shard_bytes = shard_bytes
        self.done: dict[str, PackedVideo] = {}
        self.shards: list[int] = []
        self._sealed = 0  # shards of a finished pack, which stays usable while it gets more videos

    @property
    def todo(self) -> list[Video]:
        """What is left, well mixed: a pack that is closed early holds videos of every class."""
        left = [video for video in self.catalog.videos if video.path not in self.done]
        return sorted(left, key=lambda video: hashlib.sha256(os.fsencode(video.path)).digest())

    def run(self, workers: int, reporter: Reporter) -> None:
        """Packs what is left."""
        stop, begun = threading.Event(), time.perf_counter()
        todo = self.todo
        if self.done:
            reporter.log(f"continuing after {len(self.done)} of {len(self.catalog)} videos")
        with (
            reporter.bar("packing", len(self.catalog), "videos") as update,
            ThreadPoolExecutor(workers) as pool,
            (self.folder / JOURNAL).open("a", encoding="ascii") as journal,
        ):
            update(len(self.done))
            ahead: collections.deque[Future] = collections.deque()
            waiting = iter(todo)
            try:
                for _ in todo:
                    # Two videos a thread: enough to be busy while the next in turn is slow.
                    while len(ahead) < 2 * workers and (video := next(waiting, None)):
                        ahead.append(pool.submit(self._decode, video, stop))
                    packed, content = ahead.popleft().result()
                    with content:
                        self._append(packed, content, journal)
                    update(len(self.done))
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)
                for future in ahead:
                    if not future.cancelled() and not future.exception():
                        future.result()[1].close()
        seconds = time.perf_counter() - begun
        reporter.log(
            f"packed {len(todo)} videos in {seconds:.1f} s, {len(todo) / seconds:.1f} videos/s, "
            f"{workers} thread(s)"
        )
        if not self.shards:
            (self.folder / JOURNAL).unlink()
            path, failed = next(iter(self.done.items()))
            raise UserError(
                f"no video of {self.catalog.root} can be decoded (first: {path}: "
                f"{failed.reason}): replace or remove them"
            )
        self.finish()

    def finish(self) -> None:
        """Writes the index, after which the journal is of no use."""
        if self.shards:
            _sync(self.folder / shard_name(len(self.shards) - 1))
        root = self.catalog.root
        videos = [self.done[video.path] for video in self.catalog.videos]
        write_index(self.folder, self.settings, videos, self.shards, root, is_demo(root))
        (self.folder / JOURNAL).unlink()

    def _decode(
        self, video: Video, stop: threading.Event
    ) -> tuple[PackedVideo, tempfile.SpooledTemporaryFile]:
        """One video's bytes, table included; in a thread of the pool."""
        path = self.catalog.root / video.path
        size, mtime_ns = stamp(path)
        content = tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=str(self.folder))  # noqa: SIM115
        table: list[tuple[tuple[int, int], ...]] = []  # of each part of each frame
        flows: list[bytes] = []
        try:
            for parts in encoded_frames(path, self.settings):
                if stop.is_set():
                    break
                frame, *flow = parts
                content.write(frame)
                flows += flow
                table.append(tuple((len(part), zlib.crc32(part)) for part in parts))
            content.writelines(flows)
            digest = content_hash(path)
        except ReadError as error:
            content.truncate(0)
            return PackedVideo(video, size, mtime_ns, reason=str(error)), content
        except BaseException:
            content.close()
            raise
        tail = np.array(table, "<u4").tobytes()
        content.write(tail)
        packed = PackedVideo(
            video,
            size,
            mtime_ns,
            len(table),
            length=content.tell(),
            crc=zlib.crc32(tail),
            damage=damage(path),
            hash=digest,
        )
        return packed, content

    def _append(self, packed: PackedVideo, content, journal) -> None:
        """First the bytes, then the line that says they are there."""
        if packed.frames:
            full = self.shards and self.shards[-1] + packed.length > self.shard_bytes
            if full or len(self.shards) == self._sealed:
                if self.shards:
                    _sync(self.folder / shard_name(len(self.shards) - 1))
                self.shards.append(0)
            number, offset = len(self.shards) - 1, self.shards[-1]
            packed = dataclasses.replace(packed, shard=number, offset=offset)
            content.seek(0)
            file = self.folder / shard_name(number)
            try:
                with file.open("ab") as shard:
                    shutil.copyfileobj(content, shard, 1 << 20)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.truncate(file, offset)  # gives a full disk back what the index needs
                raise
            self.shards[-1] += packed.length
        journal.write(line(packed))
        journal.flush()
        self.done[packed.video.path] = packed

    def take_over(self) -> bool:
        """Keeps what earlier processes packed of these very files; False where that is all.

        Failures are tried again: a permission or a disk may be mended.
        """
        made_with, known, finished = self._known()
        if made_with:
            _check_same_settings(self.folder, made_with, self.settings)
            self.done = self._unchanged(known)
            if known and not self.done:
                raise UserError(
                    f"{self.folder} is a pack of other videos than those in {self.catalog.root}: "
                    "give another --out"
                )
            self._trust()
            if finished and [self.done.get(v.path) for v in self.catalog.videos] == known:
                return False
        write_journal(self.folder, self.settings, list(self.done.values()))
        self._cut_off()
        return True

    def _known(self) -> tuple[PackSettings | None, list[PackedVideo], bool]:
        """Settings and videos that the journal or else the index names; whether it is finished."""
        pack = open_pack(self.folder) if (self.folder / INDEX).is_file() else None
        if pack:
            self._sealed = 1 + max(packed.shard for packed in pack.videos)
        if (self.folder / JOURNAL).is_file():
            settings, known = read_journal(self.folder)
            return settings, [packed for packed in known if packed.frames], False
        return (pack.settings, list(pack.videos), True) if pack else (None, [], False)

    def _unchanged(self, known: Sequence[PackedVideo]) -> dict[str, PackedVideo]:
        """Those whose files are as they were, with the labels that they have now."""
        now = {video.path: video for video in self.catalog.videos}
        return {
            path: dataclasses.replace(packed, video=now[path])
            for path, packed in ((packed.video.path, packed) for packed in known)
            if packed.frames
            and path in now
            and stamp(self.catalog.root / path) == (packed.size, packed.mtime_ns)
        }

    def _trust(self) -> None:
        """Keeps of `done` what is in the shards, the last of which is compared with checksums."""
        last = max((packed.shard for packed in self.done.values()), default=-1)
        self.done = {
            path: packed
            for path, packed in self.done.items()
            if stamp(self.folder / shard_name(packed.shard))[0] >= packed.offset + packed.length
            and (packed.shard < last or self._whole(packed))
        }
        ends = [(packed.shard, packed.offset + packed.length) for packed in self.done.values()]
        self.shards = [0] * (1 + max(ends, default=(-1, 0))[0])
        for shard, end in ends:
            self.shards[shard] = max(self.shards[shard], end)

    def _whole(self, packed: PackedVideo) -> bool:
        pack = Pack(self.folder, self.settings, [packed], self.catalog.root, False)
        return not pack.verify(workers=1)

    def _cut_off(self) -> None:
        """Removes what no line of the journal names."""
        for file in self.folder.glob("shard-*.bin"):
            number = int(file.stem.removeprefix("shard-"))
            if number >= len(self.shards):
                file.unlink()
            elif stamp(file)[0] != self.shards[number]:
                os.truncate(file, self.shards[number])


def encoded_frames(path: Path, settings: PackSettings) -> Iterator[tuple[bytes, ...]]:
    """Every frame of a video and, where it is wanted, its flow, as a shard holds them.

    Raises:
        ReadError: one cannot be decoded.
    """
    frames = every_frame(path, (settings.height, settings.width))
    if not settings.flow:
        yield from ((_encoded(frame, settings),) for frame in frames)
        return
    for frame, flow in every_flow(frames, algorithm(settings.flow)):
        yield _encoded(frame, settings), zlib.compress(flow.data)


def _encoded(frame: np.ndarray, settings: PackSettings) -> bytes:
    cv2 = load_cv2()
    if settings.codec == "raw":
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).tobytes()
    quality = [cv2.IMWRITE_JPEG_QUALITY, settings.quality]
    return cv2.imencode(".jpg", frame, quality)[1].tobytes()


def _check_same_settings(folder: Path, made: PackSettings, asked: PackSettings) -> None:
    if made != asked:
        raise UserError(
            f"{folder} was begun with other settings ({made}) than these ({asked}): "
            "give the same again, or another --out"
        )


def _sync(file: Path) -> None:
    with file.open("rb") as descriptor:
        os.fsync(descriptor)
