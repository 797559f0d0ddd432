"""Maps drawn over frames, and the stretching of their values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.explanation.heat_map import OPAQUE, blend, stretched

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 5, 3), np.uint8)


def test_only_hot_parts_change_the_frame():
    maps = np.zeros(FRAMES.shape[:-1], np.float32)
    maps[0, 1, 2, 3] = 1
    before = FRAMES.copy()
    shown = blend(FRAMES, maps)
    assert shown.dtype == np.uint8 and shown.shape == FRAMES.shape
    changed = (shown != FRAMES).any(-1)
    assert np.argwhere(changed).tolist() == [[0, 1, 2, 3]]
    np.testing.assert_array_equal(FRAMES, before)
    yellow = np.array([252, 255, 164])  # the last color of inferno, RGB
    wanted = OPAQUE * yellow + (1 - OPAQUE) * FRAMES[0, 1, 2, 3]
    np.testing.assert_allclose(shown[0, 1, 2, 3], wanted, atol=1)


def test_hotter_is_lighter():
    grey = np.full((1, 50, 3), 40, np.uint8)
    lightness = blend(grey, np.linspace(0.3, 1, 50)[None])[0] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()


def test_values_outside_are_clipped():
    maps = np.random.default_rng(1).random(FRAMES.shape[:-1])
    ends = blend(FRAMES, np.rint(maps))
    np.testing.assert_array_equal(blend(FRAMES, 9 * np.rint(maps) - 4), ends)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_constant_map_becomes_zero(value):
    spread, ends = stretched(np.full((2, 3), value))
    assert not spread.any() and spread.dtype == np.float32
    assert ends == (value, value)


def test_the_ends_may_come_from_a_part():
    maps = np.linspace(-9, 9, 181)
    spread, ends = stretched(maps, like=np.linspace(0, 1, 101))
    assert ends == pytest.approx((0.01, 0.99))
    np.testing.assert_array_equal(spread[maps <= 0], 0)
    np.testing.assert_array_equal(spread[maps >= 1], 1)


@given(st.floats(-5, 5), st.floats(1e-3, 9), st.integers(0, 99))
def test_stretching_undoes_any_scale_and_keeps_the_order(offset, scale, seed):
    maps = np.random.default_rng(seed).random((3, 40))
    spread, (low, high) = stretched(offset + scale * maps)
    assert spread.min() == 0 and spread.max() == 1
    np.testing.assert_allclose(spread, stretched(maps)[0], atol=1e-4)
    order = np.argsort(maps, axis=None)
    assert (np.diff(spread.ravel()[order]) >= 0).all()
    middle = (spread > 0) & (spread < 1)
    np.testing.assert_allclose(
        low + (high - low) * spread[middle], (offset + scale * maps)[middle], rtol=1e-3, atol=1e-3
    )
