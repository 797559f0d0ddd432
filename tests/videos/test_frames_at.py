"""Clips whose frames are 1/fps seconds apart, whatever the frame rate of the file."""

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.predictor import predict_videos
from ar3d_keras.inference.timeline import clips_of, small_windows
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.pack_index import PackSettings, clock_of
from ar3d_keras.videos.packing import make_pack
from ar3d_keras.videos.parts import Part
from ar3d_keras.videos.reader import load_cv2
from ar3d_keras.videos.sampling import ClipShape, frames_at, full_span, protocol, stride_for
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.sources import PackSource, RandomSampler, UniformSampler, VideoSource

SHAPE = ClipShape(
    frames=8, height=32, width=40, resize_height=40, resize_width=56, stride=3, fps=7.5
)

times_and_end = st.lists(st.floats(0.002, 2), min_size=1, max_size=40).map(
    lambda steps: (np.cumsum([0, *steps[:-1]]), sum(steps))
)


@given(times_and_end, st.floats(0.1, 200))
def test_each_moment_shows_the_last_frame_before_it(video, fps):
    times, end = video
    numbers = frames_at(times, end, fps)
    assert len(numbers) == pytest.approx(max(1, end * fps), abs=1.2)
    assert (np.diff(numbers) >= 0).all()
    for place, number in enumerate(numbers):
        moment = place / fps
        assert times[number] <= moment + 0.001
        assert number == len(times) - 1 or times[number + 1] > moment


@given(st.integers(1, 60), st.sampled_from([1, 2, 3, 4, 8]), st.sampled_from([5, 7.5, 12, 15, 25]))
def test_multiples_of_a_rate_give_the_same_moments(moments, factor, fps):
    slow = frames_at(np.arange(moments) / fps, moments / fps, fps)
    fast = frames_at(np.arange(moments * factor) / fps / factor, moments / fps, fps)
    assert slow.tolist() == list(range(moments))
    assert fast.tolist() == list(range(0, moments * factor, factor))


@given(times_and_end)
def test_a_pack_keeps_times(video):
    from ar3d_keras.videos.pack_index import PackedVideo
    from ar3d_keras.videos.video import Video

    times, end = video
    kept, duration = PackedVideo(Video("a", "b"), 0, 0, clock=clock_of(times, end)).times()
    assert kept == pytest.approx(times, abs=1e-6)
    assert duration == pytest.approx(end, abs=1e-6)
    assert len(frames_at(kept, duration, 15)) == len(frames_at(times, end, 15))


def versions(write_timed, folder):
    """One motion of 4 s, whose picture changes every 1/15 s, at four frame rates, as two classes."""
    # What a file with a variable rate does not know is how long its last frame is shown: 1/30 s.
    drawn = np.round(np.random.default_rng(0).uniform(0, 3.9, 50), 2)
    uneven = np.unique(np.r_[np.arange(60) / 15, drawn, 4 - 1 / 30])
    for name, times in {
        "a15.mp4": np.arange(60) / 15,
        "b30.mp4": np.arange(120) / 30,
        "c60.mp4": np.arange(240) / 60,
        "dvfr.mp4": uneven,
        "e30late.mkv": 3 + np.arange(120) / 30,
    }.items():
        numbers = np.floor((times - times[0]) * 15 + 1e-6).astype(int)
        for label in ("x", "y"):
            write_timed(folder / label / name, times, numbers)
    return folder


@pytest.fixture(scope="module")
def motion(write_timed, tmp_path_factory):
    return versions(write_timed, tmp_path_factory.mktemp("motion"))


def source_of(catalog, sampler, shape=SHAPE):
    scanned = scan(catalog, workers=2, fps=shape.fps)
    return VideoSource(
        catalog.root, catalog.videos, scanned.frames, catalog.class_names, shape, sampler,
        numbers=scanned.numbers,
    )  # fmt: skip


@pytest.mark.parametrize("fps", [15, 7.5, 5, 3])
def test_equal_clips_of_all_rates(motion, frame_numbers, fps):
    shape = ClipShape(**vars(SHAPE) | {"fps": fps})
    source = source_of(open_catalog(motion), UniformSampler(3), shape)
    assert len(set(source._frames.values())) == 1
    for clip in range(3):
        shown = [frame_numbers(source[video * 3 + clip, 0]) for video in range(len(source.videos))]
        assert shown == [shown[0]] * 10
        steps = np.diff(shown[0])
        assert (steps == 15 / fps).sum() >= 6  # a short video starts over once


def test_equal_training_clips(motion, frame_numbers):
    """The same draw gives the same moments at every rate."""
    source = source_of(open_catalog(motion), RandomSampler(seed=1, flip=False))
    for index in range(3):
        spec = source.clip_spec(index, 0)
        shown = []
        for video in range(5):
            clip = source.cut(video, spec)
            shown.append(frame_numbers(clip))
        assert shown == [shown[0]] * 5


def test_packs_give_the_same_clips(motion, tmp_path):
    catalog = open_catalog(motion)
    pack = make_pack(
        catalog, tmp_path / "pack", PackSettings("raw", 40, 56), workers=2, reporter=Reporter()
    )
    source = source_of(catalog, UniformSampler(2))
    scanned = pack.scan(catalog.videos, fps=SHAPE.fps)
    packed = PackSource(
        pack, catalog.videos, scanned.frames, catalog.class_names, SHAPE, UniformSampler(2),
        numbers=scanned.numbers,
    )  # fmt: skip
    for index in range(len(source)):
        assert np.array_equal(source[index, 0], packed[index, 0])
    assert pack.scan(catalog.videos).frames == scan(catalog, workers=1).frames


