"""The worker of a pack: decodes the videos of one file into the bytes that a shard holds."""

import collections
import contextlib
import dataclasses
import math
import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ar3d_keras.distributed.workers import WithFile
from ar3d_keras.videos.catalog import Video, stamp
from ar3d_keras.videos.examination import isolated_index
from ar3d_keras.videos.file_scanner import content_hash
from ar3d_keras.videos.isolation import Isolation, Limits
from ar3d_keras.videos.pack_frames import Table, encoded_frames, timed_parts
from ar3d_keras.videos.pack_index import PackedVideo, PackSettings, clock_of
from ar3d_keras.videos.reader import ReadError, damage, frame_index
from ar3d_keras.videos.segments import check_inside, ends, starts, stretch

# A decoded video waits for its turn in memory up to this size, above it in a file.
SPOOL_BYTES = 32 << 20


class PackWorker:
    """Decodes files, from any number of threads; a context manager.

    Args:
        root: the folder of the videos.
        settings: codec and size.
        clip_segments: whether a segment may end beyond its file.
        spool: the folder for large decoded videos; the system's own one where that is missing.
        limits: on the decoding of one file.
    """

    def __init__(
        self, root: Path, settings: PackSettings, clip_segments: bool, spool: Path, limits: Limits
    ):
        self.root, self.settings, self.clip_segments = root, settings, clip_segments
        self._spool = str(spool) if spool.is_dir() else None
        self._stop = threading.Event()
        self._stack = contextlib.ExitStack()
        self._isolation = Isolation(limits)

    def __enter__(self) -> "PackWorker":
        self._stack.enter_context(self._isolation)
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def __call__(self, videos: Sequence[Video]) -> WithFile[list[PackedVideo]]:
        """The videos of one file, and their bytes one after the other.

        Raises:
            UserError: a segment contains no frame, or ends beyond the file.
        """
        path = self.root / videos[0].path
        size, mtime_ns = stamp(path)
        content = tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=self._spool)  # noqa: SIM115
        try:
            # It counts the frames too, which `every_frame` needs, and a decoder that crashes shows.
            index = isolated_index(self._isolation, path)
            if any(video.is_segment for video in videos):
                found = self._decode_segments(path, videos, content)
            else:
                table = Table(content)
                for parts in encoded_frames(path, self._settings_of(videos[0])):
                    if self._stop.is_set():
                        break
                    table.add(parts, index.times[table.frames])
                table.finish(index.end)
                found = [(videos[0], table)]
            digest, lost = content_hash(path), damage(path)
        except ReadError as error:
            content.truncate(0)
            failed = [PackedVideo(v, size, mtime_ns, reason=str(error)) for v in videos]
            return WithFile(failed, content)
        except BaseException:
            content.close()
            raise
        packed = [
            PackedVideo(
                video,
                size,
                mtime_ns,
                table.frames,
                length=table.length,
                crc=table.crc,
                damage=lost,
                hash=digest,
                clock=clock_of(table.times, table.duration),
            )
            if table.frames
            else PackedVideo(video, size, mtime_ns, reason=f"it lies in a missing part: {lost}")
            for video, table in found
        ]
        return WithFile(packed, content)

    def _settings_of(self, video: Video) -> PackSettings:
        """The settings with the region of a video."""
        return dataclasses.replace(self.settings, roi=video.roi or self.settings.roi)

    def _decode_segments(
        self, path: Path, videos: Sequence[Video], content: IO[bytes]
    ) -> list[tuple[Video, Table]]:
        """Writes the segments of a file, which is decoded once, in the order of their ends.

        Raises:
            ReadError: the file cannot be decoded.
            UserError: a segment contains no frame, or ends beyond the file.
        """
        waiting = collections.deque(sorted(videos, key=lambda video: video.start or 0.0))
        growing: dict[str, tuple[Video, Table]] = {}
        found: dict[str, tuple[Video, Table]] = {}

        def finish(key: str, file_end: float) -> None:
            video, table = found[key] = growing.pop(key)
            start, end = stretch(video, file_end)
            table.finish(end - start)
            table.content.seek(0)
            shutil.copyfileobj(table.content, content, 1 << 20)
            table.content.close()

        last = file_end = 0.0
        try:
            for last, parts in timed_parts(path, self._settings_of(videos[0])):
                if self._stop.is_set():
                    break
                for key in [key for key, (video, _) in growing.items() if ends(video, last)]:
                    finish(key, math.inf)
                while waiting and starts(waiting[0], last):
                    video = waiting.popleft()
                    spool = tempfile.SpooledTemporaryFile(  # noqa: SIM115
                        SPOOL_BYTES // 8, dir=self._spool
                    )
                    growing[video.key] = video, Table(spool)
                    if ends(video, last):
                        finish(video.key, math.inf)
                if growing:
                    encoded = parts()
                    for video, table in growing.values():
                        table.add(encoded, last - (video.start or 0.0))
            # Only this asks for the end of the last frame, which costs another pass.
            file_end = frame_index(path).end if growing else last
            for key in list(growing):
                finish(key, file_end)
        finally:
            for _, table in growing.values():
                table.content.close()
        found |= {video.key: (video, Table(content)) for video in waiting}
        lost = damage(path)
        for video, table in () if self._stop.is_set() else found.values():
            if table.frames or not lost:
                check_inside(
                    video, table.frames, last, file_end, self.root,
                    clip=self.clip_segments or bool(lost),
                )  # fmt: skip
        return list(found.values())
