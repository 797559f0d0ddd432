import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.reader import read_frames
from ar3d_keras.videos.sampling import ClipShape, random_clip, uniform_clip
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.sources import RandomSampler, UniformSampler, VideoSource

SHAPE = ClipShape(frames=8, height=32, width=40, resize_height=40, resize_width=56, stride=2)
SIZE = (SHAPE.resize_height, SHAPE.resize_width)


def source_of(root, views, shape=SHAPE):
    catalog = open_catalog(root)
    frames = scan(catalog, workers=2).frames
    return VideoSource(catalog.root, catalog.videos, frames, catalog.class_names, shape, views)


def mirrored(clip):
    """Green is bright on the left of the pictures that conftest makes."""
    left, right = np.array_split(clip[..., 1].astype(float), 2, axis=2)
    return left.mean() < right.mean()


def test_what_a_source_says_of_itself(ucf_set):
    source = source_of(ucf_set, RandomSampler(seed=3, flip=True))
    assert len(source) == len(source.videos) == 10
    assert source.clips_per_video == 1
    assert source.labels.dtype == np.int64
    assert source.labels.tolist() == [0] * 5 + [1] * 5
    assert source.shape == SHAPE
    assert source.failures == {}


def test_a_training_clip_is_what_the_parts_make(ucf_set):
    source = source_of(ucf_set, RandomSampler(seed=3, flip=True))
    flips = set()
    for epoch in range(3):
        for index, video in enumerate(source.videos):
            view = random_clip(20, SHAPE, flip=True, seed=3, epoch=epoch, index=index)
            frames = read_frames(source.root / video.path, view.window, SIZE)
            rows = slice(view.top, view.top + 32)
            expected = frames[:, rows, view.left : view.left + 40]
            clip = source[index, epoch]
            assert clip.shape == (8, 32, 40, 3)
            assert clip.dtype == np.uint8
            assert clip.flags.c_contiguous
            assert np.array_equal(clip, expected[:, :, ::-1] if view.flip else expected)
            assert mirrored(clip) == view.flip
            assert np.array_equal(clip, source[index, epoch])  # asked again: the same
            flips.add(view.flip)
    assert flips == {True, False}


def test_all_frames_of_a_clip_share_crop_and_flip(write_video, tmp_path):
    """A video whose frames are all alike gives clips whose frames are all alike."""
    for label in "ab":
        for number in range(8):
            video = write_video(tmp_path / f"{label}/{number}.avi", 1, first=number)
            assert video.exists()
    source = source_of(tmp_path, RandomSampler(seed=0, flip=True))
    clips = [source[index, 0] for index in range(len(source))]
    for clip in clips:
        assert (clip == clip[:1]).all()
    assert len({mirrored(clip) for clip in clips}) == 2


def test_without_flip_no_clip_is_mirrored(ucf_set):
    source = source_of(ucf_set, RandomSampler(seed=3, flip=False))
    assert not any(mirrored(source[index, epoch]) for index in range(10) for epoch in range(3))


def test_epochs_and_seeds_draw_other_clips(ucf_set):
    one, other = (source_of(ucf_set, RandomSampler(seed=seed, flip=True)) for seed in (1, 2))
    for first, second in ((one[0, 0], one[0, 1]), (one[0, 0], other[0, 0])):
        assert not np.array_equal(first, second)


@pytest.mark.parametrize(("clips", "crops"), [(1, 1), (4, 1), (2, 3)])
def test_an_evaluation_clip_is_what_the_parts_make(ucf_set, frame_numbers, clips, crops):
    source = source_of(ucf_set, UniformSampler(clips, crops))
    views = clips * crops
    assert (len(source), source.clips_per_video) == (10 * views, views)
    assert len(source.labels) == 10
    for index in range(len(source)):
        video, view = divmod(index, views)
        expected = uniform_clip(20, SHAPE, clips=clips, crops=crops, index=view)
        frames = read_frames(source.root / source.videos[video].path, expected.window, SIZE)
        clip = source[index, 0]
        rows, columns = (
            slice(first, first + n) for first, n in ((expected.top, 32), (expected.left, 40))
        )
        assert np.array_equal(clip, frames[:, rows, columns])
        assert np.array_equal(clip, source[index, 7])  # the epoch does not matter
        # conftest numbers the frames of video v from 20 v on.
        first = (20 * video) % 236
        assert [n - first for n in frame_numbers(clip)] == expected.window.tolist()


@settings(max_examples=30)
@given(seed=st.integers(0, 99), index=st.integers(0, 9), flip=st.booleans())
def test_a_clip_is_the_same_wherever_it_is_written(ucf_set, seed, index, flip):
    source = source_of(ucf_set, RandomSampler(seed, flip))
    out = np.full((2, 8, 32, 40, 3), 77, np.uint8)
    assert source.read(index, 3, out[1]) is not None
    assert np.array_equal(out[1], source[index, 3])
    assert (out[0] == 77).all()  # nothing beside it was touched
    assert np.array_equal(source.cut(index, source.clip_spec(index, 3)), out[1])


def test_a_video_that_is_shorter_than_a_clip(write_video, write_frames, frame_numbers, tmp_path):
    write_video(tmp_path / "a/1.avi", 3)
    write_frames(tmp_path / "b/1", 5)
    source = source_of(tmp_path, UniformSampler())
    assert frame_numbers(source[0, 0]) == [0, 1, 2, 0, 1, 2, 0, 1]
    assert frame_numbers(source[1, 0]) == [0, 1, 2, 3, 4, 0, 1, 2]


def test_a_video_that_is_lost_after_the_probe_is_named(ucf_set, tmp_path):
    root = shutil.copytree(ucf_set, tmp_path / "data")
    source = source_of(root, RandomSampler(seed=0, flip=True))
    gone, cut_off, *_, last = (video.path for video in source.videos)
    (root / gone).unlink()
    (root / cut_off).write_bytes((root / cut_off).read_bytes()[:6000])
    assert source[0, 0] is None
    assert source[1, 0] is None
    assert source[9, 0] is not None
    assert set(source.failures) == {gone, cut_off}
    assert "No such file" in source.failures[gone]
    assert last not in source.failures
