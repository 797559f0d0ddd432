"""Videos without labels: files, folders of them, folders of frames -> Catalog."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.video import Video
from ar3d_keras.videos.video_files import is_address, walk


def find_videos(paths: Sequence[str | os.PathLike]) -> Catalog:
    """Finds the videos of files and folders; nothing is decoded.

    Args:
        paths: files, whatever their names; folders of frames; folders, in which every video and
            every folder of frames is taken, at any depth.

    Returns:
        A Catalog of Videos without a label, relative to the working directory, each once and in
        the order of `paths`; those of a folder in natural order of their names. Its `ignored`
        names what the folders hold besides.

    Raises:
        UserError: no path, one that does not exist or cannot be read, or a folder without videos.
    """
    if not paths:
        raise UserError(
            "`paths` is empty: name a video or a folder of videos, or use `ar3d predict --camera 0`"
        )
    if "" in map(str, paths):  # Path("") is the working directory
        raise UserError("one of `paths` is empty: is a variable of your shell unset?")
    found: dict[str, None] = {}
    ignored: list[tuple[str, str]] = []
    for path in map(Path, paths):
        try:
            mode = path.stat().st_mode
            entries = list(walk(path)) if stat.S_ISDIR(mode) else [(path, None)]
        except OSError as error:
            raise UserError(_not_there(path, error)) from None
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise UserError(
                f"{path} is a pipe or a device, not a file: save the video to a file first, or use "
                "`ar3d predict --camera` with the number or address of a camera"
            )
        names = [str(entry) for entry, reason in entries if reason is None]
        others = [(str(entry), reason) for entry, reason in entries if reason is not None]
        if not names:
            lost = "".join(f"; {line}" for line in Catalog(path, (), ignored=tuple(others)).notes)
            raise UserError(f"no videos in {path}, and no folder of frames{lost}")
        found |= dict.fromkeys(names)
        ignored += others
    videos = tuple(Video(path, None) for path in found)
    return Catalog(Path.cwd(), videos, ignored=tuple(ignored))


def _not_there(path: Path, error: OSError) -> str:
    if is_address(path):
        return (
            f"{path} is an address, not a file: download the video, or use "
            "`ar3d predict --camera ADDRESS` for a stream"
        )
    return (
        f"no video at {error.filename} ({error.strerror}): give a video file, a folder of frames, "
        "or a folder of videos, that you may read"
    )
