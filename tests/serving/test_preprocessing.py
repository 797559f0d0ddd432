"""What the graph does to frames is what evaluation does to them with OpenCV and NumPy."""

import cv2
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.serving.preprocessing import (
    centre_crop,
    centre_window,
    clip_of_frames,
    clip_of_images,
)
from ar3d_keras.videos.catalog import Video
from ar3d_keras.videos.reader import every_frame
from ar3d_keras.videos.sampling import ClipShape, frames_at, uniform_clip
from ar3d_keras.videos.sources import UniformSampler, VideoSource

SHAPE = ClipShape(4, 8, 10, resize_height=11, resize_width=15)
sizes = st.integers(1, 70)


def random_frames(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def encoded(image, kind=".jpg"):
    done, data = cv2.imencode(kind, image)
    assert done
    return data.tobytes()


def furthest(one, other):
    return np.abs(np.int32(one) - np.int32(other)).max()


@given(st.integers(1, 9), st.integers(1, 40), st.sampled_from(["stride", "uniform"]))
def test_the_window_is_that_of_evaluation(stride, frames, sampling):
    """For every length of video up to where the widest stride fits, and more."""
    shape = ClipShape(frames, stride=stride, sampling=sampling)
    available = np.arange(1, stride * frames + 3 * stride + 50)
    expected = [uniform_clip(n, shape, clips=1, crops=1, index=0).window for n in available]
    windows = centre_window(tf.constant(available, tf.int32), shape)
    np.testing.assert_array_equal(windows, expected)
    np.testing.assert_array_equal(centre_window(tf.constant(7), shape), expected[6])


@given(sizes, sizes, sizes, sizes, st.integers(0, 9))
def test_resizing_is_opencvs_within_one_grey_level(height, width, to_height, to_width, seed):
    image = random_frames(height, width, 3, seed=seed)
    shape = ClipShape(1, to_height, to_width, resize_height=to_height, resize_width=to_width)
    ours = centre_crop(image[np.newaxis], shape)[0].numpy()
    theirs = cv2.resize(image, (to_width, to_height), interpolation=cv2.INTER_LINEAR)
    assert ours.dtype == np.uint8
    assert furthest(ours, theirs) <= 1


@given(*[st.integers(1, 12)] * 2, *[st.integers(0, 5)] * 2)
def test_the_crop_is_that_of_evaluation(height, width, down, across):
    shape = ClipShape(1, height, width, resize_height=height + down, resize_width=width + across)
    image = random_frames(height + down, width + across, 3)
    view = uniform_clip(1, shape, clips=1, crops=1, index=0)
    wanted = image[view.top :, view.left :][:height, :width]
    np.testing.assert_array_equal(centre_crop(image[np.newaxis], shape)[0], wanted)


@pytest.mark.parametrize("frames", [1, 3, 5, 13, 17, 40])
def test_a_real_video_gives_the_clip_of_evaluation(frames, write_video, tmp_path):
    write_video(tmp_path / "v.avi", frames, size=(48, 64))
    evaluation = VideoSource(
        tmp_path, [Video("v.avi", None)], {"v.avi": frames}, [], SHAPE, UniformSampler()
    )
    decoded = np.stack(list(every_frame(tmp_path / "v.avi", (48, 64))))[..., ::-1]
    clip = clip_of_frames(decoded[np.newaxis], SHAPE)
    assert clip.shape == (1, *SHAPE.array) and clip.dtype == tf.uint8
    assert furthest(clip[0], evaluation[0, 0]) <= 1


def test_images_are_decoded_as_opencv_does_within_a_grey_level():
    """Both use libjpeg-turbo: with OpenCV 5.0 and TensorFlow 2.21, 200 images differed nowhere."""
    shape = ClipShape(1, 60, 80, resize_height=60, resize_width=80)
    smooth = cv2.resize(random_frames(8, 10, 3), (80, 60), interpolation=cv2.INTER_CUBIC)
    for image in (smooth, random_frames(60, 80, 3)):
        data = encoded(image)
        clip, error = clip_of_images([[data]], shape)
        assert error.numpy().tolist() == [b""]
        theirs = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), 1), cv2.COLOR_BGR2RGB)
        assert furthest(clip[0, 0], theirs) <= 1


def test_rows_of_any_length_and_frames_of_any_size_fit_into_one_batch():
    rng = np.random.default_rng(1)
    rows = []
    for count in (1, 3, 9, 30):
        frames = [
            random_frames(*rng.integers(5, 40, 2), 3, seed=count * 50 + n) for n in range(count)
        ]
        rows.append([encoded(frame, ".png") for frame in frames])
    # An empty string is no frame, wherever it stands.
    batch = [row + [b""] * (31 - len(row)) for row in rows]
    batch.append([b"", *rows[2][:4], b"", b"", *rows[2][4:]] + [b""] * 19)
    clips, errors = clip_of_images(batch, SHAPE)
    assert errors.numpy().tolist() == [b""] * 5
    for row, clip in zip(rows, clips, strict=False):
        window = uniform_clip(len(row), SHAPE, clips=1, crops=1, index=0).window
        for place, frame in zip(window, clip, strict=True):
            image = tf.io.decode_png(row[place])
            np.testing.assert_array_equal(frame, centre_crop(image[tf.newaxis], SHAPE)[0])
    np.testing.assert_array_equal(clips[4], clips[2])


