"""Videos without labels: files, folders of them, folders of frames, segments -> Catalog."""

import dataclasses
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.label_csv import read_label_csv
from ar3d_keras.videos.region import parse_region
from ar3d_keras.videos.remote import address, is_file, is_remote, list_files, plain
from ar3d_keras.videos.remote import stat as stat_remote
from ar3d_keras.videos.times import parse_stretch
from ar3d_keras.videos.video import Video
from ar3d_keras.videos.video_files import has_video_suffix, is_address, walk


def find_videos(paths: Sequence[str | os.PathLike]) -> Catalog:
    """Finds the videos of files and folders; nothing is decoded.

    Args:
        paths: files, whatever their names; folders of frames; folders, in which every video and
            every folder of frames is taken, at any depth; segments as `Video.key` spells them,
            such as `day.mp4#t=12.5,20`; CSV files, of which every row is taken (see `label_csv`).

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
    found: dict[str, Video] = {}
    ignored: list[tuple[str, str]] = []
    for given in map(str, paths):
        if (parts := _fragment(given)) and not os.path.lexists(given):
            video = _segment(given, **parts)
            found[video.key] = video
            continue
        path = Path(given)
        if is_remote(given):
            found |= {video.key: video for video in _remote_videos(path)}
            continue
        if path.suffix.lower() == ".csv" and path.is_file():
            rows = read_label_csv(path, labels=False)
            where = (dataclasses.replace(row, path=str(path.parent / row.path)) for row in rows)
            found |= {video.key: video for video in where}
            continue
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
        found |= {name: Video(name, None) for name in names}
        ignored += others
    return Catalog(Path.cwd(), tuple(found.values()), ignored=tuple(ignored))


def _remote_videos(path: Path) -> list[Video]:
    """The videos of an object store: a file, the rows of a CSV, or all below a folder."""
    path = plain(path)
    if path.suffix.lower() == ".csv":
        rows = read_label_csv(path, labels=False)
        return [dataclasses.replace(row, path=str(path.parent / row.path)) for row in rows]
    if has_video_suffix(path.name) and is_file(path):
        return [Video(str(path), None)]
    names = [str(path / name) for name in list_files(path) if has_video_suffix(name)]
    if not names:
        raise UserError(f"no videos in {address(path)}: give a video, a CSV or a folder of videos")
    return [Video(name, None) for name in names]


def _fragment(given: str) -> dict[str, str]:
    """The parts `t` and `roi` of a media fragment, see `Video.key`; {} if it has none."""
    pairs = (part.partition("=") for part in given.rpartition("#")[2].split("&"))
    parts = {name: value for name, _, value in pairs}
    return parts if "#" in given[1:] and parts.keys() <= {"t", "roi"} else {}


def _segment(given: str, t: str = "", roi: str = "") -> Video:
    path = given.rpartition("#")[0]
    first, _, last = t.partition(",")
    try:
        start, end = parse_stretch(first, last)
        region = parse_region((roi.split(",") + [""] * 4)[:4])
        if is_remote(path):
            path = str(plain(path))
            stat_remote(path)
        else:
            Path(path).stat()
    except UserError as error:
        raise UserError(f"{given!r}: {error}") from None
    except OSError as error:
        raise UserError(_not_there(Path(path), error)) from None
    return Video(path, None, start=start, end=end, roi=region)


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
