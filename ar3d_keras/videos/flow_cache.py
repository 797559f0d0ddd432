"""Optical flow that is computed once: a pack of the videos in the user's cache.

The flow of a clip takes a hundred times as long as its reading from a pack, and every epoch and every
fold of a cross-validation needs it again.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter
from ar3d_keras.videos import remote
from ar3d_keras.videos.cache import cache_folder
from ar3d_keras.videos.catalog import Catalog, stamp
from ar3d_keras.videos.isolation import Limits
from ar3d_keras.videos.pack_index import INDEX, PackSettings
from ar3d_keras.videos.packing import make_pack
from ar3d_keras.videos.packs import Pack, open_pack
from ar3d_keras.videos.reader import load_cv2
from ar3d_keras.videos.sampling import ClipShape

FORMAT = 1  # of the flow and of the name of its folder
LIMIT, SHARE = 16 << 30, 0.2  # bytes of a pack, and of the free space
UNUSED_DAYS = 30  # after which a pack is removed, when another one is made


def packed_flow(
    catalog: Catalog,
    shape: ClipShape,
    frames: Mapping[str, int],
    *,
    make: bool,
    workers: int | None,
    clip_segments: bool,
    limits: Limits | None,
    reporter: Reporter,
) -> Pack | None:
    """The videos of a catalog with their flow.

    Args:
        catalog: all videos of the data set, so that every fold finds the same pack; of files that
            have changed since, another one is made.
        shape: the geometry of the clips, with flow.
        frames: `Video.key` -> frames, of the videos that will be read.
        make: whether a missing pack is made; `frames` then are those of all videos.
        workers: number of decoding threads; None: one per core.
        clip_segments: whether a segment may end beyond its file.
        limits: on the decoding of one file; None: the defaults.
        reporter: shows the progress.

    Returns:
        A raw pack of the size `shape` resizes to, with these frames of every video. None if there is
        none, it would be too large, or the videos are not local files.
    """
    cache, size = cache_folder(), (shape.resize_height, shape.resize_width)
    # With a frame rate of their own, clips have the flow between their own frames.
    if cache is None or shape.fps or remote.is_remote(catalog.root):
        return None
    settings = PackSettings("raw", *size, flow=shape.flow, roi=shape.roi)
    files = [(video.key, stamp(catalog.root / video.path)) for video in catalog.videos]
    # Another OpenCV may compute another flow.
    what = repr((FORMAT, load_cv2().__version__, str(catalog.root), files, settings))
    folder = cache / "flow" / hashlib.sha256(what.encode()).hexdigest()[:16]
    try:
        if (folder / INDEX).is_file():
            pack = open_pack(folder)
            with contextlib.suppress(OSError):  # of another user
                os.utime(folder)
        elif make and _has_room(cache, sum(frames.values()) * size[0] * size[1] * 5):
            _remove_unused(folder.parent)
            reporter.log(f"optical flow ({shape.flow}) is computed once, into {folder}")
            pack = make_pack(
                catalog,
                folder,
                settings,
                workers=workers,
                reporter=reporter,
                clip_segments=clip_segments,
                limits=limits,
            )
        else:
            return None
    except UserError as error:  # such as a cache that cannot be written
        reporter.log(f"optical flow is not kept: {error}")
        return None
    found = pack.scan(catalog.videos).frames
    return pack if all(found.get(key) == count for key, count in frames.items()) else None


def _has_room(folder: Path, needed: int) -> bool:
    while not folder.exists():
        folder = folder.parent
    return needed <= min(LIMIT, SHARE * shutil.disk_usage(folder).free)


def _remove_unused(packs: Path) -> None:
    """Removes the packs of this folder that nothing has opened for UNUSED_DAYS."""
    if not packs.is_dir():
        return
    with contextlib.suppress(OSError):  # another process removes it, or Windows has it open
        os.utime(packs)
        oldest = packs.stat().st_mtime - UNUSED_DAYS * 86400  # by the clock of the file system
        for folder in packs.iterdir():
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder)
