"""The options of every network that change the clip before it."""

import numpy as np
import pytest
from keras import ops

from ar3d_keras.models import network
from ar3d_keras.models.layers import MotionNormalization


@pytest.mark.multi_backend
def test_normalized_motion_does_not_depend_on_contrast():
    rng = np.random.default_rng(0)
    clip = rng.normal(size=(1, 3, 4, 5, 1)).astype(np.float32)
    layer = MotionNormalization(floor=0.0)
    strong, weak = (ops.convert_to_numpy(layer(scale * clip)) for scale in (2.0, 0.01))
    np.testing.assert_allclose(strong, weak, rtol=1e-5)
    np.testing.assert_allclose(np.square(strong).mean(), 1, rtol=1e-5)
    # Each clip by its own: a batch changes nothing.
    both = ops.convert_to_numpy(layer(np.concatenate([clip, 5 * clip])))
    np.testing.assert_allclose(both[0], both[1], rtol=1e-5)


@pytest.mark.multi_backend
def test_a_clip_without_motion_stays_zero_and_flow_is_kept():
    clip = np.zeros((1, 2, 3, 3, 5), np.float32)
    clip[..., 3:] = 7
    output = ops.convert_to_numpy(MotionNormalization()(clip))
    np.testing.assert_array_equal(output, clip)


def test_it_needs_differences(user_error):
    with user_error("`motion_normalization`", "`differences`"):
        network("conv3d")(2, frames=4, height=16, width=16, pool=4, motion_normalization=True)
