"""`preset` auto: reads the data, starts from a preset and gives the reasons of each choice."""

import statistics
from typing import Any

from ar3d_keras.config import DataConfig
from ar3d_keras.errors import UserError
from ar3d_keras.presets import Choice
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.dataset import open_data
from ar3d_keras.videos.demo import is_demo
from ar3d_keras.videos.examination import measure
from ar3d_keras.videos.flow import FINE
from ar3d_keras.videos.isolation import Isolation, Limits
from ar3d_keras.videos.mirroring import mirrored_classes
from ar3d_keras.videos.pack_index import is_pack
from ar3d_keras.videos.packs import Pack, is_demo_pack, open_pack
from ar3d_keras.videos.reader import ASSUMED_RATE, ReadError

SAMPLED = 40  # videos whose length and size are read
FEW = 2000  # videos; the recipe for few videos was measured on 60 to 181
LONG = 10.0  # seconds; in a longer video an action is a part of it
LONG_RATE = 8.0  # frames a second of clips of long videos
WITHOUT_FLOW = {"model": "compact3d"}


def choose_preset(data: DataConfig) -> Choice:
    """Chooses by the number, length and size of the videos, and by the class names.

    Args:
        data: which videos are used; without `data` the demo set.

    Raises:
        UserError: the data cannot be opened, or none of the videos that are read can be decoded.
    """
    if data.data is None or is_demo(data.data) or is_demo_pack(data.data):
        return Choice("demo", {}, ("the demo set has a preset of its own: demo",))
    catalog = open_data(
        data.data,
        data.group_by,
        clip_segments=data.segments == "clip",
        allow_outside=data.allow_outside,
        skip=data.skip,
    )
    videos, classes = len(catalog), len(catalog.class_names)
    what = f"{videos} videos of {classes} classes, {videos / classes:.0f} a class"
    if videos > FEW:
        return Choice("paper", {}, (f"{what}: more than {FEW}, so preset paper",))
    reasons = [f"{what}: preset small-data, whose network has few weights"]
    sections: dict[str, dict[str, Any]] = {"data": {}}
    limits = Limits(data.decode_seconds, data.decode_memory)
    seconds, (height, width), pack = _measure(catalog, limits)
    if pack:
        size, reason = (height, width), "the pack has this size"
    else:
        size = (128, 96) if height > width else (96, 128)
        reason = "portrait" if height > width else "landscape"
    sections["data"] |= {"height": size[0], "width": size[1], "resize": size}
    reasons.append(f"frames of {width}x{height}: clips of {size[1]}x{size[0]}, {reason}")
    if seconds > LONG:
        sections["data"] |= {"sampling": "stride", "fps": LONG_RATE}
        # Between frames chosen by time, optical flow would be computed anew for every clip.
        sections["model"] = WITHOUT_FLOW
        reasons.append(
            f"{seconds:.1f} seconds a video: windows of {LONG_RATE:g} frames a second, because an "
            "action is a part of so long a video, and the network without optical flow; evaluate "
            "with several clips"
        )
    else:
        reasons.append(f"{seconds:.1f} seconds a video: a clip spans the whole video")
        if pack and pack.settings.flow != FINE:
            sections["model"] = WITHOUT_FLOW
            reasons.append(
                f"the pack has no optical flow {FINE}: the network compact3d, which needs none"
            )
    if pair := mirrored_classes(catalog.class_names):
        reasons.append(f"classes {pair[0]!r} and {pair[1]!r}: no clip is mirrored")
    return Choice("small-data", sections, tuple(reasons))


def _measure(catalog: Catalog, limits: Limits) -> tuple[float, tuple[int, int], Pack | None]:
    """The median seconds of the videos, the median height and width, and the pack if it is one."""
    step = max(1, len(catalog) // SAMPLED)
    videos = catalog.videos[::step]
    if is_pack(catalog.root):
        pack = open_pack(catalog.root)
        frames = [packed.frames for packed in pack.videos if packed.frames]
        if not frames:
            raise UserError(f"no video of {catalog.root} can be decoded")
        size = pack.settings.height, pack.settings.width
        return statistics.median(frames) / ASSUMED_RATE, size, pack
    seconds, sizes = [], []
    with Isolation(limits) as isolation:
        for video in videos:
            try:
                length, size = isolation.call(measure, catalog.root / video.path)
            except ReadError:  # named when the videos are scanned
                continue
            if video.is_segment:
                length = (video.end or length) - (video.start or 0.0)
            seconds.append(length)
            sizes.append(size)
    if not sizes:
        raise UserError(f"none of {len(videos)} videos of {catalog.root} can be decoded")
    height, width = (int(statistics.median(side)) for side in zip(*sizes, strict=True))
    return statistics.median(seconds), (height, width), None
