"""A split whose videos were scanned: the source of clips for training and evaluation."""

import dataclasses
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ar3d_keras.config import AugmentConfig, DataConfig
from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import Catalog, first_names, open_catalog
from ar3d_keras.videos.content import NearDuplicate, load_near_duplicates
from ar3d_keras.videos.flow import check as check_flow
from ar3d_keras.videos.flow_cache import packed_flow
from ar3d_keras.videos.grouping import PARENT, group_videos
from ar3d_keras.videos.isolation import Limits
from ar3d_keras.videos.leak import find_copies, find_near_duplicates
from ar3d_keras.videos.pack_index import MEND, is_pack
from ar3d_keras.videos.packs import Pack, open_pack
from ar3d_keras.videos.reader import decoding_threads
from ar3d_keras.videos.sampling import NOTHING, ClipShape, resize_for
from ar3d_keras.videos.scan import Scan, scan
from ar3d_keras.videos.sources import (
    ClipSource,
    PackSource,
    RandomSampler,
    UniformSampler,
    VideoSource,
)
from ar3d_keras.videos.splits import SPLITS, Split
from ar3d_keras.videos.status import skip_videos

# A pack up to this size is verified completely before it is used, which takes about a second. In a
# larger one each frame is verified when it is first read.
SMALL_PACK = 1 << 30

_REPLACE = "the reasons are named above: replace or remove those files"


@dataclass(frozen=True)
class Dataset:
    """The decodable videos of a split, as sources of clips.

    Attributes:
        split: which video is in which split, undecodable ones included, and which have the same
            bytes (`Split.copies`).
        frames: `Video.key` -> frames that can be decoded.
        unreadable: key -> reason, for the videos that cannot.
        shape: the geometry of the clips.
        pack: the pack that holds the frames; None: they are decoded from the videos.
        damaged: key -> what is missing, for the videos of which only a part can be decoded.
        numbers: key -> the frames of its file, or of what a pack holds of it, that a video consists
            of; a video that is not in here consists of all of them.
        flow: the pack of optical flow in the cache, or None.
    """

    split: Split
    frames: dict[str, int]
    unreadable: dict[str, str]
    shape: ClipShape
    pack: Pack | None = None
    damaged: dict[str, str] = dataclasses.field(default_factory=dict)
    numbers: dict[str, Sequence[int] | np.ndarray] = dataclasses.field(default_factory=dict)
    flow: Pack | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names; labels are indices into them."""
        return self.split.catalog.class_names

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the videos; a pack keeps it, so it is the same for both."""
        if not self.pack:
            return self.split.catalog.fingerprint
        groups = {video.key: video.group for video in self.split.catalog.videos}
        used = [packed for packed in self.pack.videos if packed.video.key in groups]
        videos = (dataclasses.replace(p.video, group=groups[p.video.key]) for p in used)
        sizes = tuple(packed.size for packed in used)
        return dataclasses.replace(self.pack.catalog, videos=tuple(videos), sizes=sizes).fingerprint

    def skipped(self, name: str) -> tuple[tuple[str, str], ...]:
        """(`Video.key`, reason) of the videos of a split that cannot be decoded."""
        return tuple(
            (video.key, self.unreadable[video.key])
            for video in self.split.videos(name)
            if video.key in self.unreadable
        )

    def training(
        self, *, seed: int, flip: bool, augment: AugmentConfig = NOTHING, at_least: int = 0
    ) -> ClipSource:
        """The training videos, with random clips of each in every epoch.

        Args:
            seed: the seed of the run.
            flip: whether half of the clips are mirrored.
            augment: further augmentation.
            at_least: clips of an epoch; every video gives equally many, at least one.
        """
        videos = len(self.split.videos("train")) - len(self.skipped("train"))
        clips = max(1, math.ceil(at_least / max(videos, 1)))
        return self._source("train", RandomSampler(seed, flip, augment, per_video=clips))

    def evaluation(self, name: str, *, clips: int = 1, crops: int = 1) -> ClipSource:
        """The videos of a split, with a fixed grid of clips x crops of each."""
        return self._source(name, UniformSampler(clips, crops))

    def _source(self, name: str, views) -> ClipSource:
        videos = [v for v in self.split.videos(name) if v.key not in self.unreadable]
        rest = videos, self.frames, self.class_names, self.shape, views
        if self.pack:
            return PackSource(self.pack, *rest, numbers=self.numbers)
        if self.flow:
            return PackSource(self.flow, *rest)
        return VideoSource(self.split.catalog.root, *rest, numbers=self.numbers)


