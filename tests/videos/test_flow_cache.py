"""Optical flow of videos is computed once and kept in the cache, and the clips stay the same."""

import dataclasses
import os

import numpy as np
import pytest

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


def test_a_network_without_flow_needs_none(data):
    assert opened(data, shape=dataclasses.replace(SHAPE, flow=None))[0].flow is None
