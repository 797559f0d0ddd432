"""Labelled videos: class folders, a CSV, or folders of frames -> Catalog."""

import dataclasses
import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ar3d_keras.errors import UserError
from ar3d_keras.videos import remote
from ar3d_keras.videos.class_folders import read_class_folders
from ar3d_keras.videos.label_csv import read_label_csv
from ar3d_keras.videos.segments import segment_notes
from ar3d_keras.videos.video import Video, labelled_video, split_name
from ar3d_keras.videos.video_files import OTHER, has_video_suffix, is_address

# If a folder contains a file of this name, it is the catalog of that folder.
LABELS = "labels.csv"
# So many names of a long list are in a line for the user.
_FIRST = 3


@dataclass(frozen=True)
class Catalog:
    """The labelled videos of a data set, sorted by path.

    Attributes:
        root: the folder that the paths are relative to.
        videos: sorted by path and start, so that a split does not depend on the file system's order.
        sizes: bytes of each video's file, -1 if there is none, as a pack remembers them; None: they
            are looked up. With them a pack has the fingerprint of the videos it was made from.
        ignored: (path, reason) of what was found but not taken.
        source: the folder or file that was opened; None: unknown.
        group_notes: sentences about the groups, see `grouping.group_videos`.
    """

    root: Path
    videos: tuple[Video, ...]
    sizes: tuple[int, ...] | None = None
    ignored: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)
    source: Path | None = field(default=None, compare=False, repr=False)
    group_notes: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The class names, sorted; the index of a class in them is its label."""
        return tuple(sorted({video.label for video in self.videos if video.label is not None}))

    @cached_property
    def is_ucf(self) -> bool:
        """Whether every video has a name as in UCF-101."""
        return all(video.ucf_group is not None for video in self.videos)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over path, stretch, label, group and size in bytes of every video."""
        digest = hashlib.sha256()
        root = f"{self.root}{os.sep}"
        sizes = self.sizes or (stamp(root + video.path)[0] for video in self.videos)
        for video, size in zip(self.videos, sizes, strict=True):
            digest.update(repr((video.key, video.label, video.group, size)).encode())
        return digest.hexdigest()[:16]

    @cached_property
    def content_fingerprint(self) -> str:
        """The fingerprint without groups, which `group_by` may change: the same files."""
        videos = tuple(dataclasses.replace(video, group=None) for video in self.videos)
        return dataclasses.replace(self, videos=videos).fingerprint

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Lines for the user: what was not taken and why, and class names to look at."""
        return (
            *_ignored_lines(self.ignored),
            *_class_name_lines(self.class_names),
            *segment_notes(self.videos),
            *self._link_notes(),
        )

    def _link_notes(self) -> Iterator[str]:
        """Names the videos that lie outside the root, also through links."""
        # Without a source it is no data set, but what the user named, or what a run remembers.
        if self.source is None or remote.is_remote(self.root):
            return
        try:
            outside = list(links_outside(self.root, (video.path for video in self.videos)))
        except OSError:
            return
        if outside:
            yield (
                f"{len(outside):,} videos lie outside {self.root}, through symbolic links or "
                f"`allow_outside`: {first_names(outside)}"
            )

    def __len__(self) -> int:
        return len(self.videos)


def open_catalog(
    data: str | os.PathLike,
    *,
    nested: bool = False,
    clip_segments: bool = False,
    allow_outside: bool = False,
) -> Catalog:
    """Reads the labelled videos of a folder or a CSV.

    Args:
        data: a folder with one folder of videos (or of frame folders) per class; a folder with
            train, val and test (or validation, Train, ...) in it, each such a folder; a CSV file
            with the columns path, label and optionally group and split; or a folder with a
            labels.csv in it, which is the catalog then. (`dataset.open_data` takes packs too.)
        nested: whether videos in folders below a class folder are taken too.
        clip_segments: see `label_csv.read_label_csv`, and the next one.
        allow_outside: whether a CSV may name videos outside its folder.

    Returns:
        A Catalog of at least two classes. Nothing is decoded: see `scan`.

    Raises:
        UserError: the path does not exist, there are no videos or one class only, or a folder or
            CSV that cannot be used.
    """
    data = Path(data)
    if remote.is_remote(data):
        return _open_remote(
            data, nested=nested, clip_segments=clip_segments, allow_outside=allow_outside
        )
    try:
        data.stat()
    except OSError as error:
        if is_address(data):
            raise UserError(
                f"`data` {data} is an address, not a folder: download the videos first"
            ) from None
        raise UserError(
            f"no `data` at {data} ({error.strerror}): give a folder of class folders, or a CSV"
        ) from None
    ignored: list[tuple[str, str]] = []
    try:
        if data.is_file() or (data / LABELS).is_file():
            file = data if data.is_file() else data / LABELS
            root = file.parent
            videos = read_label_csv(file, clip_segments=clip_segments, allow_outside=allow_outside)
        else:
            root, found = data, list(read_class_folders(data, nested=nested))
            videos = [item for item in found if isinstance(item, Video)]
            ignored = sorted(item for item in found if not isinstance(item, Video))
    except OSError as error:  # no permission, or neither a folder nor a plain file
        raise UserError(
            f"{error.filename} cannot be read ({error.strerror}): "
            "give `data` a folder of class folders, or a CSV, that you may read"
        ) from None
    return _catalog(data, root.resolve(), videos, ignored)


def _open_remote(data: Path, *, nested: bool, clip_segments: bool, allow_outside: bool) -> Catalog:
    """The same of an object store: a CSV, a folder with a labels.csv, or class folders."""
    data = remote.plain(data)
    is_table = data.suffix.lower() == ".csv"
    root = data.parent if is_table else data
    paths = remote.list_files(root)
    ignored: list[tuple[str, str]] = []
    if is_table or LABELS in paths:
        file = data if is_table else data / LABELS
        videos = read_label_csv(file, clip_segments=clip_segments, allow_outside=allow_outside)
    else:
        videos = []
        for path in paths:
            folders = path.count("/")
            if folders == 0 or (folders > 1 and not nested):
                ignored.append((path, "not in a class folder"))
            elif has_video_suffix(path):
                videos.append(labelled_video(path, path.partition("/")[0]))
            else:
                ignored.append((path, OTHER))
    return _catalog(data, root, videos, ignored)


def _catalog(
    data: Path, root: Path, videos: Sequence[Video], ignored: Sequence[tuple[str, str]]
) -> Catalog:
    lost = "".join(f"; {line}" for line in _ignored_lines(ignored))
    if not videos:
        raise UserError(
            f"no videos in {data}: it needs one folder per class with videos or folders of "
            f"frames in it ({data}/CLASS/VIDEO), or a {LABELS} with the columns path and label"
            + lost
        )
    catalog = Catalog(
        root,
        tuple(sorted(videos, key=lambda video: (video.path, video.start or 0.0, video.key))),
        ignored=tuple(ignored),
        source=data,
    )
    if len(catalog.class_names) < 2:
        raise UserError(
            f"only one class, {catalog.class_names[0]!r}, in {data}: "
            f"a classifier needs videos of at least two classes{lost}"
        )
    return catalog


def links_outside(root: Path, paths: Iterable[str]) -> Iterator[str]:
    """The paths that lead out of a folder, through a symbolic link, `..` or an absolute path."""
    real, inside = root.resolve(), {}
    for path in dict.fromkeys(paths):
        whole = root / path
        if whole.parent not in inside:
            inside[whole.parent] = whole.parent.resolve().is_relative_to(real)
        if (whole.is_symlink() and not whole.resolve().is_relative_to(real)) or (
            not inside[whole.parent] and not whole.is_symlink()
        ):
            yield path


def stamp(path: str | os.PathLike) -> tuple[int, int]:
    """Size in bytes and modification time in nanoseconds, both -1 if there is nothing.

    A folder of frames changes when a frame is added or removed.
    """
    try:
        if remote.is_remote(path):
            return remote.stat(path)
        status = os.stat(path)  # noqa: PTH116, a Path takes longer than the call
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def first_names(names: Iterable[str]) -> str:
    """The first names of a list, quoted, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _FIRST:,} more" if len(names) > _FIRST else ""
    return ", ".join(map(repr, names[:_FIRST])) + more


def _ignored_lines(ignored: Iterable[tuple[str, str]]) -> list[str]:
    """One line a reason."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for path, reason in ignored:
        by_reason[reason].append(path)
    return [
        f"{len(paths):,} not used ({reason}): {first_names(paths)}"
        for reason, paths in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _class_name_lines(class_names: Sequence[str]) -> list[str]:
    """Class names that differ in little that can be seen, or that are the name of a split."""
    similar: dict[str, list[str]] = defaultdict(list)
    for name in class_names:
        plain = unicodedata.normalize("NFKC", name).casefold()
        similar[re.sub(r"[\s_-]+", "", plain)].append(name)
    lines = [
        f"classes {', '.join(map(ascii, names))} have similar names and count as "
        f"{len(names)} classes: rename them if they are one"
        for names in similar.values()
        if len(names) > 1
    ]
    lines += [
        f"the folder or label {name!r} counts as a class, not as a split"
        for name in class_names
        if split_name(name)
    ]
    return lines
