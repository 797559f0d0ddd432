"""The box of the motion and the resize, compared with plain NumPy."""

import keras
import numpy as np
import pytest

from ar3d_keras.errors import UserError
from ar3d_keras.explanation.explain import explain
from ar3d_keras.models import network
from ar3d_keras.models.motion_crop import MotionCrop


def moving_clips(batch=3, size=(40, 60)):
    """A bright square that moves inside another part of each clip: float32, 0..255."""
    clips = np.full((batch, 6, *size, 3), 30, np.float32)
    for row in range(batch):
        for frame in range(6):
            top, left = 5 + 4 * row + frame, 6 + 12 * row + 2 * frame
            clips[row, frame, top : top + 8, left : left + 8] = 200
    return clips


def ends_of(profile, tail, margin, least):
    """The box along an axis, as the docstring of MotionCrop says it."""
    borders = np.concatenate([[0], np.cumsum(profile, dtype=np.float64)]) / profile.sum()
    low, high = np.interp([tail, 1 - tail], borders, np.arange(len(borders)))
    size = min(max((1 + 2 * margin) * (high - low), least * len(profile)), len(profile))
    start = min(max((low + high - size) / 2, 0), len(profile) - size)
    return start, start + size


def resized(pictures, low, high, outputs):
    """Resizes low..high of the axis before the last: bilinear, averaging where it shrinks."""
    step, pixels = (high - low) / outputs, pictures.shape[-2]
    rows = []
    for output in range(outputs):
        center = min(max(low + step * (output + 0.5) - 0.5, 0), pixels - 1)
        weights = np.maximum(0, 1 - np.abs(np.arange(pixels) - center) / max(step, 1))
        rows.append(np.tensordot(pictures, weights / weights.sum(), (-2, 0)))
    return np.stack(rows, -2)


@pytest.mark.multi_backend
def test_it_equals_a_reference_in_numpy():
    clips = moving_clips()
    layer = MotionCrop(12, 20)
    got = keras.ops.convert_to_numpy(layer(clips))
    for row, clip in enumerate(clips.astype(np.float64)):
        motion = np.abs(np.diff(clip, axis=0)).sum((0, 3))
        top, bottom = ends_of(motion.sum(1), 0.03, 0.15, 0.2)
        left, right = ends_of(motion.sum(0), 0.03, 0.15, 0.2)
        box = [float(keras.ops.convert_to_numpy(side)[row]) for side in layer.boxes(clips)]
        np.testing.assert_allclose(box, [top, bottom, left, right], atol=1e-3)
        pictures = clip.transpose(0, 3, 1, 2)
        pictures = resized(pictures, top, bottom, 12)
        pictures = resized(pictures.swapaxes(2, 3), left, right, 20).swapaxes(2, 3)
        np.testing.assert_allclose(got[row], pictures.transpose(0, 2, 3, 1), atol=0.05)


def test_a_clip_without_motion_is_taken_whole():
    clips = np.random.default_rng(0).uniform(0, 255, (2, 1, 8, 12, 3)).astype(np.float32)
    clips = np.repeat(clips, 4, axis=1)
    layer = MotionCrop(8, 12)
    assert [np.asarray(side).tolist() for side in layer.boxes(clips)] == [
        [0, 0], [8, 8], [0, 0], [12, 12]
    ]  # fmt: skip
    np.testing.assert_allclose(np.asarray(layer(clips)), clips, atol=1e-3)


def test_training_draws_another_box_for_each_clip_and_step_from_its_seed():
    clips = np.repeat(moving_clips(1), 2, axis=0)
    layers = [MotionCrop(12, 20, seed=seed) for seed in (1, 1, 2)]
    first, same, other = (np.asarray(layer(clips, training=True)) for layer in layers)
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1
    assert np.abs(first[0] - first[1]).max() > 1
    assert np.abs(first - np.asarray(layers[0](clips, training=True))).max() > 1
    still = MotionCrop(12, 20, scale=0.0, shift=0.0)
    same, evaluated = np.asarray(still(clips, training=True)), np.asarray(still(clips))
    np.testing.assert_allclose(same, evaluated, atol=1e-2)


@pytest.mark.parametrize("attention", [False, True])
def test_explanations_lie_over_the_part_of_the_clip_that_the_network_sees(attention):
    clips = moving_clips()
    model = network("compact3d")(
        2, frames=6, height=40, width=60, motion_crop=(16, 24), attention=attention, grid=(1, 2, 2)
    )
    maps = explain(model, clips, np.zeros(3, int)).maps
    layer = model.get_layer("motion_crop")
    for row, (top, bottom, left, right) in enumerate(zip(*layer.boxes(clips), strict=True)):
        inside = np.zeros((40, 60), bool)
        inside[int(top) : int(bottom) + 2, int(left) : int(right) + 2] = True
        assert maps.shape == (3, 6, 40, 60)
        assert not maps[row][:, ~inside].any()
        if attention:
            assert maps[row][
                :, int(top) + 2 : int(bottom) - 2, int(left) + 2 : int(right) - 2
            ].all()


def test_placing_a_map_is_the_inverse_of_the_crop():
    clips = moving_clips()
    layer = MotionCrop(40, 60)
    ramp = np.broadcast_to(np.arange(60, dtype=np.float32), (3, 6, 40, 60))
    cut = np.asarray(layer(np.concatenate([clips, ramp[..., None]], -1)))[..., 3]
    back = np.asarray(layer.placed(cut, clips))
    seen = back > 0
    assert seen.mean() > 0.1
    assert np.abs(back - ramp)[seen].max() < 1


@pytest.mark.parametrize("size", [(0, 8), 8, (8, 8, 8)])
def test_a_wrong_size_is_refused(size):
    with pytest.raises(UserError, match="motion_crop"):
        network("compact3d")(2, motion_crop=size)


def test_a_resumed_run_draws_on_where_it_stopped():
    """The count of its draws is a variable, which the state of a run holds."""
    layer = MotionCrop(12, 20, seed=3)
    clips = moving_clips(1)
    layer(clips, training=True)
    state = [np.asarray(variable) for variable in layer.variables]
    assert len(state) == 1
    following = np.asarray(layer(clips, training=True))
    again = MotionCrop(12, 20, seed=3)
    again(clips)
    for variable, value in zip(again.variables, state, strict=True):
        variable.assign(value)
    np.testing.assert_array_equal(np.asarray(again(clips, training=True)), following)
