"""The lock of a run folder: one process at a time, and a dead one holds nothing."""

import errno
import os
import socket
import subprocess
import sys

import pytest

from ar3d_keras.locking import LockedError, is_locked, locked

HOLD = """
import sys, time
from pathlib import Path
from ar3d_keras.locking import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of tmp_path/lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def no_locks(*_):
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize("kernel", [True, False])
def test_a_dead_process_holds_nothing(holder, tmp_path, monkeypatch, kernel):
    if not kernel:  # a file system without locks
        monkeypatch.setattr("fcntl.flock", no_locks)
    file = tmp_path / "lock"
    assert is_locked(file)
    with pytest.raises(LockedError, match=str(holder.pid)), locked(file):
        pass
    holder.kill()
    holder.wait()
    assert not is_locked(file)
    with locked(file):
        assert is_locked(file)  # by this process too
    assert not is_locked(file)


def test_without_locks_of_the_kernel_another_machine_is_believed(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", no_locks)
    file = tmp_path / "lock"
    for text, held in (
        (f"process {os.getpid()} on {socket.gethostname()}", False),  # of this container before
        ("process 1 on elsewhere", True),
        ("garbage", False),
        ("", False),
    ):
        file.write_text(text)
        assert is_locked(file) == held, text


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    file = tmp_path / "lock"
    ready, told = os.pipe(), os.pipe()
    with locked(file):
        child = os.fork()
        if not child:
            os.write(ready[1], b".")
            os.read(told[0], 1)
            os._exit(0)
        os.read(ready[0], 1)
    assert not is_locked(file)
    os.write(told[1], b".")
    os.waitpid(child, 0)


def test_no_lock_without_a_file(tmp_path):
    assert not is_locked(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()
