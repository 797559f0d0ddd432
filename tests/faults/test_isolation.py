"""A decoder that crashes, hangs or asks for too much memory costs its file and not the scan."""

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from faults.bad_decoders import bad_examine

from ar3d_keras.errors import UserError
from ar3d_keras.videos import isolation
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.examination import examine
from ar3d_keras.videos.isolation import (
    CRASHED,
    TIMED_OUT,
    TOO_LARGE,
    UNREADABLE,
    DecoderError,
    Isolation,
    Limits,
)
from ar3d_keras.videos.scan import scan

LIMITS = Limits(seconds=1.0, gigabytes=1.0)


@pytest.fixture(scope="module")
def videos(tmp_path_factory, write_video):
    root = tmp_path_factory.mktemp("bad")
    names = (
        *("abort", "bug", "hangs", "huge", "segfault"),  # by the alphabet among the good ones
        *("a", "crashes-once", "n", "prints", "slow", "z"),
    )
    good = write_video(root / "x/good.avi", 20)
    for name in names:
        shutil.copy(good, root / "x" / f"{name}.avi")
    good.unlink()
    (root / "y").mkdir()
    (root / "y/text.avi").write_text("no video")
    os.mkfifo(root / "y/pipe.avi")
    (root / "labels.csv").write_text(
        "path,label\n"
        + "".join(f"x/{name}.avi,x\n" for name in names)
        + "y/text.avi,y\ny/pipe.avi,y\n"
    )
    return root


def open_files():
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0


def test_a_bad_file_costs_itself_and_not_the_scan(videos, monkeypatch):
    monkeypatch.setattr("ar3d_keras.videos.file_scanner.examine", bad_examine)
    before = open_files()
    found = scan(open_catalog(videos), workers=2, limits=LIMITS)
    assert found.kinds == {
        "x/abort.avi": CRASHED,
        "x/bug.avi": CRASHED,
        "x/hangs.avi": TIMED_OUT,
        "x/huge.avi": TOO_LARGE,
        "x/segfault.avi": CRASHED,
        "y/pipe.avi": UNREADABLE,
        "y/text.avi": UNREADABLE,
    }
    assert found.kinds.keys() == found.unreadable.keys()
    good = ("a", "crashes-once", "n", "prints", "slow", "z")
    assert found.frames == {f"x/{name}.avi": 20 for name in good}
    assert "SIGSEGV" in found.unreadable["x/segfault.avi"]
    assert "decode_seconds" in found.unreadable["x/hangs.avi"]
    assert "decode_memory" in found.unreadable["x/huge.avi"]
    isolation._end()
    assert open_files() <= before


def test_a_decoder_without_end_is_ended(videos, monkeypatch):
    monkeypatch.setattr(isolation, "WHOLE", 1)
    shutil.copy(videos / "x/a.avi", videos / "endless.avi")
    with Isolation(LIMITS) as processes, pytest.raises(DecoderError) as caught:
        processes.call(bad_examine, videos / "endless.avi")
    assert caught.value.kind == TIMED_OUT


def test_an_error_kills_the_decoders_at_once(videos):
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), ThreadPoolExecutor(1) as pool, Isolation(Limits()) as it:
        waiting = pool.submit(it.call, bad_examine, videos / "x/hangs.avi")
        threading.Event().wait(1)
        raise KeyboardInterrupt
    assert waiting.exception() is not None
    assert time.monotonic() - begun < 20


def test_processes_are_used_again(videos):
    with Isolation(LIMITS) as processes:
        for _ in range(3):
            assert processes.call(examine, videos / "x/a.avi").facts.frames == 20
    assert isolation._idle[-1].calls >= 3


def test_an_interrupted_call_does_not_answer_the_next_one(videos, monkeypatch):
    shutil.copy(videos / "x/a.avi", videos / "interrupted.avi")
    with Isolation(LIMITS) as processes:
        processes.call(examine, videos / "x/a.avi")
        interrupted = isolation._idle[-1]
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(isolation, "receive", _interrupt)
            processes.call(bad_examine, videos / "interrupted.avi")
        assert interrupted not in isolation._idle
        assert processes.call(Path.read_bytes, videos / "labels.csv").startswith(b"path,label")


def _interrupt(stream):
    raise KeyboardInterrupt


def test_where_no_process_can_be_started_this_one_decodes(videos, monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    isolation._end()
    with Isolation(LIMITS) as processes:
        assert processes.call(examine, videos / "x/a.avi").facts.frames == 20


@pytest.mark.parametrize("values", [{"seconds": 0.0}, {"gigabytes": float("inf")}])
def test_limits_are_checked(values):
    with pytest.raises(UserError):
        Limits(**values)