def test_a_bad_image_spoils_its_own_row_and_says_where():
    good = [encoded(random_frames(20, 30, 3, seed=n)) for n in range(4)]
    cut_off = [*good[:2], good[2][: len(good[2]) // 2], good[3]]
    no_image = [b"", *good[:3], b"no image"]
    bad_last = [encoded(random_frames(20, 30, 3), ".bmp"), b"", b"", b"", b""]
    batch = [[*row, b""][:5] for row in (good, cut_off, no_image, good)]
    clips, errors = clip_of_images([*batch, [b""] * 5, bad_last], SHAPE)
    undecodable = "frame {} is not a JPEG or PNG that can be decoded"
    assert [error.decode() for error in errors.numpy()] == [
        "", undecodable.format(2), undecodable.format(4), "", "there are no frames",
        undecodable.format(0),
    ]  # fmt: skip
    alone, _ = clip_of_images([good], SHAPE)
    for row in (0, 3):
        np.testing.assert_array_equal(clips[row], alone[0])


def test_frames_that_are_not_in_the_clip_are_not_decoded():
    good = encoded(random_frames(20, 30, 3))
    row = [b"no image"] * 40
    for place in uniform_clip(40, SHAPE, clips=1, crops=1, index=0).window:
        row[place] = good
    assert clip_of_images([row], SHAPE)[1].numpy().tolist() == [b""]


def test_no_frames():
    _, errors = clip_of_images(tf.zeros((2, 0), tf.string), SHAPE)
    assert errors.numpy().tolist() == [b"there are no frames"] * 2
    with pytest.raises(tf.errors.InvalidArgumentError, match="`frames` holds no frame"):
        clip_of_frames(np.zeros((2, 0, 9, 9, 3), np.uint8), SHAPE)


@pytest.mark.parametrize("kind", [".jpg", ".png"])
def test_grey_and_alpha_become_rgb(kind):
    shape = ClipShape(1, 20, 30, resize_height=20, resize_width=30)
    picture = random_frames(20, 30, 4)
    variants = [picture[..., 0]] + [picture] * (kind == ".png")
    for variant in variants:
        data = encoded(variant, kind)
        clip, error = clip_of_images([[data]], shape)
        assert error.numpy().tolist() == [b""]
        theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert furthest(clip[0, 0], theirs) <= (1 if kind == ".jpg" else 0)


@pytest.mark.parametrize("rate", [7.5, 15, 30])
def test_frames_with_time_stamps_give_the_clip_of_their_moments(rate):
    shape = ClipShape(4, 8, 8, resize_height=8, resize_width=8, fps=7.5)
    count = round(2 * rate)
    times = np.arange(count) / rate
    numbers = frames_at(times, 2, 7.5)
    window = numbers[uniform_clip(len(numbers), shape, clips=1, crops=1, index=0).window]
    frames = np.arange(count, dtype=np.uint8)[:, None, None, None] + np.zeros((8, 8, 3), np.uint8)
    stamps = np.stack([times, times + 100]).astype(np.float32)
    clips = clip_of_frames(np.stack([frames, frames]), shape, stamps)
    assert clips[:, :, 0, 0, 0].numpy().tolist() == [window.tolist()] * 2
    images = [encoded(frame, ".png") for frame in frames]
    batch = [[b"", *images, b""], [*images, b"", b""]]
    stamps = np.array([[9, *times, 9], [*times, 9, 9]], np.float32)
    clips, errors = clip_of_images(batch, shape, stamps)
    assert errors.numpy().tolist() == [b""] * 2
    assert clips[:, :, 0, 0, 0].numpy().tolist() == [window.tolist()] * 2


@pytest.mark.parametrize("roi", [(4.0, 2.0, 24.0, 18.0), (0.1, 0.1, 0.6, 0.9)])
def test_a_region_is_cut_out_before_the_resize(roi):
    shape = ClipShape(1, 16, 20, resize_height=16, resize_width=20, roi=roi)
    image = random_frames(20, 40, 3)
    wanted = image[2:18, 4:24]
    assert furthest(clip_of_frames(image[np.newaxis, np.newaxis], shape)[0, 0], wanted) == 0
    clip, _ = clip_of_images([[encoded(image, ".png")]], shape)
    assert furthest(clip[0, 0], wanted[..., ::-1]) == 0  # OpenCV encodes BGR


@pytest.mark.parametrize("start", [0.0, 1.0])  # of the file, and of a segment
def test_timed_frames_of_all_rates_give_one_clip(start):
    shape = ClipShape(**vars(SHAPE) | {"fps": 7.5, "frames": 8})
    drawn = np.round(np.random.default_rng(0).uniform(0, 3.9, 50), 2)
    uneven = np.unique(np.r_[np.arange(60) / 15, drawn, 4 - 1 / 30])
    shown = []
    for times in (np.arange(60) / 15, np.arange(120) / 30, np.arange(240) / 60, uneven):
        times = times[times >= start]
        gray = np.floor(times * 15 + 1e-6).astype(np.uint8)
        frames = np.broadcast_to(gray[None, :, None, None, None], (1, len(gray), 6, 9, 3))
        clip = clip_of_frames(tf.constant(frames), shape, tf.constant(times[None], tf.float32))
        shown.append(clip.numpy()[0, :, 0, 0, 0].tolist())
    assert shown == [shown[0]] * 4
    assert np.diff(shown[0]).tolist() == [2] * 7
