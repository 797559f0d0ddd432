"""Making packs: every video decoded once, in an order that the paths decide, so that a pack made
in pieces is the pack made in one go, byte for byte.

While it is being made, packing.jsonl takes a line as soon as a video's bytes are in its shard.
Whoever continues cuts off what no line names; see `pack_in_progress`.
"""

import collections
import contextlib
import dataclasses
import errno
import functools
import hashlib
import io
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO

from ar3d_keras.distributed.workers import WithFile, WorkerError, Workers, check_on, open_workers
from ar3d_keras.errors import UserError
from ar3d_keras.locking import LockedError, locked
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import Catalog, Video, stamp
from ar3d_keras.videos.demo import is_demo
from ar3d_keras.videos.isolation import Limits
from ar3d_keras.videos.pack_containers import check_container, copy
from ar3d_keras.videos.pack_in_progress import PackInProgress
from ar3d_keras.videos.pack_index import (
    INDEX,
    JOURNAL,
    NOT_PACKED,
    PackedVideo,
    PackSettings,
    write_index,
)
from ar3d_keras.videos.pack_journal import line, read_journal
from ar3d_keras.videos.pack_worker import PackWorker
from ar3d_keras.videos.packs import Pack, open_pack
from ar3d_keras.videos.reader import decoding_threads

SHARD_BYTES = 1 << 30
LOCK = ".lock"


