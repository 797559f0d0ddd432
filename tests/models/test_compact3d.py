"""The small network for few videos."""

from typing import ClassVar

import keras
import numpy as np
import pytest
from networks import NetworkTests  # tests/models/networks.py

from ar3d_keras.errors import UserError
from ar3d_keras.models.compact3d import Compact3D
from ar3d_keras.models.layers import Brightness, GridPooling


class TestCompact3D(NetworkTests):
    name = "compact3d"
    small: ClassVar = {"frames": 6, "height": 16, "width": 16, "filters": 4, "grid": (1, 2, 2)}
    gated = "relu3"
    shapes: ClassVar = {"relu1": (3, 8, 8, 4), "relu3": (2, 2, 2, 16), "pool": (1, 2, 2, 16)}


@pytest.mark.multi_backend
def test_it_sees_brightness():
    clips = np.random.default_rng(0).uniform(0, 255, (2, 3, 4, 5, 3)).astype(np.float32)
    expected = clips @ np.array([0.299, 0.587, 0.114]) / 127.5 - 1
    for training in (True, False):
        gray = keras.ops.convert_to_numpy(Brightness()(clips, training=training))
        np.testing.assert_allclose(gray[..., 0], expected, atol=1e-5)


@pytest.mark.multi_backend
@pytest.mark.parametrize("grid", [(2, 3, 4), (1, 1, 1), (3, 2, 5)])
def test_grid_pooling_averages_equal_parts(grid):
    features = np.random.default_rng(0).normal(size=(2, 4, 6, 10, 3)).astype(np.float32)
    # Each pixel several times along each axis: then every grid here divides the size.
    fine = features.repeat(3, 1).repeat(2, 3)
    cells = [size // parts for size, parts in zip((12, 6, 20), grid, strict=True)]
    split = fine.reshape(2, grid[0], cells[0], grid[1], cells[1], grid[2], cells[2], 3)
    got = keras.ops.convert_to_numpy(GridPooling(grid)(features))
    np.testing.assert_allclose(got, split.mean((2, 4, 6)), atol=1e-5)


def test_a_grid_finer_than_the_features_is_refused():
    with pytest.raises(UserError, match="`grid`"):
        Compact3D(2, frames=4, height=32, width=32, grid=(4, 2, 2))