@pytest.mark.parametrize("flow", ["dis", None])  # of the pack
def test_flow_between_the_frames_of_a_clip(tmp_path, flow):
    """From videos and from a pack, whatever flow that holds; 25 frames a second move by a pixel each."""
    still = np.random.default_rng(0).integers(0, 256, (40, 80, 3), np.uint8)
    still = load_cv2().GaussianBlur(still, (0, 0), 2)
    for folder in (tmp_path / "videos" / label / "a" for label in "xy"):
        folder.mkdir(parents=True)
        for number in range(20):
            picture = still[:, number : number + 56]
            load_cv2().imwrite(str(folder / f"{number}.png"), picture)
    shape = ClipShape(**vars(SHAPE) | {"flow": "dis", "fps": 12.5, "frames": 4})
    catalog = open_catalog(tmp_path / "videos")
    settings = PackSettings("raw", 40, 56, flow=flow)
    pack = make_pack(catalog, tmp_path / "pack", settings, workers=2, reporter=Reporter())
    pack.require(shape)
    source = source_of(catalog, RandomSampler(seed=0, flip=True), shape)
    packed = PackSource(
        pack, catalog.videos, source._frames, catalog.class_names, shape,
        RandomSampler(seed=0, flip=True), numbers=pack.scan(catalog.videos, fps=shape.fps).numbers,
    )  # fmt: skip
    for epoch in range(4):
        spec, clip = source.clip_spec(0, epoch), packed[0, epoch]
        assert np.array_equal(source[0, epoch], clip)
        middle = clip[:, 10:-10, 10:-10, 3].astype(float)
        pixels = (middle - 128) * 20 / 127
        assert np.median(pixels) == pytest.approx(2 if spec.flip else -2, abs=0.3)  # 25 / 12.5
    assert {source.clip_spec(0, epoch).flip for epoch in range(4)} == {True, False}


def test_segments_in_time(motion, frame_numbers, tmp_path):
    """Training, packs and prediction see the same motion in segments of files of all rates."""
    for file in (motion / "x").iterdir():
        (tmp_path / file.name).symlink_to(file)
    rows = [
        f"{file.name},{label},{start},{start + length}"
        for file in sorted((motion / "x").iterdir())
        for label, start, length in (("x", 1, 1.2), ("y", 2.4, 1.5))
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,start,end", *rows]))
    catalog = open_catalog(tmp_path)
    pack = make_pack(
        catalog, tmp_path / "pack", PackSettings("raw", 40, 56), workers=1, reporter=Reporter()
    )
    scanned = pack.scan(catalog.videos, fps=SHAPE.fps)
    for sampler in (UniformSampler(), RandomSampler(seed=1, flip=False)):
        source = source_of(catalog, sampler)
        packed = PackSource(
            pack, catalog.videos, scanned.frames, catalog.class_names, SHAPE, sampler,
            numbers=scanned.numbers,
        )  # fmt: skip
        for place in range(2):
            spec = source.clip_spec(place, 3)
            clips = [source.cut(index, spec) for index in range(place, 10, 2)]
            shown = [frame_numbers(clip) for clip in clips]
            assert shown == [shown[0]] * 5
            for index, clip in zip(range(place, 10, 2), clips, strict=True):
                assert np.array_equal(packed.cut(index, spec), clip)
    assert scanned.frames == source._frames
    assert shown[0][0] >= 36  # of the last segment, from 2.4 s on

    class Network:
        clips: ClassVar = []

        def predict_on_batch(self, clips):
            self.clips += list(np.array(clips))
            return np.full((len(clips), 2), 0.5, np.float32)

    classifier = Classifier(Network(), catalog.class_names, SHAPE, "fake", batch_size=1)
    predict_videos(classifier, catalog, workers=1)
    shown = [frame_numbers(clip) for clip in Network.clips]
    assert shown == shown[:2] * 5
    assert shown[0] == [15, 17, 19, 21, 23, 25, 27, 29]


def test_windows_of_all_rates(motion, frame_numbers):
    shown = []
    for file in sorted((motion / "x").iterdir()):
        windows = small_windows(Part(file), SHAPE, seconds=1.2, hop=0.8)
        shown.append([])
        for window in windows:
            frames = [window.frames[place] for place in window.sampled(SHAPE.fps)]
            [clip] = clips_of(frames, SHAPE)
            shown[-1].append(frame_numbers(clip))
    assert len(shown[0]) == 5
    # The end of the last window, and with it its clip, is a guess where the rate varies.
    assert [found[:4] for found in shown] == [shown[0][:4]] * 5


def test_the_contract_says_it():
    assert "7.5 a second" in protocol(SHAPE, clips=1, crops=1)
    assert stride_for(1000, SHAPE) == 1
    assert full_span(SHAPE) == 8


def test_an_older_pack_has_no_times(motion, tmp_path, user_error):
    import dataclasses

    catalog = open_catalog(motion)
    pack = make_pack(
        catalog, tmp_path / "pack", PackSettings("raw", 40, 56), workers=2, reporter=Reporter()
    )
    pack.require(SHAPE)
    pack.videos = tuple(dataclasses.replace(packed, clock=None) for packed in pack.videos)
    pack.require(dataclasses.replace(SHAPE, fps=None))
    with user_error("`fps`"):
        pack.require(SHAPE)
