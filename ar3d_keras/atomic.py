"""Atomic writing of files: a temporary name, fsync, rename."""

import contextlib
import csv
import errno
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

# Windows flushes only files that are open for writing.
_FLUSHABLE = os.O_RDWR if sys.platform == "win32" else os.O_RDONLY


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`, and renames it to `path` on success.

    The block writes a file, which replaces an existing file, or makes a folder, which replaces an
    empty folder only. If the block raises, `path` does not change and the temporary is removed.

    Args:
        path: the file or folder to write; missing parent folders are made.

    Raises:
        FileExistsError: `path` is a folder that is not empty.
        OSError: the disk is full or the folder is not writable; `path` does not change.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: Keras, matplotlib and NumPy choose the format by it.
    temporary = path.with_name(fitting_name(f".{path.stem}", f".{os.getpid()}.part{path.suffix}"))
    try:
        yield temporary
        _flush(temporary)
        try:
            temporary.replace(path)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EISDIR):
                raise FileExistsError(errno.EEXIST, "it is a folder already", str(path)) from None
            raise
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # "no space left on device" names no file
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        raise


def remove_parts(folder: Path) -> None:
    """Removes the temporaries in a folder that killed processes left. No process may write there at the time."""
    for part in folder.glob(".*.part*"):
        if re.fullmatch(r"\..*\.\d+\.part(\..*)?", part.name):
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)


def fitting_name(stem: str, end: str) -> str:
    """Joins `stem` and `end` to a file name of at most 255 bytes; a longer `stem` is cut."""
    room = 255 - len(os.fsencode(end))
    if len(os.fsencode(stem)) > room:
        stem = os.fsencode(stem)[:room].decode("utf-8", "ignore")
    return stem + end


def in_the_way(folder: Path) -> Path | None:
    """The file that is in the place of `folder` or of one of its parents; None if there is none."""
    return next((p for p in (folder, *folder.parents) if p.exists() and not p.is_dir()), None)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text atomically as UTF-8.

    A file name in the text that is not UTF-8 keeps its bytes (`surrogateescape`).
    """
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))


def write_json(path: str | os.PathLike[str], value: object, *, indent: int | None = 2) -> None:
    """Writes a value atomically as JSON.

    Args:
        path: of the file.
        value: what it will hold.
        indent: blanks a level; None: one line, which takes a fifth of the time.

    Raises:
        ValueError: the value contains NaN or infinity.
        TypeError: the value has no JSON form.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"
    # Bytes that are not UTF-8 become \udcNN, which json.loads restores.
    write_text(path, text.encode("utf-8", "backslashreplace").decode())


def write_csv(path: str | os.PathLike[str], header: Sequence, rows: Iterable[Iterable]) -> None:
    """Writes a header and rows atomically as CSV that `csv.reader` reads back unchanged."""
    write_text(path, csv_text(header, rows))


def csv_text(header: Sequence, rows: Iterable[Iterable]) -> str:
    """A header and rows as CSV that `csv.reader` reads back unchanged."""
    table = [list(header), *map(list, rows)]
    # With "\n" as line end, csv does not quote a carriage return, and cannot read it back.
    has_return = any("\r" in cell for row in table for cell in row if isinstance(cell, str))
    text = io.StringIO(newline="")
    writer = csv.writer(
        text, lineterminator="\n", quoting=csv.QUOTE_ALL if has_return else csv.QUOTE_MINIMAL
    )
    writer.writerows(table)
    return text.getvalue()


def _flush(path: Path) -> None:
    """Flushes a file, or every file in a folder, to the disk."""
    for file in [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]:
        descriptor = os.open(file, _FLUSHABLE)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
