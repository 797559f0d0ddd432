"""What tests/platforms/test_platforms.py runs where the modules of Linux are taken away.

python units.py FOLDER VIDEOS
"""

import importlib
import os
import pkgutil
import sys
import types
from pathlib import Path

import ar3d_keras


def import_everything():
    """Every module of the package, but the one whose packages an extra brings."""
    missing = []
    for module in pkgutil.walk_packages(ar3d_keras.__path__, "ar3d_keras."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            missing.append((module.name, error.name))
    ours = [name for name, what in missing if what is None or what.startswith("ar3d_keras")]
    assert not ours, ours
    print(f"imported; left out for extras: {missing}")


def lock(folder):
    """With a stand-in of Windows's module: msvcrt locks bytes of a file until that is closed."""
    from ar3d_keras.locking import LockedError, is_locked, locked

    holders = {}

    def inode(descriptor):
        try:
            return os.fstat(descriptor).st_ino
        except OSError:
            return None

    def locking(descriptor, mode, length):
        file = inode(descriptor)
        held = holders.get(file, descriptor)
        if held != descriptor and inode(held) == file:
            raise OSError(13, "Permission denied")
        assert os.lseek(descriptor, 0, os.SEEK_CUR) > 1 << 10  # behind the holder's name
        holders[file] = descriptor

    sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
    with locked(folder / "lock"):
        assert is_locked(folder / "lock")
        try:
            with locked(folder / "lock"):
                raise AssertionError
        except LockedError as error:
            assert str(os.getpid()) in str(error)
    assert not is_locked(folder / "lock")


def write_atomically(folder):
    from ar3d_keras import atomic

    atomic.write_json(folder / "a.json", {"a": 1})
    with atomic.replacing(folder / "many") as many:
        many.mkdir()
        (many / "file").write_text("1", encoding="utf-8")
    assert {path.name for path in folder.iterdir()} >= {"a.json", "many"}


def know_the_machine():
    from ar3d_keras.training import hardware
    from ar3d_keras.videos.reader import cores, decoding_threads

    assert cores() >= 1 and decoding_threads(None) >= 1
    assert hardware.cpu_model()
    assert hardware.cpu_flags() == ()
    assert "CPU" in hardware.device_name() or hardware.gpu_name()


def read_videos(folder, videos):
    """Scans in processes of their own, one file of them damaged, packs, and reads clips."""
    from ar3d_keras.experiments.pack import pack
    from ar3d_keras.videos.catalog import open_catalog
    from ar3d_keras.videos.packs import open_pack
    from ar3d_keras.videos.scan import scan

    damaged = sorted(videos.rglob("*.avi"))[0]
    damaged.write_bytes(b"no video")
    found = scan(open_catalog(videos), workers=2)
    assert len(found.unreadable) == 1 and len(found.frames) > 1
    pack(videos, folder / "pack", resize=(16, 16))
    assert open_pack(folder / "pack").videos


def print_in_another_encoding():
    from ar3d_keras.console import Console

    Console().log("naïve ▏█ 視頻")


def main(folder, videos):
    import_everything()
    write_atomically(folder)
    lock(folder)
    know_the_machine()
    read_videos(folder, videos)
    print_in_another_encoding()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    print("all units passed")
