"""A decoder that crashes, hangs or asks for too much memory costs its file and not the scan."""

import dataclasses
import math
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from faults.bad_decoders import bad_examine, bad_frames, bad_items

import ar3d_keras
from ar3d_keras.config import DataConfig
from ar3d_keras.errors import UserError
from ar3d_keras.experiments.auto_preset import choose_preset
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.predictor import predict_videos
from ar3d_keras.progress import Reporter
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
from ar3d_keras.videos.parts import part_of
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.unlabelled import find_videos
from ar3d_keras.videos.video import Video

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


def test_items_of_another_process(videos):
    file = videos / "x/a.avi"
    with Isolation(Limits()) as processes:
        items = processes.stream(bad_items, file)
        found = [next(items)]
        [process] = processes._busy
        assert math.isinf(process._deadline)  # the caller may take its time
        with pytest.raises(StopIteration) as end:
            while True:
                found.append(next(items))
        assert (found, end.value.value) == ([0, 1, 2, 3], file.stat().st_size)
        items = processes.stream(bad_items, file)
        assert next(items) == 0
        items.close()  # a caller that wants no more
        assert not processes._busy
        crashing = processes.stream(bad_items, file, crash_at=2)
        with pytest.raises(DecoderError, match="SIGSEGV"):
            list(crashing)
        assert processes.call(examine, file).facts.frames == 20
        with pytest.raises(TypeError):
            processes.call(bad_items, file)


@pytest.mark.parametrize("seconds", [0.6, None])
def test_a_part_is_the_same_from_another_process(videos, seconds, write_frames, tmp_path):
    video = Video("x/a.avi", None, start=seconds and 0.2, end=seconds)
    with Isolation(Limits()) as processes:
        mine = part_of(videos, video)
        theirs = part_of(videos, video, isolation=processes)
        for options in ({}, {"size": (9, 12)}, {"size": (9, 12), "roi": (0, 0, 0.5, 1)}):
            pairs = zip(mine.frames(**options), theirs.frames(**options), strict=True)
            for (time_, frame), (other_time, other) in pairs:
                assert time_ == other_time
                np.testing.assert_array_equal(frame, other)
        assert theirs.header() == mine.header()
        folder = part_of(write_frames(tmp_path / "v", 3).parent, Video("v", None))
        folder_there = dataclasses.replace(folder, isolation=processes)
        assert len(list(folder_there.frames())) == len(list(folder.frames())) == 3


def test_a_video_that_crashes_window_by_window_costs_itself(videos, monkeypatch, tmp_path):
    monkeypatch.setattr("ar3d_keras.videos.parts._messages", bad_frames)
    network = Classifier(Network(), ("a", "b"), ClipShape(4, 16, 16, 18, 24, 1), "stub")
    catalog = find_videos([videos / "x/a.avi", videos / "x/segfault.avi"])
    good, bad = predict_videos(network, catalog, window_seconds=0.4)
    assert len(good.segments) == 2 and "SIGSEGV" in bad.failure


class Network:
    def predict_on_batch(self, clips):
        return np.full((len(clips), 2), 0.5, np.float32)


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


def test_the_verbs_give_their_limits_to_the_decoders(videos, tmp_path, monkeypatch):
    given = []

    def enter(self):
        given.append(self.limits)
        raise KeyError("entered")

    monkeypatch.setattr(Isolation, "__enter__", enter)
    limits = {"decode_seconds": 3.0, "decode_memory": 0.5}
    for call in (
        lambda: ar3d_keras.pack(videos, tmp_path / "pack", **limits, reporter=Reporter()),
        lambda: ar3d_keras.check(videos, **limits, reporter=Reporter()),
        lambda: choose_preset(DataConfig(data=videos, **limits)),
    ):
        with pytest.raises(KeyError):
            call()
    assert given == [Limits(3.0, 0.5)] * 3


@pytest.mark.parametrize("values", [{"seconds": 0.0}, {"gigabytes": float("inf")}])
def test_limits_are_checked(values):
    with pytest.raises(UserError):
        Limits(**values)
