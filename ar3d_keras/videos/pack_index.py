"""The format of a pack: every frame of a data set, decoded and resized once, in shards.

    P/pack.json           the index: settings, every video with its place, what could not be decoded
    P/shard-00000.bin     one video after another, about 1 GiB a shard; or .tar, see `pack_containers`
    P/packing.jsonl       instead of pack.json while the pack is unfinished (see `packing`)

A video in a shard is its frames (raw: uint8 RGB (height, width, 3); jpeg: one JPEG each), then, if
the pack has optical flow, the flow of each (uint8 dx, dy (height, width, 2), see `flow`, deflated by
zlib), and behind them a table, little-endian uint32 (frames, parts, 2): each frame's length and
CRC-32, and those of its flow. Flow is mostly smooth or none: deflated it is a thirtieth of its size
and exact, with either codec, and a network without flow never reads it. The index holds the table's CRC-32 and, of itself, a SHA-256. So a clip is checked by what it reads,
and nothing ever reads a whole shard.

All frames are kept, because a window may start at any of them: a pack gives the windows and crops
that its videos give and, with codec raw, the same clips bit for bit.
"""

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras import atomic
from ar3d_keras.errors import UserError
from ar3d_keras.videos import remote
from ar3d_keras.videos.catalog import Video, stamp
from ar3d_keras.videos.reader import load_cv2

# 2 added flow, 3 the hash and the damage of each video, 4 segments, times and regions; all are optional when reading.
# 5 has another container; other packs are of version 4, which earlier releases read.
VERSION, VERSIONS = 5, (1, 2, 3, 4, 5)
SHARDS = "shards"
_TICKS = 1_000_000  # a second
INDEX, JOURNAL = "pack.json", "packing.jsonl"
# Why a video is not in a pack that was closed before it was finished.
NOT_PACKED = "not packed: the pack was closed before its turn"

AGAIN = "remove it and pack again"
MEND = "pack again with the same `ar3d pack` command, which mends what is damaged"


@dataclass(frozen=True)
class PackSettings:
    """What decides the bytes of a pack, besides the videos.

    Attributes:
        codec: "raw" or "jpeg".
        height: of every frame, pixels.
        width: of every frame, pixels.
        quality: of the JPEGs, 1 to 100; None with codec raw.
        stride: of the runs it is meant for. It changes no byte of a shard: a window may start
            at any frame, so every frame is kept, and runs with another stride can use it too.
        flow: the algorithm of the optical flow, None: there is none.
        roi: the region of interest of videos that have none of their own, see `region`.
        container: "shards", or "webdataset" for tar files, see `pack_containers`.
    """

    codec: str
    height: int
    width: int
    quality: int | None = None
    stride: int = field(default=4, compare=False)
    flow: str | None = None
    roi: tuple[float, float, float, float] | None = None
    container: str = SHARDS

    def __post_init__(self):
        if self.roi is not None:  # JSON has lists
            object.__setattr__(self, "roi", tuple(self.roi))

    @property
    def version(self) -> int:
        """Of the format."""
        return VERSION if self.container != SHARDS else VERSION - 1

    def to_json(self) -> dict[str, Any]:
        """What `PackSettings(**...)` makes the same of."""
        values = dict(vars(self))
        if self.container == SHARDS:
            del values["container"]
        return values

    def shard_name(self, number: int) -> str:
        """The file of a shard."""
        return f"shard-{number:05d}.{'bin' if self.container == SHARDS else 'tar'}"

    @property
    def parts(self) -> int:
        """Of each frame: itself and, in a pack that has it, its flow."""
        return 2 if self.flow else 1

    def __str__(self) -> str:
        quality = f" quality {self.quality}" if self.quality else ""
        flow = f", flow {self.flow}" if self.flow else ""
        roi = f", region {' '.join(f'{side:g}' for side in self.roi)}" if self.roi else ""
        container = f", {self.container}" if self.container != SHARDS else ""
        return f"{self.codec}{quality}, {self.height}x{self.width}{flow}{roi}{container}"


