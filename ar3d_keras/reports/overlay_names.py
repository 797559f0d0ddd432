"""The names of overlay videos; imports nothing that takes time to load."""

from pathlib import Path

from ar3d_keras.atomic import fitting_name, in_the_way
from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import Catalog

SUFFIXES = (".mp4", ".avi")


def check_overlay(overlay: Path) -> None:
    """Checks the name of a file, or of a folder, of overlays.

    Raises:
        UserError: it is neither a folder nor of a kind that can be written.
    """
    if overlay.suffix.lower() not in ("", *SUFFIXES) and not overlay.is_dir():
        raise UserError(f"`overlay` must end in .mp4 or .avi, or be a folder, not {overlay}")


def overlay_names(overlay: Path, catalog: Catalog) -> list[Path]:
    """The overlay file of each video.

    Args:
        overlay: a .mp4 or .avi for one video, or a folder.
        catalog: the videos; in a folder, equal names get a number.

    Raises:
        UserError: one file is given for several videos, a file is in the way, or an overlay would
            overwrite a video.
    """
    if overlay.suffix.lower() in SUFFIXES and not overlay.is_dir():
        if len(catalog) > 1:
            raise UserError(
                f"`overlay` {overlay} is one file, but there are {len(catalog)} videos: give a folder"
            )
        files = [overlay]
    else:
        names: dict[str, None] = {}
        for video in catalog.videos:
            stem = Path(video.path).stem + (f"-{video.start or 0:g}" if video.is_segment else "")
            stem = name = fitting_name(stem, "-999.mp4").removesuffix("-999.mp4")
            number = 2
            while name in names:
                name, number = f"{stem}-{number}", number + 1
            names[name] = None
        files = [overlay / f"{name}.mp4" for name in names]
    videos = {(catalog.root / video.path).resolve() for video in catalog.videos}
    for file in files:
        if blocker := in_the_way(file.parent):
            raise UserError(
                f"`overlay` {file} cannot be written because {blocker} is a file: choose another"
            )
        if file.resolve() in videos:
            raise UserError(f"`overlay` {file} would overwrite the video itself: choose another")
    return files
