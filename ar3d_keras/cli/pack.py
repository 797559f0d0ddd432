"""Decode and resize every video once, into a pack that trains at the speed of memory.

ar3d pack --data data/UCF-101 --out data/UCF-101-pack                 the same command continues a stopped pack
python train.py --attention --data data/UCF-101-pack                  the same clips as from the videos, bit for bit
ar3d pack --data data/UCF-101 --out data/small --codec jpeg           a quarter of the disk space or less
ar3d pack --data data/UCF-101 --out data/flow --flow dis              with optical flow, for two_stream and fused3d
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ar3d_keras.cli.options import parse
from ar3d_keras.config import Flow, TrainConfig, from_json
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError
from ar3d_keras.presets import PRESETS

if TYPE_CHECKING:
    from ar3d_keras.videos.packs import Pack


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """Which videos, where to, and how."""

    data: Path
    """A folder of class folders, a CSV, or a folder with a labels.csv in it."""
    out: Path
    """The pack's folder: new, empty, or an unfinished pack, which is continued."""
    codec: Literal["raw", "jpeg"] = "raw"
    """`raw`: exactly the pixels of the videos, 66 kB per frame at 128x171. `jpeg`: about a fifth of that, slower to read, nearly the same pixels."""
    quality: int = 95
    """JPEG quality, 1 to 100."""
    resize: tuple[int, int] | None = None
    """Height and width of the frames; a run that uses the pack must have the same. Default: the default of train.py, 128 171."""
    stride: int = 4
    """The --stride of the runs that will use the pack, for the record. Every frame is kept, so runs with another stride can use the pack too."""
    flow: Flow = "none"
    """Compute optical flow too, with this algorithm (the default of train.py is `dis`), for the networks that use it. Other networks ignore it."""
    roi: tuple[float, float, float, float] | None = None
    """As in train.py: left, top, right and bottom edge of the part of each frame that is used; a run that uses the pack must have the same."""
    segments: Literal["strict", "clip"] = "strict"
    """As in train.py: `strict` refuses segments that end beyond their file or overlap one of another class, `clip` cuts them."""
    background: str | None = None
    """As in train.py: add a class of this name, drawn from the stretches that no segment covers."""
    group_by: str | None = None
    """As --group-by of train.py: the rule that finds the recording of each video; the pack keeps the groups."""
    skip: Path | None = None
    """As in train.py: leave out the videos that this CSV names."""
    allow_outside: bool = False
    """A CSV may name videos outside its folder."""
    workers: int | None = None
    """Decoding threads. Default: one per CPU core."""
    close: bool = False
    """Finish an unfinished pack with the videos that it has; the others are listed as not packed."""


OPTIONS = PackOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct."""
    options = parse(PackOptions, arguments, verb="pack", text=__doc__)
    _validate(options)
    from ar3d_keras.experiments.configure import default_preset
    from ar3d_keras.videos.background import with_background
    from ar3d_keras.videos.dataset import clip_shape, open_data
    from ar3d_keras.videos.flow import check
    from ar3d_keras.videos.pack_index import PackSettings, is_pack
    from ar3d_keras.videos.packing import close_pack, make_pack
    from ar3d_keras.videos.reader import decoding_threads

    console = Console()
    workers = decoding_threads(options.workers)
    if is_pack(options.data):
        raise UserError(f"`data` {options.data} is a pack: give the videos that it was made from")
    clip = options.segments == "clip"
    catalog = open_data(
        options.data,
        options.group_by,
        clip_segments=clip,
        allow_outside=options.allow_outside,
        skip=options.skip,
    )
    for note in catalog.notes:
        console.log(note)
    if options.out.resolve() == catalog.root:
        raise UserError(f"`out` {options.out} is the folder of the videos: give another")
    # The shared part of a preset; a network's own part would import Keras.
    config = from_json(PRESETS[default_preset(catalog.root)], TrainConfig())
    shape = clip_shape(config.data)
    size = options.resize or (shape.resize_height, shape.resize_width)
    if options.background:
        catalog = with_background(
            catalog, options.background, shape, seed=0, workers=workers, reporter=console
        )
    quality = options.quality if options.codec == "jpeg" else None
    try:
        if options.close:
            pack = close_pack(catalog, options.out, reporter=console)
        else:
            flow = None if options.flow == "none" else options.flow
            if flow:
                check(flow, size)
            settings = PackSettings(
                options.codec, *size, quality, options.stride, flow, options.roi
            )
            pack = make_pack(
                catalog,
                options.out,
                settings,
                workers=workers,
                reporter=console,
                clip_segments=clip,
            )
    except KeyboardInterrupt:
        console.log("stopped; the same command continues")
        raise
    _log(pack, console)


def _validate(options: PackOptions) -> None:
    from ar3d_keras.videos.region import check_region

    if not 1 <= options.quality <= 100:
        raise UserError(f"`quality` {options.quality} must be 1 to 100")
    if options.roi:
        check_region(options.roi)
    if options.stride < 1:
        raise UserError(f"`stride` {options.stride} must be at least 1")
    if options.resize and not all(1 <= side <= 8192 for side in options.resize):
        raise UserError(f"`resize` {options.resize[0]} {options.resize[1]} must be 1 to 8192 each")


def _log(pack: "Pack", console: Console) -> None:
    from ar3d_keras.videos.pack_index import NOT_PACKED

    left_out = [packed for packed in pack.videos if packed.reason is not None]
    failed = [packed for packed in left_out if packed.reason != NOT_PACKED]
    for packed in failed:
        console.log(f"{packed.video.path!r}: {packed.reason}")
    for packed in pack.videos:
        if packed.damage:
            console.log(f"{packed.video.path!r} is damaged: {packed.damage}")
    good = len(pack.videos) - len(left_out)
    frames = sum(packed.frames for packed in pack.videos)
    console.log(
        f"{pack.root}: {good} videos, {frames:,} frames, {pack.bytes / 1e9:.2f} GB "
        f"({pack.settings})"
    )
    if failed:
        console.log(f"{len(failed)} of {len(pack.videos)} videos cannot be decoded (named above)")
    if len(left_out) > len(failed):
        console.log(
            f"{len(left_out) - len(failed)} of {len(pack.videos)} videos are not packed: "
            "the same command without --close packs them"
        )
