"""A lock on a file between processes, which ends with its process, however that ends."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

# What file systems without locks answer, such as some network file systems.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)

_held: set[TextIO] = set()


class LockedError(Exception):
    """Another process holds the lock; the message names that process."""


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Holds the lock of a file inside the context.

    The lock is the kernel's: it is free again when its process has ended, also after SIGKILL. Where
    the file system has no locks, the file names the process that holds it, and a process of this
    machine that is gone holds nothing.

    Args:
        file: the lock's file, made if it is missing. It stays there.

    Raises:
        LockedError: another process, or another part of this process, holds the lock.
        OSError: the file cannot be written.
    """
    with file.open("a+", encoding="utf-8") as handle:
        handle.seek(0)
        holder = handle.read().strip()
        if not _lock(handle, holder):
            raise LockedError(holder or "another process")
        _write(handle, f"process {os.getpid()} on {socket.gethostname()}")
        _held.add(handle)
        try:
            yield
        finally:
            _held.discard(handle)
            _write(handle, "")


def is_locked(file: Path) -> bool:
    """Whether a process holds the lock of a file."""
    if not file.exists():
        return False
    try:
        with locked(file):
            return False
    except LockedError:
        return True
    except OSError:  # a folder that cannot be written to
        return False


def _write(handle: TextIO, text: str) -> None:
    """Names the holder, for other processes; a full disk does not matter."""
    with contextlib.suppress(OSError):
        os.ftruncate(handle.fileno(), 0)
        os.lseek(handle.fileno(), 0, os.SEEK_SET)
        os.write(handle.fileno(), text.encode())


def _lock(handle: TextIO, holder: str) -> bool:
    """Whether the lock was free; it ends when `handle` is closed."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        # Far behind the text, because a locked byte cannot be read.
        os.lseek(handle.fileno(), 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return not _is_alive(holder, handle.name)
    return True


def _is_alive(holder: str, file: str) -> bool:
    """Whether the process that a lock's file names may still hold it."""
    words = holder.split()
    if len(words) != 4 or not words[1].isdecimal():  # empty: it was given back
        return False
    if words[3] != socket.gethostname():
        return True  # unknown on this machine
    pid = int(words[1])
    if pid == os.getpid():  # the process before us in this container, or another part of this one
        return any(handle.name == file for handle in _held)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _give_up_in_child() -> None:
    """A child that was forked must not hold the lock when its parent is gone."""
    for handle in _held:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, handle.fileno(), inheritable=False)
        os.close(nowhere)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_give_up_in_child)