def open_data(
    data: str | os.PathLike,
    group_by: str | None = None,
    *,
    clip_segments: bool = False,
    allow_outside: bool = False,
    skip: str | os.PathLike[str] | None = None,
) -> Catalog:
    """Opens the labelled videos at `data`: a pack, or what `open_catalog` reads.

    Args:
        data: a pack, a folder or a CSV.
        group_by: the rule of the groups, see `grouping.group_videos`. With `parent`, videos in
            folders below a class folder are taken too. None: groups are what the data says.
        clip_segments: see `label_csv.read_label_csv`, and the next one.
        allow_outside: whether a CSV may name videos outside its folder.
        skip: a CSV of videos to leave out, see `status.skip_videos`.

    Raises:
        UserError: there is nothing that can be used, or the rule does not fit it.
    """
    if is_pack(Path(data)):
        catalog = dataclasses.replace(open_pack(data).catalog, source=Path(data))
    else:
        catalog = open_catalog(
            data,
            nested=group_by == PARENT,
            clip_segments=clip_segments,
            allow_outside=allow_outside,
        )
    if skip is not None:
        catalog = skip_videos(catalog, skip)
    return catalog if group_by is None else group_videos(catalog, group_by)


def clip_shape(config: DataConfig) -> ClipShape:
    """The geometry of the clips of a configuration."""
    resize = config.resize or resize_for(config.height, config.width)
    flow = None if config.flow == "none" else config.flow
    fps = config.frames / config.clip_seconds if config.clip_seconds else config.fps
    size = config.frames, config.height, config.width, *resize
    return ClipShape(*size, config.stride, flow, fps, config.roi, config.sampling)


def open_dataset(
    split: Split,
    shape: ClipShape,
    *,
    workers: int | None = None,
    reporter: Reporter | None = None,
    splits: Sequence[str] = SPLITS,
    clip_segments: bool = False,
    limits: Limits | None = None,
    strict: bool = False,
) -> Dataset:
    """Scans the videos of a split; logs those that cannot be decoded and those that are copies.

    Args:
        split: which videos.
        shape: the geometry of the clips.
        workers: number of decoding threads; None: one per core.
        reporter: shows progress, skipped and damaged videos, and copies across splits.
        splits: the ones to scan, if not all are needed.
        clip_segments: whether a segment may end beyond its file.
        limits: on the decoding of one file; None: the defaults.
        strict: whether a video that cannot be decoded is an error.

    Raises:
        UserError: a split, or a class in training, has no decodable video left; a pack is
            damaged, has frames of another size, lacks the flow, or its videos have changed since;
            or OpenCV lacks the algorithm of the flow.
    """
    reporter = reporter or Reporter()
    root = split.catalog.root
    catalog = Catalog(root, tuple(video for name in splits for video in split.videos(name)))
    workers = decoding_threads(workers)
    pack = None
    if is_pack(root):
        pack = open_pack(root)
        scanned = _scan_pack(pack, catalog, shape, workers, reporter)
    else:
        if shape.flow:
            check_flow(shape.flow, (shape.resize_height, shape.resize_width))
        with reporter.bar("checking", len(catalog), "videos") as update:
            scanned = scan(
                catalog,
                workers=workers,
                progress=update,
                clip_segments=clip_segments,
                fps=shape.fps,
                limits=limits,
            )
    if strict and scanned.unreadable:
        path, reason = next(iter(scanned.unreadable.items()))
        raise UserError(
            f"{path!r} in {root} cannot be decoded ({reason}), and {len(scanned.unreadable) - 1} "
            "more videos: `strict` allows none"
        )
    split = _with_copies(split, scanned, splits, reporter)
    flow = None
    if shape.flow and not pack and scanned.frames:
        flow = packed_flow(
            split.catalog,
            shape,
            scanned.frames,
            make=set(SPLITS) <= set(splits),
            workers=workers,
            clip_segments=clip_segments,
            limits=limits,
            reporter=reporter,
        )
        if flow is None:
            _log_slow_flow(shape.flow, shape, reporter)
    dataset = Dataset(
        split,
        scanned.frames,
        scanned.unreadable,
        shape,
        pack,
        scanned.damaged,
        scanned.numbers,
        flow,
    )
    for name in splits:
        skipped = dataset.skipped(name)
        for path, reason in skipped:
            reporter.log(f"skipped ({name}): {path!r}: {reason}")
        for video in split.videos(name):
            if damage := scanned.damaged.get(video.key):
                reporter.log(f"damaged ({name}): {video.key!r}: {damage}; the rest is used")
        if skipped and len(skipped) == len(split.videos(name)):
            raise UserError(f"no video of {name} in {root} can be decoded; {_REPLACE}")
    if scanned.unreadable:
        reporter.log(f"{len(scanned.unreadable)} of {len(catalog)} videos cannot be decoded")
    trained = {v.label for v in split.videos("train") if v.key in scanned.frames}
    lost = [label for label in dataset.class_names if label not in trained]
    if "train" in splits and lost:
        raise UserError(
            f"no training video of class {lost[0]!r} in {root} can be decoded; {_REPLACE}"
        )
    return dataset


