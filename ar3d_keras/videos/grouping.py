"""Groups for the user's own files: from names, from folders, or from a column of the CSV."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Sequence

from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import Catalog, first_names
from ar3d_keras.videos.segments import ROUNDING, by_file
from ar3d_keras.videos.times import parse_time
from ar3d_keras.videos.video import Video, format_seconds

PARENT = "parent"  # the rule that takes the folder of a video
COLUMN = "column:"  # what a rule that takes a column begins with
BLOCK = "block:"  # what a rule that divides files into blocks of time begins with


def group_videos(catalog: Catalog, rule: str) -> Catalog:
    """Returns the catalog with the groups that a rule finds; earlier groups are replaced.

    Args:
        catalog: the videos.
        rule: one of

            - `parent`: the folder above the video, without the folder of its class.
            - `column:NAME`: the value of that column of the CSV.
            - `block:SECONDS`: the block of time of its file in which a segment starts. Segments that
              overlap are in one group. It is for one long recording, whose parts are not
              independent: see `Leak.divided_files`.
            - a regular expression that is searched in the path; its group named `group`, else its
              first group, is the recording.

    Returns:
        The catalog. `group_notes` names the videos for which the rule finds no group; each of them
        is a recording of its own.

    Raises:
        UserError: the expression does not compile, has no group or matches nothing; there is no
            such column; the blocks have no length or there are no segments; or all videos would be
            in one group.
    """
    if rule == PARENT:
        groups = [_parent(video) for video in catalog.videos]
    elif rule.startswith(COLUMN):
        groups = column_values(catalog, rule.removeprefix(COLUMN), "group_by")
    elif rule.startswith(BLOCK):
        groups = _blocks(catalog, rule.removeprefix(BLOCK))
    else:
        groups = _matches(rule, [video.path for video in catalog.videos])
    found = Counter(group for group in groups if group)
    _check(catalog, rule, found, groups)
    videos = tuple(
        dataclasses.replace(video, group=group or None)
        for video, group in zip(catalog.videos, groups, strict=True)
    )
    return dataclasses.replace(catalog, videos=videos, group_notes=tuple(_notes(videos, found)))


def column_values(catalog: Catalog, name: str, option: str) -> list[str]:
    """The value of a column for each video, without surrounding blanks; empty where there is none.

    Args:
        catalog: the videos.
        name: of the column, `group` or one of the further columns of the CSV; case does not matter.
        option: the option that names it, for the error.

    Raises:
        UserError: no video has such a column.
    """
    columns = dict.fromkeys(column for video in catalog.videos for column in video.extra)
    if name == "group" and any(video.group for video in catalog.videos):
        return [video.group or "" for video in catalog.videos]
    same = [column for column in columns if column == name] or [
        column for column in columns if column.strip().casefold() == name.strip().casefold()
    ]
    if not same:
        has = f"it has {', '.join(columns)}" if columns else "only a CSV has such columns"
        raise UserError(f"`{option}`: {catalog.root} has no column {name!r} ({has})")
    return [video.extra.get(same[0], "").strip() for video in catalog.videos]


def _blocks(catalog: Catalog, length: str) -> list[str]:
    """The block of time of each segment, as a media fragment; a whole file is one group."""
    try:
        seconds = parse_time(length)
    except UserError as error:
        raise UserError(f"`group_by` {BLOCK}{length}: {error}") from None
    if not seconds:
        raise UserError(f"`group_by` {BLOCK}{length} needs a length in seconds: {BLOCK}600")
    files = by_file(catalog.videos)
    if not files:
        raise UserError(
            f"`group_by` {BLOCK}{length} needs segments, and {catalog.root} has none: give a CSV "
            "with the columns start and end"
        )
    groups = {video.key: video.path for video in catalog.videos}
    for path, rows in files.items():
        reached, name = 0.0, ""
        for video in sorted(rows, key=lambda row: row.start or 0.0):
            start = video.start or 0.0
            if not name or start > reached - ROUNDING:  # overlapping rows have frames in common
                first = int((start + ROUNDING) / seconds) * seconds
                name = f"{path}#t={format_seconds(first)},{format_seconds(first + seconds)}"
            groups[video.key] = name
            reached = max(reached, math.inf if video.end is None else video.end)
    return [groups[video.key] for video in catalog.videos]


def _parent(video: Video) -> str:
    """The folders between the class folder and the video, else all folders above it."""
    folders = video.path.split("/")[:-1]
    if video.label in folders:
        folders = folders[folders.index(video.label) + 1 :]
    return "/".join(folders)


def _matches(rule: str, paths: Sequence[str]) -> list[str]:
    try:
        expression = re.compile(rule)
    except re.error as error:
        raise UserError(
            f"`group_by` {rule!r} is not a regular expression: {error}; it may also be parent or "
            "column:NAME or block:SECONDS"
        ) from None
    if not expression.groups:
        raise UserError(
            f"`group_by` {rule!r} has no group: put the part of the path that names the recording "
            "in parentheses; it may also be parent, column:NAME or block:SECONDS"
        )
    part = "group" if "group" in expression.groupindex else 1
    return [match[part] or "" if (match := expression.search(path)) else "" for path in paths]


def _check(catalog: Catalog, rule: str, found: Counter[str], groups: Sequence[str]) -> None:
    if not found:
        raise UserError(
            f"`group_by` {rule!r} finds no group for any of the {len(catalog)} videos of "
            f"{catalog.root} (the first is {catalog.videos[0].path!r}): correct it, or leave it out"
        )
    if len(found) == 1 and all(groups):
        raise UserError(
            f"`group_by` {rule!r} puts all {len(catalog)} videos of {catalog.root} into the group "
            f"{next(iter(found))!r}, which cannot be split: choose another rule"
        )


def _notes(videos: Sequence[Video], found: Counter[str]) -> list[str]:
    notes = []
    if lost := [video.path for video in videos if video.group is None]:
        notes.append(
            f"`group_by` finds no group for {len(lost)} of {len(videos)} videos, and each of them "
            f"counts as a recording of its own: {first_names(lost)}."
        )
    if max(found.values()) == 1:
        notes.append("`group_by` finds another group for every video, so it groups nothing.")
    return notes
