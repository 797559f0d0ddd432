"""Files of object stores: s3://BUCKET/KEY and what else fsspec knows, read by ranges.

The path of such a file has its scheme as one of its parts, because Path makes one slash of two:
`s3:/bucket/key`, and `/anywhere/s3:/bucket/key` is the same file.

Files are read in blocks, which a bounded cache on the local disk keeps: the ones that were used last.
"""

import contextlib
import datetime
import functools
import hashlib
import io
import os
import re
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ar3d_keras.errors import UserError
from ar3d_keras.videos.cache import cache_folder

BLOCK = 4 << 20
CACHE_BYTES = 10 << 30  # AR3D_REMOTE_CACHE_GB says another bound, in 10^9 bytes
_REMOTE = re.compile(r"(?:^|/)(s3a?|gs|gcs|az|abfs|memory):/+(.*)", re.DOTALL)
_TIMES = ("LastModified", "updated", "last_modified", "mtime", "created")


class UnreachableError(UserError):
    """An object store that does not answer or refuses; not an error of one video."""


def is_remote(path: str | os.PathLike) -> bool:
    """Whether a path is that of an object store."""
    text = os.fspath(path)
    return ":/" in text and _REMOTE.search(text) is not None


def is_in_memory(path: str | os.PathLike) -> bool:
    """Whether only this process has the file."""
    return is_remote(path) and address(path).startswith("memory:")


def address(path: str | os.PathLike) -> str:
    """The URL of a path for which `is_remote` holds."""
    found = _REMOTE.search(os.fspath(path))
    assert found is not None
    return f"{found[1]}://{found[2]}"


def plain(path: str | os.PathLike) -> Path:
    """The path without what stands before its scheme; a local path as it is."""
    return Path(address(path)) if is_remote(path) else Path(path)


@functools.cache
def _file_system(scheme: str) -> Any:
    try:
        import fsspec

        # What another process writes must be seen.
        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError as error:
        raise UserError(
            f"{scheme}:// needs a library that is not installed ({error}): "
            "`pip install ar3d-keras[cloud]`"
        ) from None


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[tuple[Any, str]]:
    """The file system of a path and its name there; errors that are not of this one file are the
    user's: the same command goes on when the store answers again.

    Raises:
        FileNotFoundError: there is no such file in the bucket.
        UserError: the store does not answer, or refuses, or the bucket is gone.
    """
    url = address(path)
    system = _file_system(url.partition("://")[0])
    name = system._strip_protocol(url)
    try:
        yield system, name
    except UserError:
        raise
    except FileNotFoundError as error:
        bucket = name.strip("/").partition("/")[0]
        if bucket in ("", name) or _is_there(system, bucket):
            raise FileNotFoundError(2, "No such file in the bucket", url) from None
        raise _unreachable(url, error, f"there is no bucket {bucket!r}") from None
    except Exception as error:  # each library has errors of its own
        raise _unreachable(url, error) from None


def _is_there(system: Any, bucket: str) -> bool:
    try:
        return bool(system.exists(bucket))
    except PermissionError:  # the bucket may not be listed
        return True


def _unreachable(url: str, error: Exception, reason: str = "") -> UnreachableError:
    lines = (str(error).strip() or type(error).__name__).splitlines()
    return UnreachableError(
        f"{url} cannot be read ({reason or lines[0]}): check the address, your rights and the "
        "connection; what is done is kept, and the same command continues"
    )


_stamps: dict[str, tuple[int, int]] = {}  # URL -> size and time, of what was listed


