"""Which files a format means: annotation tools name videos by path, address or identifier."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from ar3d_keras.errors import UserError
from ar3d_keras.labels.label import Label, listed
from ar3d_keras.videos.frame_folder import IMAGE_SUFFIXES
from ar3d_keras.videos.video_files import VIDEO_SUFFIXES


class VideoFolder:
    """The videos under a folder, by path, by name and by identifier."""

    def __init__(self, folder: Path) -> None:
        """Lists the folder.

        Raises:
            UserError: there is no such folder, or no video in it.
        """
        if not folder.is_dir():
            raise UserError(f"`videos` {folder} is not a folder")
        self.folder = folder
        self.by_name: dict[str, list[PurePosixPath]] = {}
        self.by_stem: dict[str, list[PurePosixPath]] = {}
        for path in sorted(_videos(folder)):
            self.by_name.setdefault(path.name, []).append(path)
            self.by_stem.setdefault(path.stem, []).append(path)
        if not self.by_name:
            raise UserError(f"`videos` {folder} contains no video")

    def find(self, media: str, where: str) -> PurePosixPath | None:
        """Returns the path of a video under the folder; None if it is not there.

        The longest end of `media` that names a file is taken, so a file is found though the
        labels were made on another machine.

        Raises:
            UserError: the name fits several videos.
        """
        wanted = PurePosixPath(media.replace("\\", "/"))
        found = self.by_name.get(wanted.name) or []
        if not found and wanted.suffix.lower() not in VIDEO_SUFFIXES:
            found = self.by_stem.get(wanted.name) or self.by_stem.get("v_" + wanted.name) or []
        for length in range(len(wanted.parts), 1, -1):
            end = wanted.parts[-length:]
            exact = [path for path in found if path.parts[-length:] == end]
            if exact:
                found = exact
                break
        if len(found) > 1:
            same = [path for path in found if path == wanted]
            if not same:
                raise UserError(
                    f"{where}: {media!r} may be {listed(found)} in {self.folder}: rename all but one"
                )
            found = same
        return found[0] if found else None

    def find_cut(self, label: Label) -> PurePosixPath | None:
        """Returns the file that was cut out of the film `label.media` at these times, or None.

        The download tools for Kinetics put the seconds into the name: FILM_000012_000022.mp4.
        """
        if label.start is None or label.end is None:
            return None
        stem = f"{label.media}_{round(label.start):06d}_{round(label.end):06d}"
        found = self.by_stem.get(stem)
        return found[0] if found else None


def _videos(folder: Path) -> Iterable[PurePosixPath]:
    """Paths of video files and of folders of frames, relative to `folder`."""
    for root, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        base = PurePosixPath(Path(root).relative_to(folder).as_posix())
        suffixes = [(name, Path(name).suffix.lower()) for name in files if name[0] != "."]
        yield from (base / name for name, suffix in suffixes if suffix in VIDEO_SUFFIXES)
        if base.parts and any(suffix in IMAGE_SUFFIXES for _, suffix in suffixes):
            yield base


def located(labels: Sequence[Label], videos: Path, table: Path, notes: list[str]) -> list[Label]:
    """Returns the labels with paths relative to the folder of the table.

    Labels of videos that are not under `videos` are left out, with a note.

    Raises:
        UserError: none of the videos is there, a name fits several, or a video lies outside the
            folder of the table.
    """
    folder = VideoFolder(videos)
    found, missing = [], []
    for label in labels:
        path = folder.find_cut(label)
        if path is not None:  # the file is the stretch
            label = replace(label, start=None, end=None)
        else:
            path = folder.find(label.media, label.where)
        if path is None:
            missing.append(label)
        else:
            found.append(replace(label, media=_relative(videos / path, table)))
    if missing:
        names = listed(label.media for label in missing)
        if not found:
            raise UserError(
                f"{missing[0].where}: no video of the labels is in `videos` {videos} ({names})"
            )
        notes.append(
            f"{len(missing)} labels are left out because their videos are not in {videos}: {names}"
        )
    return found


def unlocated(labels: Sequence[Label], file: Path, table: Path, notes: list[str]) -> list[Label]:
    """Returns the labels with paths relative to the table, of paths relative to `file`.

    Raises:
        UserError: a format that gives identifiers, or a video outside the folder of the table.
    """
    for label in labels:
        path = label.media
        is_address = "://" in path or PureWindowsPath(path).drive or not PurePosixPath(path).suffix
        if is_address and not (file.parent / path).exists():
            raise UserError(
                f"{label.where} names the video {path!r}, which is no file here: give `videos`, the "
                "folder of the videos"
            )
    paths = {
        label.media: _relative(file.parent / label.media.replace("\\", "/"), table)
        for label in labels
    }
    missing = [path for path in paths.values() if not (table.parent / path).exists()]
    if missing:
        notes.append(
            f"{file}: {len(missing)} videos are not where it says ({listed(missing)}): give `videos`"
        )
    return [replace(label, media=paths[label.media]) for label in labels]


def _relative(video: Path, table: Path) -> str:
    """`video` relative to the folder of `table`, which must be above it."""
    root = Path(os.path.normpath(table.parent.absolute()))
    whole = Path(os.path.normpath(video.absolute()))
    if not whole.is_relative_to(root):
        raise UserError(
            f"`to` {table} must be in a folder above the videos, and {video} is not under "
            f"{table.parent}: write it to another folder, or give `videos`"
        )
    return whole.relative_to(root).as_posix()
