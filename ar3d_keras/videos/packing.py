"""Making packs: every video decoded once, in the catalog's order, so that a pack made in pieces
is the pack made in one go, byte for byte.

While it is being made, packing.jsonl takes a line as soon as a video's bytes are in its shard.
Whoever continues cuts off what no line names, and believes the last shard, which may not have
been on the disk yet when a machine lost its power, only after comparing checksums.
"""

import collections
import contextlib
import dataclasses
import errno
import json
import os
import shutil
import tempfile
import threading
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ar3d_keras import atomic
from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import Catalog, Video, stamp
from ar3d_keras.videos.demo import is_demo
from ar3d_keras.videos.pack_index import (
    INDEX,
    JOURNAL,
    VERSION,
    PackedVideo,
    PackSettings,
    shard_name,
    write_index,
)
from ar3d_keras.videos.packs import Pack, open_pack
from ar3d_keras.videos.reader import ReadError, every_frame, load_cv2

SHARD_BYTES = 1 << 30
# A decoded video waits for its turn in memory up to this size, above it in a file beside the pack.
SPOOL_BYTES = 32 << 20
LOCK = ".lock"
NOT_PACKED = "not packed: the pack was closed before its turn"


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
        folder: where the pack goes; a finished one of the same videos and settings is left.
        settings: codec and size.
        workers: threads that decode; OpenCV does so without Python's global lock.
        reporter: draws the bar and says what cannot be decoded.
        shard_bytes: a shard ends before the video that would make it larger; a single video
            that is larger fills one of its own.

    Raises:
        UserError: the folder holds something else, a pack with other settings or of other
            videos, the disk is full, or no video can be decoded.
    """
    with _only_one(folder, reporter):
        if (folder / INDEX).is_file():
            pack = open_pack(folder)
            _refuse_other(folder, pack.settings, settings)
            _refuse_changed(folder, catalog, pack.videos, whole=True)
            if not _reopen(pack):
                return pack
        packing = _Packing(catalog, folder, settings, shard_bytes)
        try:
            packing.take_over()
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
        header = _read_lines(folder / JOURNAL)[0][:1]
        packing = _Packing(catalog, folder, _begun_with(folder, header), SHARD_BYTES)
        packing.take_over()
        if not any(packed.frames for packed in packing.done):
            raise UserError(f"{folder} holds no video yet, so it cannot be closed: remove it")
        for video in catalog.videos[len(packing.done) :]:
            size, mtime_ns = stamp(catalog.root / video.path)
            packing.done.append(PackedVideo(video, size, mtime_ns, reason=NOT_PACKED))
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
            reporter.say(f"another process is packing into {folder}: waiting until it ends")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Packing:
    """A pack that is being made.

    Attributes:
        done: the videos packed so far, in the catalog's order.
        shards: bytes of each shard so far.
    """

    def __init__(self, catalog: Catalog, folder: Path, settings: PackSettings, shard_bytes: int):
        self.catalog, self.folder, self.settings = catalog, folder, settings
        self.shard_bytes = shard_bytes
        self.done: list[PackedVideo] = []
        self.shards: list[int] = []

    def run(self, workers: int, reporter: Reporter) -> None:
        """Packs what is left."""
        stop = threading.Event()
        todo = self.catalog.videos[len(self.done) :]
        if self.done:
            reporter.say(f"continuing after {len(self.done)} of {len(self.catalog)} videos")
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
        if not any(packed.frames for packed in self.done):
            raise UserError(
                f"no video of {self.catalog.root} can be decoded (first: "
                f"{self.done[0].video.path}: {self.done[0].reason}): replace or remove them"
            )
        self.finish()

    def finish(self) -> None:
        """Writes the index, after which the journal is of no use."""
        if self.shards:
            _sync(self.folder / shard_name(len(self.shards) - 1))
        root = self.catalog.root
        write_index(self.folder, self.settings, self.done, self.shards, root, is_demo(root))
        (self.folder / JOURNAL).unlink()

    def _decode(
        self, video: Video, stop: threading.Event
    ) -> tuple[PackedVideo, tempfile.SpooledTemporaryFile]:
        """One video's bytes, table included; in a thread of the pool."""
        size, mtime_ns = stamp(self.catalog.root / video.path)
        content = tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=self.folder)  # noqa: SIM115
        table: list[tuple[int, int]] = []
        try:
            for encoded in encoded_frames(self.catalog.root / video.path, self.settings):
                if stop.is_set():
                    break
                content.write(encoded)
                table.append((len(encoded), zlib.crc32(encoded)))
        except ReadError as error:
            content.truncate(0)
            return PackedVideo(video, size, mtime_ns, reason=str(error)), content
        except BaseException:
            content.close()
            raise
        tail = np.array(table, "<u4").tobytes()
        content.write(tail)
        packed = PackedVideo(
            video, size, mtime_ns, len(table), length=content.tell(), crc=zlib.crc32(tail)
        )
        return packed, content

    def _append(self, packed: PackedVideo, content, journal) -> None:
        """First the bytes, then the line that says they are there."""
        if packed.frames:
            if not self.shards or self.shards[-1] + packed.length > self.shard_bytes:
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
        journal.write(_line(packed.to_json()))
        journal.flush()
        self.done.append(packed)

    def take_over(self) -> None:
        """Goes on from what an earlier process packed, or begins the journal."""
        journal = self.folder / JOURNAL
        lines, whole = _read_lines(journal) if journal.is_file() else ([], 0)
        header = {"version": VERSION, "settings": vars(self.settings)}
        if not lines:
            journal.write_text(_line(header), encoding="ascii")
        else:
            _refuse_other(self.folder, _begun_with(self.folder, lines), self.settings)
            self.done = [PackedVideo.from_json(line) for line in lines[1:]]
            _refuse_changed(self.folder, self.catalog, self.done, whole=False)
            self._trust()
            kept = [header, *(packed.to_json() for packed in self.done)]
            if len(kept) < len(lines) or whole < journal.stat().st_size:
                _rewrite(journal, kept)
        self._cut_off()

    def _trust(self) -> None:
        """Keeps of `done` what is in the shards, the last of which is compared with checksums."""
        last = max((packed.shard for packed in self.done), default=-1)
        for place, packed in enumerate(self.done):
            file = self.folder / shard_name(packed.shard)
            there = not packed.frames or (
                stamp(file)[0] >= packed.offset + packed.length
                and (packed.shard < last or self._whole(packed))
            )
            if not there:
                del self.done[place:]
                break
        self.shards = []
        for packed in self.done:
            if packed.frames:
                self.shards[packed.shard :] = [packed.offset + packed.length]

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


