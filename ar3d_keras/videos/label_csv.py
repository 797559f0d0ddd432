"""A CSV as labels: path,label[,group][,split][,start,end] and any further columns."""

import csv
import difflib
import io
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

from ar3d_keras.errors import UserError
from ar3d_keras.videos.region import COLUMNS as REGION
from ar3d_keras.videos.region import parse_region
from ar3d_keras.videos.remote import open_binary
from ar3d_keras.videos.segments import with_groups, without_overlaps
from ar3d_keras.videos.times import parse_stretch
from ar3d_keras.videos.video import SPLITS, Video, leads_out, named_group, split_name

COLUMNS = ("path", "label", "group", "split", "start", "end", *REGION)
# What other tools call the times of a segment, letters and digits only.
_BEFORE = r"(t|time|segment|clip|frame|action|event)?"
_UNIT = r"(s|secs?|seconds?|time|timestamp|ms|milliseconds?|frames?)?"
_TIMES = {
    "start": rf"{_BEFORE}(start|begin|onset){_UNIT}|from|t0",
    "end": rf"{_BEFORE}(end|stop|offset|finish){_UNIT}|to|t1",
}
_NEEDED = "its first line must name path,label and optionally group,split"


def read_label_csv(
    file: Path,
    *,
    labels: bool = True,
    clip_segments: bool = False,
    keep_overlaps: bool = False,
    allow_outside: bool = False,
) -> list[Video]:
    """The videos and segments that a CSV lists, one a row, with paths relative to its folder.

    Columns are separated by commas, or by semicolons or tabs if the first line is. Their names
    compare without case and surrounding blanks; rows of empty cells are skipped.

    Args:
        file: the CSV.
        labels: whether the rows need labels; False: the columns label, group and split are ignored.
        clip_segments: whether a segment that overlaps one of another class ends where that one
            starts, instead of an error.
        keep_overlaps: whether segments of different classes may overlap, as labels of events do.
        allow_outside: whether paths may lead out of the folder of the CSV.

    Raises:
        UserError: a column is missing, double or almost named as a known one, a row cannot be
            used, or two rows contradict each other; it names the row as a text editor counts lines.
    """
    rows = _read_rows(file)
    _, names = next(rows, (0, []))
    header = _read_header(file, names, labels) if names else []
    videos: dict[str, Video] = {}
    for number, cells in rows:
        where = f"{file} row {number}"
        row = _named_cells(where, header, cells)
        video = _read_video(file, where, row, labels, allow_outside, number)
        key = video.key
        if key in videos:
            raise UserError(f"{where}: {key} is listed twice: remove one of the two rows")
        videos[key] = video
    if not videos:
        raise UserError(f"{file} lists no videos: {_NEEDED}, and each further line is one video")

    def row_of(video: Video) -> str:
        return f"{file} row {video.row}"

    grouped = with_groups(list(videos.values()), row_of)
    return grouped if keep_overlaps else without_overlaps(grouped, row_of, clip=clip_segments)


def _read_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, cells) of each row that is not empty, one after another."""
    try:
        # utf-8-sig: spreadsheets put a byte-order mark in front of the first column's name.
        with io.TextIOWrapper(open_binary(file), encoding="utf-8-sig", newline="") as lines:
            line, delimiter = 0, _delimiter(next((text for text in lines if text.strip()), ""))
            lines.seek(0)
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            for cells in reader:
                is_separator = line == 0 and "".join(cells) in ("sep=", f"sep={delimiter}")
                if any(cell.strip() for cell in cells) and not is_separator:
                    yield line + 1, cells
                line = reader.line_num
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as a CSV in UTF-8: {error}") from None


def _delimiter(first_line: str) -> str:
    """The separator between the names of columns, or the one that Excel's `sep=;` tells."""
    first_line = first_line.strip("\r\n\ufeff")
    if first_line.startswith("sep=") and len(first_line) == 5:
        return first_line[-1]
    for delimiter in ";\t":
        names = [_plain(name.strip('"')) for name in first_line.split(delimiter)]
        if len(names) > 1 and ("path" in names or "label" in names):
            return delimiter
    return ","


