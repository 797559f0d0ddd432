"""Labelled videos: class folders, a CSV, or folders of frames -> Catalog."""

import csv
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ar3d_keras.errors import UserError
from ar3d_keras.videos.frame_folder import is_folder, is_frame_folder
from ar3d_keras.videos.video import Video, labelled_video

VIDEO_SUFFIXES = frozenset(
    [
        ".3gp",
        ".avi",
        ".flv",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".ogv",
        ".ts",
        ".webm",
        ".wmv",
    ]
)
SPLIT_NAMES = ("train", "val", "test")

# The label file that, where a folder holds one, is the catalog of that folder.
LABELS = "labels.csv"


@dataclass(frozen=True)
class Catalog:
    """The labelled videos of a data set, sorted by path.

    Attributes:
        root: the folder that the paths are relative to.
        videos: sorted by path, so that no order of a file system enters a split.
        sizes: bytes of each video's file, -1 for none, where a pack remembers them; None: they
            are looked up. With them a pack has the fingerprint of the videos it was made of.
    """

    root: Path
    videos: tuple[Video, ...]
    sizes: tuple[int, ...] | None = None

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The class names, sorted; a class's label is its place in here."""
        return tuple(sorted({video.label for video in self.videos}))

    @cached_property
    def is_ucf(self) -> bool:
        """Whether every video is named as UCF-101 names them."""
        return all(video.ucf_group is not None for video in self.videos)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over path, label, group and size in bytes of every video."""
        digest = hashlib.sha256()
        sizes = self.sizes or (stamp(self.root / video.path)[0] for video in self.videos)
        for video, size in zip(self.videos, sizes, strict=True):
            digest.update(repr((video.path, video.label, video.group, size)).encode())
        return digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.videos)


def open_catalog(data: str | os.PathLike) -> Catalog:
    """Reads the labelled videos that `data` names.

    Args:
        data: a folder with one folder of videos (or of frame folders) per class; a folder with
            train, val and test in it, each such a folder; a CSV file with the columns path,
            label and optionally group and split; or a folder with a labels.csv in it, which
            then is the catalog. (`dataset.open_data` takes packs too.)

    Returns:
        A Catalog of at least two classes. Nothing is decoded: see `scan`.

    Raises:
        UserError: nothing there, no videos, one class only, or a CSV that cannot be used.
    """
    data = Path(data)
    try:
        data.stat()
    except OSError as error:
        raise UserError(
            f"no data at {data} ({error.strerror}): give --data a folder of class folders, or a CSV"
        ) from None
    try:
        if data.is_file():
            root, videos = data.parent, list(_read_csv(data))
        elif (data / LABELS).is_file():
            root, videos = data, list(_read_csv(data / LABELS))
        else:
            root, videos = data, list(_scan(data))
    except OSError as error:  # no permission, or neither a folder nor a plain file
        raise UserError(
            f"{error.filename} cannot be read ({error.strerror}): "
            "give --data a folder of class folders, or a CSV, that you may read"
        ) from None
    if not videos:
        raise UserError(
            f"no videos in {data}: it needs one folder per class with videos or folders of "
            f"frames in it ({data}/CLASS/VIDEO), or a {LABELS} with the columns path and label"
        )
    catalog = Catalog(root.resolve(), tuple(sorted(videos, key=lambda video: video.path)))
    if len(catalog.class_names) < 2:
        raise UserError(
            f"only one class, {catalog.class_names[0]!r}, in {data}: "
            "a classifier needs videos of at least two classes"
        )
    return catalog


def stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds, both -1 where there is nothing.

    A folder of frames changes as a frame is added or taken away.
    """
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _scan(root: Path) -> Iterator[Video]:
    """Class folders: root/CLASS/video.avi or root/CLASS/video/img_00001.jpg, perhaps by split.

    Only these levels are visited, so a loop of symbolic links cannot catch the walk; a link that
    leads nowhere but has a video's name is listed, and named when it is probed.
    """
    folders = _folders(root)
    by_split = folders and all(
        folder.name in SPLIT_NAMES and not any(_is_video(entry) for entry in folder.iterdir())
        for folder in folders
    )
    for folder in folders if by_split else [root]:
        for class_folder in _folders(folder):
            for entry in class_folder.iterdir():
                if _is_video(entry):
                    path = entry.relative_to(root).as_posix()
                    split = folder.name if by_split else None
                    yield labelled_video(path, class_folder.name, split=split)


def _folders(parent: Path) -> list[Path]:
    return [
        entry
        for entry in sorted(parent.iterdir())
        if not entry.name.startswith(".") and is_folder(entry)
    ]


def _is_video(entry: Path) -> bool:
    """A file with a video's name, or a folder of frames."""
    if entry.name.startswith("."):
        return False
    return entry.suffix.lower() in VIDEO_SUFFIXES or (is_folder(entry) and is_frame_folder(entry))


def _read_csv(file: Path) -> Iterator[Video]:
    """path,label[,group][,split]; paths are relative to the CSV's folder."""
    try:
        # utf-8-sig: spreadsheets put a byte-order mark in front of the first column's name.
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as a CSV in UTF-8: {error}") from None
    if not rows:
        raise UserError(
            f"{file} lists no videos: its first line must name path,label and optionally "
            "group,split, and each further line is one video"
        )
    seen: set[str] = set()
    for number, row in enumerate(rows, start=2):
        for column in ("path", "label"):
            if column not in row:
                raise UserError(
                    f"{file} has no column {column!r} (it has {', '.join(map(str, row))}): "
                    "its first line must name path,label and optionally group,split"
                )
        where = f"{file} row {number}"
        if None in row:
            raise UserError(
                f"{where} has more cells than the first line has columns: "
                'put a value that holds a comma in double quotes (")'
            )
        extra = {key: value or "" for key, value in row.items()}
        path, label, group, split = (
            (extra.pop(column, "") or "").strip() if column != "path" else extra.pop(column, "")
            for column in ("path", "label", "group", "split")
        )
        if not path or not label:
            raise UserError(f"{where} has no {'label' if path else 'path'}: fill it in")
        if "\0" in path:
            raise UserError(f"{where}: {path!r} holds a zero byte, which no file's name can")
        normal = os.path.normpath(path)
        if Path(path).is_absolute() or normal == "." or Path(normal).parts[0] == "..":
            raise UserError(
                f"{where}: {path} lies outside {file.parent}: "
                "move the CSV above its videos and give paths relative to it"
            )
        if split and split not in SPLIT_NAMES:
            raise UserError(f"{where}: split {split!r} is none of {', '.join(SPLIT_NAMES)}")
        if normal in seen:
            raise UserError(f"{where}: {path} is listed twice: remove one of the two rows")
        seen.add(normal)
        yield labelled_video(normal, label, group, split, extra)