def encoded_frames(path: Path, settings: PackSettings) -> Iterator[bytes]:
    """Every frame of a video as a shard holds it. Raises ReadError."""
    cv2 = load_cv2()
    for frame in every_frame(path, (settings.height, settings.width)):
        if settings.codec == "raw":
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).tobytes()
        else:
            quality = [cv2.IMWRITE_JPEG_QUALITY, settings.quality]
            yield cv2.imencode(".jpg", frame, quality)[1].tobytes()


def _begun_with(folder: Path, lines: Sequence[dict]) -> PackSettings:
    """What the first line of a journal says."""
    version = lines[0].get("version") if lines else None
    if version != VERSION:
        raise UserError(
            f"{folder} was begun as a pack of version {version} and this ar3d_keras writes "
            f"version {VERSION}: remove it and pack again"
        )
    return PackSettings(**lines[0]["settings"])


def _reopen(pack: Pack) -> bool:
    """Makes a pack that was closed before its end unfinished again; False where it is whole."""
    packed = [packed for packed in pack.videos if packed.reason != NOT_PACKED]
    if len(packed) < len(pack.videos):
        header = {"version": VERSION, "settings": vars(pack.settings)}
        _rewrite(pack.root / JOURNAL, [header, *(one.to_json() for one in packed)])
        (pack.root / INDEX).unlink()
        return True
    (pack.root / JOURNAL).unlink(missing_ok=True)  # killed between index and journal
    return False


def _refuse_other(folder: Path, made: PackSettings, asked: PackSettings) -> None:
    if made != asked:
        raise UserError(
            f"{folder} was begun with other settings ({made}) than these ({asked}): "
            "give the same again, or another --out"
        )


def _refuse_changed(
    folder: Path, catalog: Catalog, done: Sequence[PackedVideo], *, whole: bool
) -> None:
    """Refuses to go on where the videos are not those of the first packing."""
    listed = catalog.videos if whole else catalog.videos[: len(done)]
    for packed, video in zip(done, listed, strict=False):
        now = stamp(catalog.root / video.path)
        if packed.video != video or (packed.size, packed.mtime_ns) != now:
            raise UserError(
                f"{catalog.root} has changed since {folder} was begun (first at {video.path}): "
                "remove the pack and make it again, or give another --out"
            )
    if len(done) != len(listed):
        raise UserError(
            f"{folder} was made of {len(done)} videos and {catalog.root} has {len(catalog)}: "
            "remove the pack and make it again, or give another --out"
        )


def _line(value: dict) -> str:
    """A line of the journal, which shows where it was torn or damaged."""
    text = json.dumps(value)
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def _read_lines(file: Path) -> tuple[list[dict], int]:
    """The whole lines from the front of a journal, and how many bytes they take."""
    values, size = [], 0
    for line in file.read_bytes().splitlines(keepends=True):
        check, _, text = line.partition(b" ")
        if not line.endswith(b"\n") or check != b"%08x" % zlib.crc32(text[:-1]):
            break
        values.append(json.loads(text))
        size += len(line)
    return values, size


def _rewrite(journal: Path, values: Sequence[dict]) -> None:
    atomic.write_text(journal, "".join(map(_line, values)))


def _sync(file: Path) -> None:
    with file.open("rb") as descriptor:
        os.fsync(descriptor)
