import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.config import DataConfig
from ar3d_keras.errors import UserError
from ar3d_keras.videos.sampling import (
    ClipShape,
    epoch_order,
    full_span,
    last_start,
    protocol,
    random_clip,
    resize_for,
    stride_for,
    uniform_clip,
    window,
)

PAPER = ClipShape()

SHAPES = st.builds(
    lambda frames, height, width, down, across, stride: ClipShape(
        frames, height, width, height + down, width + across, stride
    ),
    st.integers(1, 40),
    st.integers(1, 200),
    st.integers(1, 200),
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(1, 8),
)


def view(available, shape=PAPER, *, flip=True, seed=0, epoch=0, index=0):
    return random_clip(available, shape, flip=flip, seed=seed, epoch=epoch, index=index)


def same(one, other):
    return np.array_equal(one.window, other.window) and (one.top, one.left, one.flip) == (
        other.top,
        other.left,
        other.flip,
    )


def fits(cut, available, shape):
    assert cut.window.shape == (shape.frames,)
    assert cut.window.dtype == np.int64
    assert cut.window.min() >= 0
    assert cut.window.max() < available
    assert 0 <= cut.top <= shape.resize_height - shape.height
    assert 0 <= cut.left <= shape.resize_width - shape.width


# The stride


@given(st.integers(1, 500), SHAPES)
def test_stride_is_the_largest_that_leaves_more_frames_than_a_clip(available, shape):
    allowed = [s for s in range(1, shape.stride + 1) if available // s > shape.frames]
    assert stride_for(available, shape) == max(allowed, default=1)


@pytest.mark.parametrize(
    ("available", "stride"),
    [(1, 1), (16, 1), (17, 1), (33, 1), (34, 2), (50, 2), (51, 3), (67, 3), (68, 4), (5000, 4)],
)
def test_stride_of_the_papers_clip(available, stride):
    assert stride_for(available, PAPER) == stride


# Windows


def test_windows_of_videos_of_every_length():
    for available in range(1, 501):
        for cut in (
            view(available, index=available),
            uniform_clip(available, PAPER, clips=1, crops=1, index=0),
            uniform_clip(available, PAPER, clips=3, crops=1, index=2),
        ):
            fits(cut, available, PAPER)
            stride = stride_for(available, PAPER)
            steps = np.diff(cut.window)
            if available >= 16:
                assert (steps == stride).all(), available
            else:  # it starts over at its front
                assert ((steps == 1) | (steps == 1 - available)).all(), available


@given(
    st.integers(1, 500), SHAPES, st.integers(0, 2**63), st.integers(0, 999), st.integers(0, 10**6)
)
def test_random_views_fit(available, shape, seed, epoch, index):
    fits(view(available, shape, seed=seed, epoch=epoch, index=index), available, shape)


@pytest.mark.parametrize(
    ("available", "expected"),
    [(1, [0] * 16), (15, [*range(15), 0]), (16, list(range(16))), (5, [*range(5)] * 3 + [0])],
)
def test_short_videos_repeat_from_their_front(available, expected):
    assert view(available).window.tolist() == expected
    assert uniform_clip(available, PAPER, clips=1, crops=1, index=0).window.tolist() == expected


def test_seventeen_frames_have_two_windows():
    assert {view(17, index=index).window[0] for index in range(50)} == {0, 1}


@given(st.integers(1, 500), SHAPES)
def test_the_last_start_ends_on_the_last_frame(available, shape):
    stride = stride_for(available, shape)
    start = last_start(available, stride, shape.frames)
    frames = window(available, start, stride, shape.frames)
    if available >= shape.frames:
        assert frames[-1] <= available - 1
        assert start + 1 + stride * (shape.frames - 1) > available - 1  # one later does not fit
    else:
        assert start == 0


# The draw


def test_every_offset_is_drawn_the_last_ones_included():
    cuts = [view(68, index=index) for index in range(1500)]
    assert {cut.window[0] for cut in cuts} == set(range(8))  # 68 - 4 * 15 = 8
    assert {cut.top for cut in cuts} == set(range(17))  # 128 - 112 + 1
    assert {cut.left for cut in cuts} == set(range(60))  # 171 - 112 + 1
    assert {cut.flip for cut in cuts} == {True, False}
    assert np.mean([cut.flip for cut in cuts]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([cut.top for cut in cuts]) == pytest.approx(8, abs=0.5)
    assert np.mean([cut.left for cut in cuts]) == pytest.approx(29.5, abs=1.5)


def test_an_offset_without_room_is_zero():
    shape = ClipShape(16, 112, 112, 112, 112)
    cut = view(16, shape)
    assert (cut.window[0], cut.top, cut.left) == (0, 0, 0)


@given(st.integers(0, 2**63), st.integers(0, 999), st.integers(0, 10**6))
def test_a_view_is_a_function_of_seed_epoch_and_index(seed, epoch, index):
    where = {"seed": seed, "epoch": epoch, "index": index}
    first = view(164, **where)
    np.random.seed(1)  # whatever state the process is in
    assert same(first, view(164, **where))
    numpy_numbers = {"seed": seed, "epoch": np.int64(epoch), "index": np.int64(index)}
    assert same(first, view(164, **numpy_numbers))


def test_seeds_epochs_and_indices_differ():
    def cuts(**fixed):
        return [
            (*view(500, **fixed, **{free: n}).window[:1], view(500, **fixed, **{free: n}).left)
            for n in range(20)
        ]

    for free, fixed in (
        ("seed", {"epoch": 1, "index": 2}),
        ("epoch", {"seed": 1, "index": 2}),
        ("index", {"seed": 1, "epoch": 2}),
    ):
        assert len(set(cuts(**fixed))) == 20, free
    assert not same(view(500, seed=1, epoch=2), view(500, seed=2, epoch=1))


@given(st.integers(0, 10**6))
def test_switching_the_flip_off_leaves_the_rest_as_it_was(index):
    tossed, still = view(164, index=index), view(164, index=index, flip=False)
    assert still.flip is False
    assert (tossed.top, tossed.left) == (still.top, still.left)
    assert np.array_equal(tossed.window, still.window)


# The order of an epoch


@given(st.integers(1, 300), st.integers(0, 2**63), st.integers(0, 999))
def test_an_epoch_visits_every_video_once(videos, seed, epoch):
    order = epoch_order(videos, seed=seed, epoch=epoch)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(videos))
    assert np.array_equal(order, epoch_order(videos, seed=seed, epoch=epoch))


def test_the_order_follows_seed_and_epoch():
    orders = [tuple(epoch_order(50, seed=s, epoch=e)) for s in range(5) for e in range(5)]
    assert len(set(orders)) == 25


# Evaluation


def test_the_centre_view():
    cut = uniform_clip(164, PAPER, clips=1, crops=1, index=0)
    assert (cut.top, cut.left, cut.flip) == (8, 29, False)
    before, after = cut.window[0], 163 - cut.window[-1]
    assert abs(before - after) <= 1


@given(st.integers(1, 500), SHAPES, st.integers(1, 12), st.sampled_from([1, 3]))
def test_the_grid_is_fixed_centred_and_symmetric(available, shape, clips, crops):
    cuts = [
        uniform_clip(available, shape, clips=clips, crops=crops, index=index)
        for index in range(clips * crops)
    ]
    for index, cut in enumerate(cuts):
        fits(cut, available, shape)
        assert not cut.flip
        assert same(cut, uniform_clip(available, shape, clips=clips, crops=crops, index=index))
        # Crops vary fastest: a window is shared by its crops.
        assert np.array_equal(cut.window, cuts[index - index % crops].window)
    span = last_start(available, stride_for(available, shape), shape.frames)
    starts = [int(cut.window[0]) for cut in cuts[::crops]]
    assert starts == sorted(starts)
    for start, mirrored in zip(starts, reversed(starts), strict=True):
        assert -1 <= span - start - mirrored <= 1  # whole frames: half of one is rounded away


def test_many_clips_see_the_whole_video():
    starts = [
        uniform_clip(164, PAPER, clips=10, crops=1, index=index).window[0] for index in range(10)
    ]
    assert len(set(starts)) == 10
    assert starts[0] <= 103 / 10
    assert starts[-1] >= 103 * 9 / 10


def test_three_crops_cover_both_ends_of_the_longer_side():
    wide = [uniform_clip(99, PAPER, clips=1, crops=3, index=index) for index in range(3)]
    assert [cut.left for cut in wide] == [0, 29, 59]
    assert {cut.top for cut in wide} == {8}
    tall = ClipShape(16, 112, 112, 171, 128)
    high = [uniform_clip(99, tall, clips=1, crops=3, index=index) for index in range(3)]
    assert [cut.top for cut in high] == [0, 29, 59]
    assert {cut.left for cut in high} == {8}


def test_resize_keeps_the_papers_proportion():
    assert resize_for(112, 112) == (128, 171)
    assert resize_for(224, 224) == (256, 342)
    assert resize_for(48, 48) == (55, 73)


@given(st.integers(1, 500), st.integers(1, 500))
def test_resize_leaves_room_for_the_crop(height, width):
    down, across = resize_for(height, width)
    assert down >= height
    assert across >= width


def test_the_protocol_says_what_was_looked_at():
    assert protocol(PAPER, clips=1, crops=1).startswith("1 centre clip x 1 centre crop; 16 frames")
    assert protocol(PAPER, clips=10, crops=3).startswith("10 clip(s) x 3 crop(s) a video")
    for text in ("stride 4", "resized to 171x128", "cropped to 112x112", "float32"):
        assert text in protocol(PAPER, clips=1, crops=1)


UNIFORM = dataclasses.replace(PAPER, sampling="uniform")


@pytest.mark.parametrize("available", [1, 5, 16, 17, 100, 164, 12345])
def test_uniform_sampling_takes_one_frame_from_each_part(available):
    borders = np.linspace(0, available, 17)
    for epoch in range(20):
        frames = random_clip(available, UNIFORM, flip=False, seed=1, epoch=epoch, index=3).window
        assert ((borders[:-1].astype(int) <= frames) & (frames < borders[1:])).all()
        assert frames.max() < available
    center = uniform_clip(available, UNIFORM, clips=1, crops=1, index=0).window
    assert center.tolist() == [(2 * part + 1) * available // 32 for part in range(16)]


def test_uniform_sampling_draws_other_frames_in_each_epoch_and_the_same_crop_as_a_stride():
    drawn = [
        random_clip(164, UNIFORM, flip=True, seed=1, epoch=epoch, index=5) for epoch in range(4)
    ]
    assert len({tuple(spec.window) for spec in drawn}) == 4
    again = random_clip(164, UNIFORM, flip=True, seed=1, epoch=2, index=5)
    assert same(again, drawn[2])
    stride = random_clip(164, PAPER, flip=True, seed=1, epoch=2, index=5)
    assert (again.top, again.left, again.flip) == (stride.top, stride.left, stride.flip)
    gaps = np.diff(np.concatenate([spec.window for spec in drawn]))
    assert gaps.std() > 1  # every part draws its own position


def test_the_clips_of_uniform_sampling_share_no_frame():
    windows = [
        uniform_clip(160, UNIFORM, clips=5, crops=1, index=index).window for index in range(5)
    ]
    assert len({frame for window in windows for frame in window.tolist()}) == 80
    parts = [window // 10 for window in windows]
    assert all((part == np.arange(16)).all() for part in parts)


def test_a_clip_of_uniform_sampling_has_no_span():
    with pytest.raises(UserError) as error:
        full_span(UNIFORM)
    assert error.value.parameter == "window_seconds"
    assert protocol(UNIFORM, clips=1, crops=1) != protocol(PAPER, clips=1, crops=1)
    with pytest.raises(UserError):
        DataConfig(sampling="uniform", stride_jitter=2).validate()
    with pytest.raises(UserError):
        DataConfig(sampling="uniform", clip_seconds=2.0).validate()
