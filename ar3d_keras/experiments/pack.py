"""A pack of a data set: every frame, decoded and resized once."""

import os
from pathlib import Path
from typing import Literal

from ar3d_keras.config import Flow, TrainConfig, check_choice, from_json
from ar3d_keras.console import Console
from ar3d_keras.distributed.workers import check_on
from ar3d_keras.errors import UserError
from ar3d_keras.experiments.configure import default_preset
from ar3d_keras.presets import PRESETS
from ar3d_keras.progress import Reporter
from ar3d_keras.videos import remote
from ar3d_keras.videos.background import with_background
from ar3d_keras.videos.dataset import clip_shape, open_data
from ar3d_keras.videos.flow import check as check_flow
from ar3d_keras.videos.isolation import Limits
from ar3d_keras.videos.pack_index import NOT_PACKED, PackSettings, is_pack
from ar3d_keras.videos.packing import close_pack, make_pack
from ar3d_keras.videos.packs import Pack
from ar3d_keras.videos.reader import decoding_threads
from ar3d_keras.videos.region import check_region

Codec = Literal["raw", "jpeg"]
Container = Literal["shards", "webdataset"]
QUALITY = 95  # of JPEGs; more than 95 gives larger files of nearly the same pixels


def pack(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    codec: Codec = "raw",
    quality: int | None = None,
    resize: tuple[int, int] | None = None,
    stride: int = 4,
    flow: Flow = "none",
    roi: tuple[float, float, float, float] | None = None,
    segments: Literal["strict", "clip"] = "strict",
    background: str | None = None,
    group_by: str | None = None,
    skip: str | os.PathLike[str] | None = None,
    allow_outside: bool = False,
    decode_seconds: float = Limits.seconds,
    decode_memory: float = Limits.gigabytes,
    workers: int | None = None,
    close: bool = False,
    container: Container = "shards",
    on: str | None = None,
    reporter: Reporter | None = None,
) -> Pack:
    """Decodes and resizes every video of a data set; the same call continues a stopped pack.

    Args:
        data: a folder of class folders, a CSV, or a folder with a labels.csv in it.
        out: the pack's folder: new, empty, or an unfinished pack.
        codec: raw keeps exactly the pixels of the videos; jpeg takes about a fifth of the space.
        quality: of the JPEGs, 1 to 100; None: QUALITY.
        resize: height and width of the frames; None: those of training.
        stride: of the runs that will use the pack, for the record.
        flow: the algorithm of the optical flow to compute too.
        roi: as for `train`, like the five options below.
        segments: strict or clip.
        background: the name of a class to add.
        group_by: the rule of the groups, which the pack keeps.
        skip: a CSV of videos to leave out.
        allow_outside: whether a CSV may name videos outside its folder.
        decode_seconds: how long a decoder may take without a sign of life, see `isolation.Limits`.
        decode_memory: gigabytes that the decoding of one file may take.
        workers: decoding threads, or Ray actors with `on`; None: one per core.
        close: finish an unfinished pack with the videos that it has.
        container: shards, or webdataset for tar files that WebDataset reads too, see docs/scale.md.
        on: where the videos are decoded. None: in this process; ray: in the Ray cluster of
            RAY_ADDRESS, or a local one; ray://HOST:PORT: in a cluster. The pack is the same.
        reporter: shows progress and the result; None: prints it.

    Returns:
        The pack.

    Raises:
        UserError: an option is out of range, the data cannot be used, the folder holds something
            else, or the disk is full.
        KeyboardInterrupt: the same call continues.
    """
    data, out, reporter = Path(data), Path(out), reporter or Console()
    _check_options(codec, container, quality, resize, stride, flow, roi)
    threads, limits = decoding_threads(workers), Limits(decode_seconds, decode_memory)
    check_on(on)
    if is_pack(data):
        raise UserError(f"`data` {data} is a pack: give the videos that it was made from")
    clip = segments == "clip"
    catalog = open_data(data, group_by, clip_segments=clip, allow_outside=allow_outside, skip=skip)
    for note in catalog.notes:
        reporter.log(note)
    if remote.is_remote(out):
        raise UserError(
            f"`out` {remote.address(out)} is an object store, to which nothing can be appended: pack "
            "into a local folder and copy that"
        )
    if out.resolve() == catalog.root:
        raise UserError(f"`out` {out} is the folder of the videos: give another")
    # The shared part of a preset; a network's own part would import Keras.
    config = from_json(PRESETS[default_preset(catalog.root)], TrainConfig())
    shape = clip_shape(config.data)
    size = resize or (shape.resize_height, shape.resize_width)
    if background:
        catalog = with_background(
            catalog, background, shape, seed=0, workers=threads, limits=limits, reporter=reporter
        )
    try:
        if close:
            packed = close_pack(catalog, out, reporter=reporter)
        else:
            algorithm = None if flow == "none" else flow
            if algorithm:
                check_flow(algorithm, size)
            jpeg_quality = (quality or QUALITY) if codec == "jpeg" else None
            settings = PackSettings(codec, *size, jpeg_quality, stride, algorithm, roi, container)
            packed = make_pack(
                catalog,
                out,
                settings,
                workers=workers,
                reporter=reporter,
                clip_segments=clip,
                limits=limits,
                on=on,
            )
    except KeyboardInterrupt:
        reporter.log("stopped; the same command continues")
        raise
    _log(packed, reporter)
    return packed


def _check_options(
    codec: Codec,
    container: Container,
    quality: int | None,
    resize: tuple[int, int] | None,
    stride: int,
    flow: Flow,
    roi: tuple[float, float, float, float] | None,
) -> None:
    check_choice("codec", codec, Codec)
    check_choice("container", container, Container)
    check_choice("flow", flow, Flow)
    if quality is not None and codec == "raw":
        raise UserError("`quality` needs `codec` jpeg")
    if quality is not None and not 1 <= quality <= 100:
        raise UserError(f"`quality` {quality} must be 1 to 100")
    if roi:
        check_region(roi)
    if stride < 1:
        raise UserError(f"`stride` {stride} must be at least 1")
    if resize and not all(1 <= side <= 8192 for side in resize):
        raise UserError(f"`resize` {resize[0]} {resize[1]} must be 1 to 8192 each")


def _log(packed: Pack, reporter: Reporter) -> None:
    left_out = [video for video in packed.videos if video.reason is not None]
    failed = [video for video in left_out if video.reason != NOT_PACKED]
    for video in failed:
        reporter.log(f"{video.video.path!r}: {video.reason}")
    for video in packed.videos:
        if video.damage:
            reporter.log(f"{video.video.path!r} is damaged: {video.damage}")
    good = len(packed.videos) - len(left_out)
    frames = sum(video.frames for video in packed.videos)
    reporter.log(
        f"{packed.root}: {good} videos, {frames:,} frames, {packed.bytes / 1e9:.2f} GB "
        f"({packed.settings})"
    )
    if failed:
        reporter.log(
            f"{len(failed)} of {len(packed.videos)} videos cannot be decoded (named above)"
        )
    if len(left_out) > len(failed):
        reporter.log(
            f"{len(left_out) - len(failed)} of {len(packed.videos)} videos are not packed: "
            "the same command without --close packs them"
        )
