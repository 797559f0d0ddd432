"""Folders as labels: ROOT/CLASS/VIDEO, or ROOT/SPLIT/CLASS/VIDEO with train, val and test."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from ar3d_keras.errors import UserError
from ar3d_keras.videos.frame_folder import is_folder
from ar3d_keras.videos.video import Video, labelled_video, split_name
from ar3d_keras.videos.video_files import (
    EMPTY,
    FOREIGN,
    HIDDEN,
    LOOP,
    OTHER_PATTERN,
    ignored_images,
    is_worth_a_note,
    walk,
    why_not_video,
)

NESTED = "below a folder in a class folder: move it up into the class folder"
OUTSIDE = "outside a class folder"
# So many entries are looked at below a folder that is not a class folder, then that is enough:
# `data` may be a whole disk by mistake.
_MOST_NESTED = 10_000

Found = Iterator[Video | tuple[str, str]]


def read_class_folders(root: Path, *, nested: bool = False) -> Found:
    """The videos below `root`, and (path, reason) of what was not taken.

    A link that leads nowhere but has a video's name is a video: the scan names it.

    Args:
        root: the folder.
        nested: whether videos in folders below a class folder are taken too.

    Raises:
        UserError: folders of splits and of classes stand side by side.
        OSError: a folder cannot be listed.
    """
    folders = []
    for entry in sorted(root.iterdir()):
        reason = why_not_video(entry)
        if is_folder(entry) and reason not in (HIDDEN, FOREIGN):
            folders.append(entry)
        elif reason is None:
            yield entry.name, OUTSIDE
        elif reason == FOREIGN:
            yield entry.name, reason
    if any(split_name(folder.name) and _has_class_folders(folder) for folder in folders):
        yield from _read_split_folders(root, folders, nested)
    else:
        _check_class_names(root, folders, nested)
        for folder in folders:
            yield from _read_class(root, folder, None, nested)


def _read_split_folders(root: Path, folders: list[Path], nested: bool) -> Found:
    splits = [folder.name for folder in folders if split_name(folder.name)]
    others = [folder for folder in folders if folder.name not in splits]
    if in_the_way := [f.name for f in others if _has_videos(f) or _has_class_folders(f)]:
        raise UserError(
            f"{_quoted(in_the_way)} in {root} hold videos beside the folders of splits "
            f"({', '.join(splits)}): move them into those, or away"
        )
    for folder in others:
        yield folder.name, EMPTY
    for folder in folders:
        if folder.name not in splits:
            continue
        for entry in sorted(folder.iterdir()):
            reason = why_not_video(entry)
            if reason is None:  # a file or a folder of frames that has no class
                yield _path(entry, root), OUTSIDE
            elif reason == FOREIGN:
                yield _path(entry, root), reason
            elif is_folder(entry) and reason != HIDDEN:
                yield from _read_class(root, entry, split_name(folder.name), nested)


def _check_class_names(root: Path, folders: list[Path], nested: bool) -> None:
    """Raises UserError if a folder of test or validation videos would become a class."""
    classes = [f for f in folders if _has_videos(f) or (nested and _has_class_folders(f))]
    splits = [folder.name for folder in classes if split_name(folder.name)]
    # Beside others, these two are words of the language: bus, car, train; valid, invalid.
    if len(splits) < len(classes):
        splits = [name for name in splits if name.casefold() not in ("train", "valid")]
    if splits:
        raise UserError(
            f"{_quoted(splits)} in {root} hold videos without class folders, so the videos have "
            f"no labels: put them into class folders ({splits[0]}/CLASS/VIDEO), or rename or move "
            "those folders"
        )


def _read_class(root: Path, folder: Path, split: str | None, nested: bool) -> Found:
    if folder.resolve() in (root.resolve(), *root.resolve().parents):
        yield _path(folder, root), LOOP
        return
    empty = True
    for entry in sorted(folder.iterdir()):
        reason = why_not_video(entry)
        path = _path(entry, root)
        if reason is None:
            empty = False
            yield labelled_video(path, folder.name, split=split)
            if is_folder(entry):
                for images in ignored_images(entry):
                    yield f"{path}/{images}", OTHER_PATTERN
        elif is_folder(entry) and reason not in (HIDDEN, FOREIGN):
            found = list(_read_nested(root, entry, folder))
            if not nested:
                yield from found
                continue
            for nested_path, why in found:
                if why == NESTED:
                    empty = False
                    yield labelled_video(nested_path, folder.name, split=split)
                else:
                    yield nested_path, why
        elif is_worth_a_note(entry, reason):
            yield path, reason
    if empty:
        yield _path(folder, root), EMPTY


def _read_nested(root: Path, folder: Path, class_folder: Path) -> Iterator[tuple[str, str]]:
    """The videos below a folder that is inside a class folder; they are not taken."""
    above = frozenset([root.resolve(), class_folder.resolve()])
    empty = True
    try:
        for entry, reason in itertools.islice(walk(folder, above), _MOST_NESTED):
            if reason is None:
                empty = False
                yield _path(entry, root), NESTED
    except OSError as error:
        yield _path(folder, root), f"cannot be read ({error.strerror})"
        return
    if empty:
        yield _path(folder, root), EMPTY


def _has_videos(folder: Path) -> bool:
    return any(why_not_video(entry) is None for entry in folder.iterdir())


def _has_class_folders(folder: Path) -> bool:
    return any(
        why_not_video(entry) == EMPTY and is_folder(entry) and _has_videos(entry)
        for entry in folder.iterdir()
    )


def _path(entry: Path, root: Path) -> str:
    return entry.relative_to(root).as_posix()


def _quoted(names: list[str]) -> str:
    return ", ".join(map(repr, names))