def stat(path: str | os.PathLike) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: the store cannot be read.
    """
    if found := _stamps.get(address(path)):
        return found
    with _opened(path) as (system, name):
        info = system.info(name)
        if info["type"] != "file":
            raise FileNotFoundError(name)
        return _stamp_of(info)


def _stamp_of(info: dict[str, Any]) -> tuple[int, int]:
    when = next((info[name] for name in _TIMES if info.get(name) is not None), 0)
    if isinstance(when, str):
        when = datetime.datetime.fromisoformat(when)
    seconds = when.timestamp() if isinstance(when, datetime.datetime) else float(when)
    return int(info["size"]), round(seconds * 1e6) * 1000


def is_file(path: str | os.PathLike) -> bool:
    """Whether there is such a file.

    Raises:
        UserError: the store cannot be read.
    """
    try:
        stat(path)
    except FileNotFoundError:
        return False
    return True


def list_files(folder: str | os.PathLike) -> list[str]:
    """The paths of all files below a folder, relative to it, sorted. Their stamps are kept, so that
    a million videos need no million requests.

    Raises:
        UserError: the store cannot be read.
    """
    with _opened(folder) as (system, name):
        found = system.find(name, detail=True)
    scheme = address(folder).partition("://")[0]
    start = name.strip("/") + "/"
    files = []
    for key, info in found.items():
        key = key.strip("/")
        if key.startswith(start) and info["type"] == "file":
            files.append(key.removeprefix(start))
            _stamps[f"{scheme}://{key}"] = _stamp_of(info)
    return sorted(files)


def read_bytes(path: str | os.PathLike) -> bytes:
    """The content of a small file, which is not cached.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: the store cannot be read.
    """
    _stamps.pop(address(path), None)
    with _opened(path) as (system, name):
        return system.cat_file(name)


def open_binary(path: str | os.PathLike) -> io.BufferedReader:
    """Opens a local or a remote file for reading.

    Raises:
        OSError: there is no such file, or it cannot be opened.
        UserError: the store cannot be read.
    """
    if not is_remote(path):
        return Path(path).open("rb")
    return io.BufferedReader(_RemoteFile(path), BLOCK)


class _RemoteFile(io.RawIOBase):
    def __init__(self, path: str | os.PathLike):
        super().__init__()
        self._range, self._place = RangeReader(path), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._range.size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: Any) -> int:
        end = min(self._place + len(buffer), self._range.size)
        if end <= self._place:
            return 0
        content = self._range.read(self._place, end)
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)


class RangeReader:
    """Reads ranges of a remote file, from any number of threads.

    Attributes:
        size: bytes of the file.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: the store cannot be read.
    """

    def __init__(self, path: str | os.PathLike):
        self._path = path
        self.size, changed = stat(path)
        self._key = hashlib.sha256(f"{address(path)} {self.size} {changed}".encode()).hexdigest()
        self._last: tuple[int, bytes] = -1, b""

    def read(self, start: int, stop: int) -> bytes:
        """The bytes of a range, which lies in the file.

        Raises:
            UserError: the store cannot be read.
        """
        parts = []
        for number in range(start // BLOCK, -(-stop // BLOCK)):
            first = number * BLOCK
            block = self._block(number)
            parts.append(block[max(0, start - first) : stop - first])
        return b"".join(parts)

    def _block(self, number: int) -> bytes:
        last, block = self._last
        if last == number:
            return block
        file = _cached(f"{self._key[:32]}-{number}")
        block = _kept(file)
        wanted = min(BLOCK, self.size - number * BLOCK)
        if len(block) != wanted:
            with _opened(self._path) as (system, name):
                begin = number * BLOCK
                block = system.cat_file(name, start=begin, end=begin + wanted)
                if len(block) != wanted:
                    raise OSError("the file has changed while it was read")
            _keep(file, block)
        self._last = number, block
        return block


def _cached(name: str) -> Path | None:
    folder = cache_folder()
    return folder / "remote" / name if folder else None


def _kept(file: Path | None) -> bytes:
    """The cached block, which counts as used now; nothing if there is none."""
    if file is None:
        return b""
    try:
        block = file.read_bytes()
        os.utime(file)
    except OSError:
        return b""
    return block


_lock = threading.Lock()
_held: dict[Path, int] = {}  # folder -> bytes that it holds, as far as this process knows


def _keep(file: Path | None, block: bytes) -> None:
    # A cache that cannot be written only costs the next reader its time.
    if file is None:
        return
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{uuid.uuid4().hex}")
        try:
            temporary.write_bytes(block)
            temporary.replace(file)  # no need of a sync: a block that is cut off is read again
        finally:
            temporary.unlink(missing_ok=True)
        with _lock:
            held = _held.get(file.parent)
            held = _held[file.parent] = (
                sum(size for _, size, _ in _files(file.parent))
                if held is None
                else held + len(block)
            )
            if held > _bound():
                _held[file.parent] = _drop_oldest(file.parent)


def _bound() -> float:
    try:
        return float(os.environ["AR3D_REMOTE_CACHE_GB"]) * 1e9
    except (KeyError, ValueError):
        return CACHE_BYTES


def _files(folder: Path) -> Iterator[tuple[int, int, str]]:
    """(time of the last use, size, path) of each file."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat()
                yield status.st_mtime_ns, status.st_size, entry.path


def _drop_oldest(folder: Path) -> int:
    """Removes what was not used for longest, to nine tenths of the bound; the bytes that stay."""
    files = sorted(_files(folder))
    held = sum(size for _, size, _ in files)
    for _, size, path in files:
        if held <= 0.9 * _bound():
            break
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108
            held -= size
    return held
