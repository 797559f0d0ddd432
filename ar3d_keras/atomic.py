"""Files that matter are written whole or not at all: temporary name, fsync, rename."""

import contextlib
import csv
import errno
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it takes the place of `path`.

    The block may write a file there, which replaces one, or make a folder, which replaces none
    that holds something. If it raises, `path` keeps what it held before and the temporary is
    removed.

    Raises:
        FileExistsError: `path` is a folder already, perhaps since a moment ago.
        OSError: the disk is full or the folder cannot be written (`path` is untouched).
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
            error.filename = str(path)  # "no space left on device" does not say for what
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        raise


def fitting_name(stem: str, end: str) -> str:
    """Joins `stem` and `end` to a file name; `stem` is cut where both exceed 255 bytes."""
    room = 255 - len(os.fsencode(end))
    if len(os.fsencode(stem)) > room:
        stem = os.fsencode(stem)[:room].decode("utf-8", "ignore")
    return stem + end


def in_the_way(folder: Path) -> Path | None:
    """The file that keeps `folder` from being made, for it is there or above; None: there is none."""
    return next((p for p in (folder, *folder.parents) if p.exists() and not p.is_dir()), None)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` as UTF-8 to `path`, whole or not at all.

    A file name that is no UTF-8 is written as the bytes that it has (`surrogateescape`).
    """
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))


def write_json(path: str | os.PathLike, value: object) -> None:
    """Writes `value` as indented JSON to `path`, whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # What is no UTF-8 becomes \udcNN, which JSON reads back.
    write_text(path, text.encode("utf-8", "backslashreplace").decode())


def write_csv(path: str | os.PathLike, header: Sequence, rows: Iterable[Iterable]) -> None:
    """Writes a header and rows as CSV, whole or not at all; any text can be read back."""
    write_text(path, csv_text(header, rows))


def csv_text(header: Sequence, rows: Iterable[Iterable]) -> str:
    """A header and rows as CSV; any text can be read back."""
    table = [list(header), *map(list, rows)]
    # csv leaves a lone carriage return unquoted when lines end in "\n", and cannot read it back.
    odd = any("\r" in cell for row in table for cell in row if isinstance(cell, str))
    text = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL
    csv.writer(text, lineterminator="\n", quoting=quoting).writerows(table)
    return text.getvalue()


def _flush(path: Path) -> None:
    """Forces a file, or every file of a folder, onto the disk."""
    for file in [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