@dataclass(frozen=True)
class PackedVideo:
    """One video's line in the index.

    Attributes:
        video: path, label, group, split and extra columns, as its catalog had them.
        size: bytes of its file when it was packed, -1 where there was none.
        mtime_ns: when its file had been changed.
        frames: how many there are; 0 where it could not be decoded.
        reason: why it could not be decoded, else None.
        shard: number of the file that holds it.
        offset: of its first byte there.
        length: in bytes, table included.
        crc: CRC-32 of its table.
        damage: what is missing of it, else None; see `inspection`.
        hash: of its file's content (see `file_scanner.content_hash`); None in a pack of version 1 or 2.
        clock: the times of its frames, compressed (see `times`); None in an older pack.
    """

    video: Video
    size: int
    mtime_ns: int
    frames: int = 0
    reason: str | None = None
    shard: int = -1
    offset: int = 0
    length: int = 0
    crc: int = 0
    damage: str | None = None
    hash: str | None = None
    clock: str | None = None

    def times(self) -> tuple[np.ndarray, float]:
        """Seconds since the start of the video, float64 (frames,), and those until its end."""
        assert self.clock is not None, "`Pack.require` refuses a pack without times"
        steps = np.frombuffer(zlib.decompress(base64.b64decode(self.clock)), "<i8")
        times = np.cumsum(steps) / _TICKS
        return times[:-1], float(times[-1])

    def to_json(self) -> dict[str, Any]:
        """Flat; `from_json` is its inverse."""
        names = (name for name in Video.__dataclass_fields__ if name != "row")
        video = {name: getattr(self.video, name) for name in names}
        return {**video, **{k: v for k, v in vars(self).items() if k != "video"}}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "PackedVideo":
        """Raises KeyError, TypeError or ValueError where `values` is no such line."""
        rest = {**values}
        names = [name for name in Video.__dataclass_fields__ if name in rest]
        video = Video(**{name: rest.pop(name) for name in names})
        return cls(video, **rest)


def clock_of(times: Sequence[float], duration: float) -> str:
    """What `PackedVideo.times` decodes, exact to a microsecond: the steps, deflated, in base64."""
    ticks = np.rint(np.append(np.asarray(times, np.float64), duration) * _TICKS)
    steps = np.diff(ticks, prepend=0).astype("<i8")
    return base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode()


def digest(content: dict[str, Any]) -> str:
    """What the index says of itself: SHA-256 over its other entries, 16 hex digits."""
    rest = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:16]


def is_pack(folder: str | os.PathLike) -> bool:
    """Whether `folder` is a pack, finished or not."""
    if remote.is_remote(folder):
        return remote.is_file(Path(folder) / INDEX)
    try:
        return any((Path(folder) / name).is_file() for name in (INDEX, JOURNAL))
    except OSError:
        return False


def write_index(
    folder: Path,
    settings: PackSettings,
    videos: Sequence[PackedVideo],
    shards: Sequence[int],
    source: Path,
    demo: bool,
) -> None:
    """Writes pack.json, whole or not at all: with it a pack is finished.

    Args:
        folder: the pack.
        settings: what it was made with.
        videos: every video, sorted by path.
        shards: bytes of each shard.
        source: the folder of the videos.
        demo: whether that is the built-in demo set.
    """
    content = {
        "version": settings.version,
        "settings": settings.to_json(),
        "source": str(source),
        "demo": demo,
        "opencv": load_cv2().__version__,  # another decodes some codecs to other pixels
        "shards": list(shards),
        "videos": [packed.to_json() for packed in videos],
    }
    atomic.write_json(folder / INDEX, {**content, "sha256": digest(content)}, indent=None)


class DamagedIndexError(UserError):
    """pack.json is not what was written."""


