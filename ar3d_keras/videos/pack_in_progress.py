"""What of an unfinished or finished pack is kept when it is made on.

The lines of packing.jsonl are believed, but the last shard, which may not have been on the disk yet
when a machine lost its power, only after comparing checksums. A finished pack is compared as a whole.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import Catalog, stamp
from ar3d_keras.videos.pack_containers import container_of
from ar3d_keras.videos.pack_index import (
    INDEX,
    JOURNAL,
    DamagedIndexError,
    PackedVideo,
    PackSettings,
    read_index,
)
from ar3d_keras.videos.pack_journal import read_journal, write_journal
from ar3d_keras.videos.packs import Pack


class PackInProgress:
    """A pack as it is in its folder.

    Attributes:
        catalog: the videos.
        folder: of the pack.
        settings: codec and size.
        container: how videos stand in shards.
        done: `Video.key` -> the videos packed so far, and those that failed in this process.
        shards: bytes of each shard so far.
        damaged: in a finished pack, by key.
        sealed: shards of a finished pack, which stays usable while it gets more videos.
    """

    def __init__(self, catalog: Catalog, folder: Path, settings: PackSettings):
        self.catalog, self.folder, self.settings = catalog, folder, settings
        self.container = container_of(settings)
        self.done: dict[str, PackedVideo] = {}
        self.shards: list[int] = []
        self.damaged: dict[str, PackedVideo] = {}
        self.sealed = 0

    def shard_file(self, number: int) -> Path:
        """The file of a shard."""
        return self.folder / self.settings.shard_name(number)

    def take_over(self, workers: int, reporter: Reporter) -> bool:
        """Keeps what earlier processes packed of these very files; False where that is all.

        Failures are tried again: a permission or a disk may be mended.
        """
        index = self._index(reporter)
        if (self.folder / JOURNAL).is_file():
            made_with, known = read_journal(self.folder)
            known = [packed for packed in known if packed.frames]
            self._keep(made_with, known)
            self._trust()
        elif index:
            known = list(index["videos"])
            self._keep(index["settings"], known)
            self.shards = list(index["shards"])
            self._find_damaged(workers, reporter)
            sizes = [stamp(self.shard_file(n))[0] for n in range(len(self.shards))]
            same = [self.done.get(video.key) for video in self.catalog.videos] == known
            if same and sizes == self.shards:
                return False
        write_journal(self.folder, self.settings, list(self.done.values()))
        self._cut_off()
        return True

    def _index(self, reporter: Reporter) -> dict[str, Any] | None:
        """The content of the index of a finished pack, whose shards may be damaged."""
        if not (self.folder / INDEX).is_file():
            return None
        try:
            index = read_index(self.folder, shards=False)
        except DamagedIndexError:
            reporter.log(f"{self.folder / INDEX} is damaged: every video is packed again")
            return None
        self.sealed = len(index["shards"])
        return index

    def _keep(self, made_with: PackSettings, known: Sequence[PackedVideo]) -> None:
        _check_same_settings(self.folder, made_with, self.settings)
        self.done = self._unchanged(known)
        if known and not self.done:
            raise UserError(
                f"{self.folder} is a pack of other videos than those in {self.catalog.root}: "
                "give another `out`"
            )

    def _find_damaged(self, workers: int, reporter: Reporter) -> None:
        """Compares the checksums of a finished pack; what is damaged is packed again."""
        pack = Pack(self.folder, self.settings, list(self.done.values()), self.catalog.root, False)
        with reporter.bar("checking", len(pack.videos), "videos") as update:
            damaged = pack.verify(workers=workers, progress=update)
        for key, reason in damaged.items():
            reporter.log(f"{key!r} is packed again: {reason}")
            self.damaged[key] = self.done.pop(key)

    def _unchanged(self, known: Sequence[PackedVideo]) -> dict[str, PackedVideo]:
        """Those whose files are as they were, with the labels that they have now."""
        now = {video.key: video for video in self.catalog.videos}
        return {
            key: dataclasses.replace(packed, video=now[key])
            for key, packed in ((packed.video.key, packed) for packed in known)
            if packed.frames
            and key in now
            and stamp(self.catalog.root / packed.video.path) == (packed.size, packed.mtime_ns)
        }

    def _trust(self) -> None:
        """Keeps of `done` what is in the shards, the last of which is compared with checksums."""
        last = max((packed.shard for packed in self.done.values()), default=-1)
        self.done = {
            path: packed
            for path, packed in self.done.items()
            if stamp(self.shard_file(packed.shard))[0] >= packed.offset + packed.length
            and (packed.shard < last or self._whole(packed))
        }
        ends = [(packed.shard, packed.offset + packed.length) for packed in self.done.values()]
        self.shards = [0] * (1 + max(ends, default=(-1, 0))[0])
        for shard, end in ends:
            self.shards[shard] = max(self.shards[shard], self.container.end(end))
        for shard in range(max(len(self.shards) - 1, min(self.sealed, len(self.shards)))):
            self.shards[shard] += self.container.seal

    def _whole(self, packed: PackedVideo) -> bool:
        pack = Pack(self.folder, self.settings, [packed], self.catalog.root, False)
        return not pack.verify(workers=1)

    def _cut_off(self) -> None:
        """Removes what no line of the journal names."""
        suffix = self.shard_file(0).suffix
        for file in self.folder.glob(f"shard-*{suffix}"):
            number = int(file.stem.removeprefix("shard-"))
            if number >= len(self.shards):
                file.unlink()
            elif stamp(file)[0] != self.shards[number]:
                os.truncate(file, self.shards[number])


def _check_same_settings(folder: Path, made: PackSettings, asked: PackSettings) -> None:
    if made != asked:
        raise UserError(
            f"{folder} was begun with other settings ({made}) than these ({asked}): "
            "give the same again, or another `out`"
        )