def _log_slow_flow(flow: str, shape: ClipShape, reporter: Reporter) -> None:
    """Logs that the flow is slow in every epoch."""
    once = "" if shape.fps else f": `ar3d pack --flow {flow}` computes it once"
    reporter.log(f"optical flow ({flow}) is computed as clips are read, which is slow{once}")


def _with_copies(split: Split, scanned: Scan, splits: Sequence[str], reporter: Reporter) -> Split:
    """The split with its videos of equal bytes, which are logged."""
    videos = {name: split.videos(name) for name in splits}
    copies = find_copies(videos, scanned.hashes)
    split = with_near_duplicates(dataclasses.replace(split, copies=copies))
    if copies:
        for line in split.leak.copy_sentences():
            reporter.log(line)
        pairs = [f"{path} = {first}" for path, first in copies]
        reporter.log(f"same bytes: {first_names(pairs)}")
    for line in split.leak.content_sentences():
        reporter.log(line)
    return split


def with_near_duplicates(split: Split, pairs: Sequence[NearDuplicate] | None = None) -> Split:
    """The split with the near-duplicates across its parts.

    Args:
        split: which videos.
        pairs: those of its catalog; None: what `ar3d check` found in the same videos, if it did.
    """
    if pairs is None:
        pairs = load_near_duplicates(split.catalog.content_fingerprint)
    if pairs is None:
        return split
    videos = {name: split.videos(name) for name in SPLITS}
    across = find_near_duplicates(videos, [(pair.one, pair.other) for pair in pairs])
    return dataclasses.replace(split, near_duplicates=across)


def _scan_pack(
    pack: Pack, catalog: Catalog, shape: ClipShape, workers: int, reporter: Reporter
) -> Scan:
    pack.require(shape)
    pack.check_unchanged()
    if shape.flow and shape.fps:
        check_flow(shape.flow, (shape.resize_height, shape.resize_width))
        _log_slow_flow(shape.flow, shape, reporter)
    if pack.bytes <= SMALL_PACK:
        with reporter.bar("checking", len(pack.videos), "videos") as update:
            damaged = pack.verify(workers=workers, progress=update)
        if damaged:
            path, reason = next(iter(damaged.items()))
            raise UserError(
                f"{len(damaged)} of {len(pack.videos)} videos in the pack {pack.root} are damaged "
                f"(first: {path}: {reason}): copy the pack again from where it is whole, or {MEND}"
            )
    return pack.scan(catalog.videos, fps=shape.fps)
