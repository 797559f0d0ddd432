"""Decode every video once, resized, into a pack that trains at the speed of memory.

ar3d pack --data data/UCF-101 --out data/UCF-101-pack                 stopped or killed, it goes on
python train.py --attention --data data/UCF-101-pack                  as from the videos, bit for bit
ar3d pack --data data/UCF-101 --out data/small --codec jpeg           a quarter of the disk or less
ar3d pack --data data/UCF-101 --out data/flow --flow dis              with optical flow, for two_stream and fused3d
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ar3d_keras.cli.options import parse
from ar3d_keras.config import PRESETS, Flow, Range, TrainConfig, from_json
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """Which videos, where to, and how."""

    data: Path
    """A folder of class folders, a CSV, or a folder with a labels.csv in it."""
    out: Path
    """The pack's folder: new, empty, or a pack that was not finished, which goes on."""
    codec: Literal["raw", "jpeg"] = "raw"
    """`raw`: the very pixels that training from the videos sees, 66 kB a frame at 128x171. `jpeg`: about a fifth of that, slower to read, and nearly the same pixels."""
    quality: int = 95
    """Of the JPEGs, 1 to 100."""
    resize: tuple[int, int] | None = None
    """Height and width of the frames; a run's must be the same. Default: what train.py resizes to by default, 128 171."""
    stride: int = 4
    """For the record: the --stride of the runs it is meant for. Every frame is kept, since a window may start at any, so runs with another stride can use the pack too."""
    flow: Flow = "none"
    """Compute optical flow too, for the networks that see it, with this algorithm (train.py's default is `dis`), so that training need not. Other networks use the pack as if it had none."""
    workers: int | None = None
    """Threads that decode. Default: one per core."""
    close: bool = False
    """Finish an unfinished pack with the videos that it holds; the others are listed as not packed."""


OPTIONS = PackOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct."""
    options = parse(PackOptions, arguments, verb="pack", text=__doc__)
    _validate(options)
    from ar3d_keras.experiments.configure import default_preset
    from ar3d_keras.videos.catalog import open_catalog
    from ar3d_keras.videos.dataset import clip_shape
    from ar3d_keras.videos.flow import check
    from ar3d_keras.videos.pack_index import PackSettings, is_pack
    from ar3d_keras.videos.packing import close_pack, make_pack
    from ar3d_keras.videos.reader import decoding_threads

    console = Console()
    workers = decoding_threads(options.workers)
    if is_pack(options.data):
        raise UserError(f"`data` {options.data} is a pack: give the videos it was made of")
    catalog = open_catalog(options.data)
    if options.out.resolve() == catalog.root:
        raise UserError(f"`out` {options.out} is the folder of the videos: give another")
    # What a preset changes for all networks; a network's own part would import Keras.
    config = from_json(PRESETS[default_preset(catalog.root)], TrainConfig())
    shape = clip_shape(config.data)
    size = options.resize or (shape.resize_height, shape.resize_width)
    quality = options.quality if options.codec == "jpeg" else None
    try:
        if options.close:
            pack = close_pack(catalog, options.out, reporter=console)
        else:
            flow = None if options.flow == "none" else options.flow
            if flow:
                check(flow, size)
            settings = PackSettings(options.codec, *size, quality, options.stride, flow)
            pack = make_pack(catalog, options.out, settings, workers=workers, reporter=console)
    except KeyboardInterrupt:
        console.log("stopped; the same command goes on from here")
        raise
    _log(pack, console)


def _validate(options: PackOptions) -> None:
    Range(1, 100).check("quality", options.quality)
    Range(1).check("stride", options.stride)
    if options.resize and not all(1 <= side <= 8192 for side in options.resize):
        raise UserError(f"`resize` {options.resize[0]} {options.resize[1]} must be 1 to 8192 each")


def _log(pack, console: Console) -> None:
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
