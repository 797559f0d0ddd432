"""Optical flow of videos is computed once and kept in the cache, and the clips stay the same."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from processes import ROOT  # tests/processes.py

from ar3d_keras.progress import Reporter
from ar3d_keras.videos import flow_cache
from ar3d_keras.videos.dataset import open_data, open_dataset
from ar3d_keras.videos.pack_index import INDEX
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.splits import make_split

SHAPE = ClipShape(4, 24, 32, 30, 40, stride=2, flow="dis_fine", sampling="uniform")


class Lines(Reporter):
    def __init__(self):
        self.lines = []

    def log(self, message):
        self.lines.append(message)


@pytest.fixture
def data(write_video, tmp_path, monkeypatch):
    """Eight videos; one of each class is in val and in test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in "ab":
        for number in range(4):
            write_video(tmp_path / "data" / name / f"{number}.avi", 9 + number, size=(48, 64))
    return tmp_path / "data"


def opened(data, splits=("train", "val", "test"), shape=SHAPE):
    lines = Lines()
    catalog = open_data(data)
    split = make_split(catalog, "random", seed=0, fold=1, folds=4)
    return open_dataset(split, shape, splits=splits, workers=1, reporter=lines), lines.lines


def clips(dataset, name="train"):
    source = dataset.evaluation(name)
    return [source.read(index, 0) for index in range(len(source))]


def test_clips_are_those_of_the_videos_and_nothing_is_decoded_twice(data):
    dataset, lines = opened(data)
    assert dataset.flow is not None and dataset.pack is None
    assert [line for line in lines if "computed once" in line]
    plain = dataclasses.replace(dataset, flow=None)
    for name in ("train", "test"):
        for kept, computed in zip(clips(dataset, name), clips(plain, name), strict=True):
            np.testing.assert_array_equal(kept, computed)
    assert dataset.fingerprint == plain.fingerprint
    shards = sorted(dataset.flow.root.glob("shard-*"))
    before = [shard.stat().st_mtime_ns for shard in shards]
    again, lines = opened(data, splits=("test",))
    assert again.flow is not None and not lines
    assert [shard.stat().st_mtime_ns for shard in shards] == before


def test_an_evaluation_alone_makes_none(data):
    dataset, lines = opened(data, splits=("test",))
    assert dataset.flow is None
    assert "slow" in " ".join(lines)
    assert len(clips(dataset, "test")) == 2


def test_neither_does_a_full_disk(data, monkeypatch):
    monkeypatch.setattr(flow_cache, "LIMIT", 1000)
    assert opened(data)[0].flow is None


def test_a_changed_video_is_computed_again(data, write_video):
    first = opened(data)[0]
    write_video(data / "a" / "0.avi", 14, size=(48, 64))
    second = opened(data)[0]
    assert second.flow.root != first.flow.root
    assert second.frames["a/0.avi"] == 14
    for file in data.glob("*/*.avi"):
        os.utime(file, (1, 1))  # all are copied again
    assert opened(data)[0].flow is not None


def test_a_broken_video_is_not_tried_again(data):
    (data / "a" / "0.avi").write_bytes(b"no video")
    index = opened(data)[0].flow.root / INDEX
    before = index.stat().st_mtime_ns
    dataset, lines = opened(data)
    assert index.stat().st_mtime_ns == before
    assert "a/0.avi" in dataset.unreadable
    assert not [line for line in lines if "pack" in line]


def test_a_cache_that_cannot_be_written_is_said(data, tmp_path):
    (tmp_path / "cache").write_text("a file")
    dataset, lines = opened(data)
    assert dataset.flow is None
    assert "slow" in " ".join(lines)


def test_packs_that_are_long_unused_are_removed(data, write_video):
    first = opened(data)[0].flow.root
    os.utime(first, (1, 1))
    assert opened(data)[0].flow.root == first  # now it was used
    write_video(data / "a" / "0.avi", 14, size=(48, 64))
    second = opened(data)[0].flow.root
    assert first.is_dir()
    os.utime(first, (1, 1))
    write_video(data / "a" / "0.avi", 15, size=(48, 64))
    third = opened(data)[0].flow.root
    assert not first.exists()
    assert second.is_dir() and third.is_dir()


def test_clips_of_segments_and_their_training_views_are_those_of_the_videos(data, write_timed):
    path = data.parent / "segments" / "long.mp4"
    write_timed(path, [number / 25 for number in range(60)])
    rows = [f"long.mp4,{'ab'[n % 2]},{n * 0.28:.2f},{n * 0.28 + 0.26:.2f}" for n in range(8)]
    (path.parent / "labels.csv").write_text("\n".join(["path,label,start,end", *rows]))
    roi = dataclasses.replace(SHAPE, roi=(0.25, 0.0, 0.75, 1.0))
    for shape in (SHAPE, roi):
        dataset, _ = opened(path.parent, shape=shape)
        assert dataset.flow is not None
        plain = dataclasses.replace(dataset, flow=None)
        for kept, computed in zip(clips(dataset), clips(plain), strict=True):
            np.testing.assert_array_equal(kept, computed)
        kept, computed = (each.training(seed=1, flip=True) for each in (dataset, plain))
        for index in range(len(kept)):
            np.testing.assert_array_equal(kept.read(index, 3), computed.read(index, 3))


@pytest.mark.slow
def test_two_trainings_at_once_make_one_pack(data):
    code = (
        "import sys; sys.path += ['tests', 'tests/videos']; from pathlib import Path; "
        f"from test_flow_cache import opened; print(opened(Path({str(data)!r}))[0].flow.root)"
    )
    found = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    roots = {process.communicate(timeout=120)[0] for process in found}
    assert [process.returncode for process in found] == [0, 0]
    assert len(roots) == 1
    assert len(list((data.parent / "cache" / "ar3d_keras" / "flow").glob("*/pack.json"))) == 1


def test_a_network_without_flow_needs_none(data):
    assert opened(data, shape=dataclasses.replace(SHAPE, flow=None))[0].flow is None