def _read_header(file: Path, names: list[str], labels: bool) -> list[str]:
    """The names of the columns, with the known ones in plain spelling."""
    plain = [_plain(name) for name in names]
    header = [known if known in COLUMNS else name for known, name in zip(plain, names, strict=True)]
    for column in plain:
        if column and plain.count(column) > 1:
            raise UserError(
                f"{file} has {plain.count(column)} columns {column!r}: rename all but one"
            )
    for column in ("path", "label") if labels else ("path",):
        if column not in plain:
            raise UserError(
                f"{file} has no column {column!r} (it has {', '.join(names)}): {_NEEDED}"
            )
    letters = ["".join(filter(str.isalnum, name)) for name in plain]
    for column in ("group", "split", *_TIMES):
        if column in _TIMES:
            similar = [name for name in letters if re.fullmatch(_TIMES[column], name)]
        else:
            similar = difflib.get_close_matches(column, letters, n=1, cutoff=0.8)
        if column not in plain and similar:
            name = names[letters.index(similar[0])]
            raise UserError(
                f"{file} has a column {name!r}, which is almost {column!r}: name it {column!r} if "
                f"it is that{' (in seconds)' if column in _TIMES else ''}, else give it a name that "
                "is less similar"
            )
    return header


def _plain(name: str) -> str:
    """A column's name without case, surrounding blanks and invisible characters."""
    name = unicodedata.normalize("NFKC", name)
    return "".join(c for c in name if unicodedata.category(c) != "Cf").strip().casefold()


def _named_cells(where: str, header: list[str], cells: list[str]) -> dict[str, str]:
    """The cells by column; cells without a column must be empty, as spreadsheets add them."""
    if len(cells) == len(header) and all(map(str.strip, header)):
        return dict(zip(header, cells, strict=True))
    for place, cell in enumerate(cells):
        if cell.strip() and (place >= len(header) or not header[place].strip()):
            raise UserError(
                f"{where} has more cells than the first line has columns: put a value that "
                'contains a separator in double quotes (")'
            )
    cells = cells + [""] * (len(header) - len(cells))
    return {name: cell for name, cell in zip(header, cells, strict=False) if name.strip()}


def _read_video(
    file: Path, where: str, row: dict[str, str], labels: bool, allow_outside: bool, number: int
) -> Video:
    path = row.pop("path")
    label, group, split = (row.pop(name, "").strip() for name in ("label", "group", "split"))
    if not labels:
        label = group = split = ""
    if not path.strip() or (labels and not label):
        raise UserError(f"{where} has no {'label' if path.strip() else 'path'}: fill it in")
    if "\0" in path:
        raise UserError(f"{where}: {path!r} contains a zero byte, which no file name can")
    path = _relative(file, where, path, allow_outside, hint=labels)
    if split and split_name(split) is None:
        raise UserError(f"{where}: split {split!r} is not one of {', '.join(SPLITS)}")
    try:
        start, end = parse_stretch(row.pop("start", ""), row.pop("end", ""))
        roi = parse_region([row.pop(name, "") for name in REGION])
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    if start is not None:  # the name of its file tells no group: see `segments.with_groups`
        rest = split_name(split), row, start, end, roi, number
        return Video(path, label or None, group or None, *rest)
    if not labels:
        return Video(path, None, roi=roi, row=number)
    named = group or named_group(path, label)
    return Video(path, label, named, split_name(split), row, roi=roi, row=number)


def _relative(file: Path, where: str, path: str, allow_outside: bool, *, hint: bool) -> str:
    """`path` relative to the folder of the CSV.

    A path as Windows writes it, or with blanks around it, is meant without them if only that file
    exists.
    """
    other = path.strip().replace("\\", "/")
    # A Path takes longer than the rest of a row.
    absolute = os.path.isabs(path)  # noqa: PTH117
    normal = os.path.normpath(path)
    if path == other and ":" not in path and not absolute and not normal.startswith("."):
        return normal
    folder = file.parent
    if other != path and not (folder / path).exists() and (folder / other).exists():
        path = other
    absolute = Path(path).is_absolute()  # `path` may be another one now
    if absolute:
        pairs = (folder.absolute(), Path(path)), (folder.resolve(), Path(path).resolve())
        for root, whole in pairs:
            inside = Path(os.path.normpath(whole))
            if inside != root and inside.is_relative_to(root):
                return inside.relative_to(root).as_posix()
    normal = os.path.normpath(path)
    outside = normal == "." or leads_out(path)
    if outside and allow_outside and normal != ".":
        return normal
    if outside or (PureWindowsPath(path).is_absolute() and not (folder / path).exists()):
        raise UserError(
            f"{where}: {path} lies outside {folder}: "
            "move the CSV above its videos and give paths relative to it"
            + (", or set `allow_outside`" if hint else "")
        )
    return normal
