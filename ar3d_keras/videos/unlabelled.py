"""Videos that nobody has labelled: files, folders of them, folders of frames -> Catalog."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import VIDEO_SUFFIXES, Catalog
from ar3d_keras.videos.frame_folder import is_folder, is_frame_folder, natural_key
from ar3d_keras.videos.video import Video


def find_videos(paths: Sequence[str | os.PathLike]) -> Catalog:
    """The videos that `paths` name, as they were spelled; nothing is decoded.

    Args:
        paths: files, whatever their names; folders of frames; folders, in which every file with a
            video's name and every folder of frames is taken, at any depth.

    Returns:
        A Catalog of Videos without a label, relative to the working directory, each once and in
        the order of `paths`; a folder's in natural order of their names.

    Raises:
        UserError: no path, one that is not there or cannot be read, or a folder without videos.
    """
    if not paths:
        raise UserError("nothing to look at: name a video, a folder of videos, or --camera 0")
    if "" in map(str, paths):  # else it would mean the working directory
        raise UserError("one PATH is empty: is a variable of your shell unset?")
    found: dict[str, None] = {}
    for path in map(Path, paths):
        try:
            path.stat()
            videos = list(_under(path, set())) if path.is_dir() else [path]
        except OSError as error:
            raise UserError(
                f"no video at {error.filename} ({error.strerror}): give a video file, a folder "
                "of frames, or a folder of videos, that you may read"
            ) from None
        if not videos:
            raise UserError(
                f"no videos in {path}: no file there has a video's name "
                f"({' '.join(sorted(VIDEO_SUFFIXES))}), and no folder holds images"
            )
        found |= dict.fromkeys(map(str, videos))
    return Catalog(Path.cwd(), tuple(Video(path, None) for path in found))


def _under(folder: Path, above: set[Path]) -> Iterator[Path]:
    """The videos of a folder; a link back to a folder `above` it is not followed."""
    real = folder.resolve()
    if real in above:
        return
    entries = sorted(
        (entry for entry in folder.iterdir() if not entry.name.startswith(".")),
        key=lambda entry: (natural_key(entry.name), entry.name),
    )
    if not any(entry.suffix.lower() in VIDEO_SUFFIXES for entry in entries) and is_frame_folder(
        folder
    ):
        yield folder
        return
    for entry in entries:
        if is_folder(entry):
            yield from _under(entry, above | {real})
        elif entry.suffix.lower() in VIDEO_SUFFIXES:
            yield entry