def make_pack(
    catalog: Catalog,
    folder: Path,
    settings: PackSettings,
    *,
    workers: int | None,
    reporter: Reporter,
    shard_bytes: int = SHARD_BYTES,
    clip_segments: bool = False,
    limits: Limits | None = None,
    on: str | None = None,
) -> Pack:
    """Packs the videos of a catalog, or goes on where that was stopped; names what it cannot decode.

    Args:
        catalog: the videos.
        folder: where the pack goes; in one that is there, only videos that are new, changed,
            damaged or could not be decoded are packed, and what nothing names any more keeps its
            bytes. Damaged ones are mended in their place.
        settings: codec and size.
        workers: threads that decode; OpenCV does so without Python's global lock. With `on`: Ray
            actors that decode. None: one for each core.
        reporter: draws the bar and says what cannot be decoded.
        shard_bytes: a shard ends before the video that would make it larger; a single video
            that is larger fills one of its own.
        clip_segments: whether a segment may end beyond its file.
        limits: on the decoding of one file; None: the defaults.
        on: where the videos are decoded, see `workers.check_on`. It changes no byte of the pack.

    Raises:
        UserError: the folder holds something else, a pack with other settings or of other
            videos altogether, the disk is full, a segment is beyond its file, or no video can
            be decoded.
    """
    check_on(on)
    check_container(settings)
    threads = decoding_threads(workers)
    with _only_one(folder, reporter):
        packing = _Packing(catalog, folder, settings, shard_bytes)
        try:
            if packing.take_over(threads, reporter):
                make = functools.partial(
                    PackWorker,
                    catalog.root,
                    settings,
                    clip_segments,
                    folder.absolute(),
                    limits or Limits(),
                )
                started = open_workers(
                    on, make, workers=workers, threads=threads, reporter=reporter, name=_name
                )
                packing.run(started, reporter)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
                raise
            raise UserError(
                f"{folder} could not be written ({error.strerror}) after {len(packing.done)} of "
                f"{len(catalog)} videos, which are kept: make room and give the same command "
                "again, or close the pack as it is with `close`"
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
        packing.take_over(1, reporter)
        if not packing.done:
            raise UserError(f"{folder} holds no video yet, so it cannot be closed: remove it")
        for video in itertools.chain.from_iterable(packing.todo):
            there = stamp(catalog.root / video.path)
            packing.done[video.key] = PackedVideo(video, *there, reason=NOT_PACKED)
        packing.finish()
        return open_pack(folder)


@contextlib.contextmanager
def _only_one(folder: Path, reporter: Reporter) -> Iterator[None]:
    """Makes the folder and keeps other processes out of it; they wait for their turn.

    The lock goes with the process, however that ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {file.name for file in folder.iterdir()}
    except OSError as error:
        raise _not_writable(folder, error) from None
    if names and not names & {LOCK, INDEX, JOURNAL}:
        raise UserError(
            f"{folder} holds other files ({min(names)}): give `out` a folder that is new, empty or "
            "a pack"
        )
    with contextlib.ExitStack() as stack:
        waiting = False
        while True:
            try:
                stack.enter_context(locked(folder / LOCK))
                break
            except OSError as error:
                raise _not_writable(folder, error) from None
            except LockedError as other:
                if not waiting:
                    reporter.log(f"{other} is packing into {folder}: waiting until it ends")
                waiting = True
                time.sleep(0.2)
        yield


def _name(videos: Sequence[Video]) -> str:
    return videos[0].path


def _not_writable(folder: Path, error: OSError) -> UserError:
    return UserError(f"{folder} cannot be made or written ({error.strerror})")


class _Packing(PackInProgress):
    """A pack that is being made."""

    def __init__(self, catalog: Catalog, folder: Path, settings: PackSettings, shard_bytes: int):
        super().__init__(catalog, folder, settings)
        self.shard_bytes = shard_bytes

    @property
    def todo(self) -> list[list[Video]]:
        """What is left, by file and region, so that a file with many segments is decoded once.

        The files are well mixed: a pack that is closed early holds videos of every class.
        """
        left: dict[tuple, list[Video]] = collections.defaultdict(list)
        for video in self.catalog.videos:
            if video.key not in self.done:
                left[video.path, video.roi or ()].append(video)
        order = sorted(left, key=lambda k: (hashlib.sha256(os.fsencode(k[0])).digest(), k[1]))
        return [left[unit] for unit in order]

    def run(self, workers: Workers, reporter: Reporter) -> None:
        """Packs what is left."""
        begun = time.perf_counter()
        todo, before = self.todo, len(self.done)
        if self.done:
            reporter.log(f"continuing after {len(self.done)} of {len(self.catalog)} videos")
        with (
            reporter.bar("packing", len(self.catalog), "videos") as update,
            (self.folder / JOURNAL).open("a", encoding="ascii") as journal,
            workers,
            contextlib.closing(workers.map(todo)) as results,
        ):
            update(len(self.done))
            for videos, result in results:
                packed_videos, content = self._of_result(videos, result)
                with content:
                    content.seek(0)
                    for packed in packed_videos:
                        self._append(packed, content, journal)
                        update(len(self.done))
        seconds = time.perf_counter() - begun
        made = len(self.done) - before
        reporter.log(
            f"packed {made} videos in {seconds:.1f} s, {made / seconds:.1f} videos/s, "
            f"{workers.size} worker(s)"
        )
        if not self.shards:
            (self.folder / JOURNAL).unlink()
            path, failed = next(iter(self.done.items()))
            raise UserError(
                f"no video of {self.catalog.root} can be decoded (first: {path}: "
                f"{failed.reason}): replace or remove them"
            )
        self.finish()

    def _of_result(
        self, videos: Sequence[Video], result: Future
    ) -> tuple[Sequence[PackedVideo], IO[bytes]]:
        """The packed videos of a file and their bytes; the reason where its workers died."""
        try:
            done: WithFile[list[PackedVideo]] = result.result()
        except WorkerError as error:
            there = stamp(self.catalog.root / videos[0].path)
            return [PackedVideo(v, *there, reason=str(error)) for v in videos], io.BytesIO()
        return done.value, done.file

    def finish(self) -> None:
        """Writes the index, after which the journal is of no use."""
        if len(self.shards) > self.sealed:
            self._seal()
        for number, size in enumerate(self.shards):
            file = self.shard_file(number)
            if stamp(file)[0] != size:  # cut off, and what was there is of no video any more
                file.touch()
                os.truncate(file, size)
        if self.shards:
            _sync(self.shard_file(len(self.shards) - 1))
        root = self.catalog.root
        videos = [self.done[video.key] for video in self.catalog.videos]
        write_index(self.folder, self.settings, videos, self.shards, root, is_demo(root))
        (self.folder / JOURNAL).unlink()

    def _append(self, packed: PackedVideo, content, journal) -> None:
        """First the bytes, then the line that says they are there."""
        before = self.damaged.get(packed.video.key)
        if before and (before.length, before.crc) == (packed.length, packed.crc):
            packed = dataclasses.replace(packed, shard=before.shard, offset=before.offset)
            self._mend(packed, content)
        elif packed.frames:
            full = self.shards and self.shards[-1] + packed.length > self.shard_bytes
            if full or len(self.shards) == self.sealed:
                if len(self.shards) > self.sealed:
                    self._seal()
                if self.shards:
                    _sync(self.shard_file(len(self.shards) - 1))
                self.shards.append(0)
            number, offset = len(self.shards) - 1, self.shards[-1]
            file = self.shard_file(number)
            try:
                with file.open("ab") as shard:
                    lead, length = self.container.write(packed, content, shard)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.truncate(file, offset)  # gives a full disk back what the index needs
                raise
            packed = dataclasses.replace(packed, shard=number, offset=offset + lead, length=length)
            self.shards[-1] = self.container.end(packed.offset + length)
        journal.write(line(packed))
        journal.flush()
        self.done[packed.video.key] = packed

    def _seal(self) -> None:
        """Ends the last shard."""
        if self.container.seal:
            self.shards[-1] += self.container.seal
            os.truncate(self.shard_file(len(self.shards) - 1), self.shards[-1])

    def _mend(self, packed: PackedVideo, content: IO[bytes]) -> None:
        """Writes the bytes of a damaged video where they were."""
        file = self.shard_file(packed.shard)
        with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as shard:
            shard.seek(packed.offset)
            copy(content, shard, packed.length)
            shard.flush()
            os.fsync(shard.fileno())


def _sync(file: Path) -> None:
    with file.open("rb") as descriptor:
        os.fsync(descriptor)