def read_index(folder: Path, *, shards: bool = True) -> dict[str, Any]:
    """The verified content of pack.json, its settings and videos as objects.

    Args:
        folder: the pack.
        shards: whether to check the sizes of the shards too.

    Raises:
        DamagedIndexError: pack.json is damaged.
        UserError: unfinished, of another version, or a shard is missing or cut short.
    """
    try:
        index = folder / INDEX
        text = remote.read_bytes(index) if remote.is_remote(index) else index.read_bytes()
        content = json.loads(text.decode("utf-8"))
        version = content["version"]
    except FileNotFoundError:
        raise UserError(
            f"{folder} is a pack that is not finished: give its `ar3d pack` command again, it "
            "goes on where it stopped, or close it as it is with `ar3d pack --close`"
        ) from None
    except OSError as error:
        raise UserError(f"{folder / INDEX} cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError):
        raise DamagedIndexError(
            f"{folder / INDEX} is damaged: it is not a pack's index; {MEND}"
        ) from None
    if version not in VERSIONS:
        raise UserError(
            f"{folder} is a pack of version {version} and this ar3d_keras reads version "
            f"{VERSION}: {AGAIN}"
        )
    if content.get("sha256") != digest(content):
        raise DamagedIndexError(f"{folder / INDEX} is damaged: its checksum is another; {MEND}")
    try:
        read = _parsed(content)
    except (ValueError, TypeError, KeyError, AttributeError, zlib.error) as error:
        raise DamagedIndexError(f"{folder / INDEX} is damaged ({error}); {MEND}") from None
    for number, size in enumerate(read["shards"] if shards else ()):
        file = folder / read["settings"].shard_name(number)
        there = stamp(file)[0]
        if there != size:
            what = "is missing" if there < 0 else f"has {there} bytes instead of {size}"
            raise UserError(f"{file} {what}: copy the pack again from where it is whole, or {MEND}")
    return read


def _parsed(content: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError, TypeError, KeyError or AttributeError for what no pack has."""
    settings, shards = PackSettings(**content["settings"]), content["shards"]
    sizes = settings.height, settings.width, *shards
    if settings.container not in (SHARDS, "webdataset"):
        raise ValueError("its container is none")
    if settings.codec not in ("raw", "jpeg") or not all(_is_count(size) for size in sizes):
        raise ValueError("its settings or shards are none")
    videos = tuple(PackedVideo.from_json(values) for values in content["videos"])
    for packed in videos:
        _check_video(packed, settings, shards)
    if not isinstance(content["demo"], bool) or "\0" in content["source"]:
        raise ValueError("its source is none")
    return {
        **content, "source": Path(content["source"]), "settings": settings, "videos": videos
    }  # fmt: skip


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_video(packed: PackedVideo, settings: PackSettings, shards: Sequence[int]) -> None:
    video = packed.video
    texts = (
        *((video.path, False), (video.label, False)),
        *((text, True) for text in (video.group, video.split, packed.reason, packed.damage)),
        *((text, True) for text in (packed.hash, packed.clock)),
    )
    for text, may_be_none in texts:
        if not (isinstance(text, str) and "\0" not in text) and not (may_be_none and text is None):
            raise ValueError(f"{text!r} is no text")
    numbers = packed.frames, packed.offset, packed.length, packed.crc
    if not all(_is_count(number) for number in numbers) or not isinstance(video.extra, dict):
        raise ValueError(f"{video.path}: a number is none")
    times = [time for time in (video.start, video.end, *(video.roi or ())) if time is not None]
    if not all(isinstance(time, int | float) for time in times):
        raise ValueError(f"{video.path}: a time or a region is none")
    if (packed.reason is None) != (packed.frames > 0):
        raise ValueError(f"{video.path}: neither frames nor a reason")
    if packed.frames:
        end = packed.offset + packed.length
        least = 8 * settings.parts * packed.frames
        if settings.codec == "raw":
            least += packed.frames * settings.height * settings.width * 3
        if not (_is_count(packed.shard) and packed.shard < len(shards)):
            raise ValueError(f"{video.path}: there is no shard {packed.shard}")
        if end > shards[packed.shard] or packed.length < least:
            raise ValueError(f"{video.path}: it has no room")
    if packed.clock is not None and packed.frames:
        stamps, duration = packed.times()
        if len(stamps) != packed.frames or not duration >= stamps[-1]:
            raise ValueError(f"{video.path}: its times are none")
