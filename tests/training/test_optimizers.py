import keras
import numpy as np
import pytest

from ar3d_keras import DecayingAdam
from ar3d_keras.config import RecipeConfig
from ar3d_keras.training.optimizers import make_optimizer

pytestmark = pytest.mark.multi_backend
X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = X[:, :3] * 2
START = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")


def trained(optimizer, steps):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, use_bias=False)])
    model.set_weights([START])
    model.compile(optimizer, "mse", jit_compile=False)
    for _ in range(steps):
        model.train_on_batch(X, Y)
    return model.get_weights()[0]


def adam_by_hand(steps, *, rate, l2=0.0, decoupled=0.0, after=0):
    """Kingma and Ba with torch.optim.Adam's L2 (in the gradient) or AdamW's shrinking."""
    w, m, v = START.astype("float64"), 0.0, 0.0
    for step in range(steps):
        gradient = 2 * X.T @ (X @ w - Y) / Y.size
        if step >= after:
            gradient = gradient + l2 * w
            w = w * (1 - rate * decoupled)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        w = w - rate * (m / (1 - 0.9 ** (step + 1))) / (
            np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-7
        )
    return w


@pytest.mark.parametrize("after", [0, 3])
def test_l2_goes_into_the_gradient_as_in_torch(after):
    got = trained(DecayingAdam(1e-2, decay=0.5, decay_after=after), 6)
    np.testing.assert_allclose(got, adam_by_hand(6, rate=1e-2, l2=0.5, after=after), rtol=1e-3)


@pytest.mark.parametrize("after", [0, 3])
def test_decoupled_shrinks_the_weights(after):
    got = trained(DecayingAdam(1e-2, decay=0.5, decay_kind="decoupled", decay_after=after), 6)
    expected = adam_by_hand(6, rate=1e-2, decoupled=0.5, after=after)
    np.testing.assert_allclose(got, expected, rtol=1e-3)


def test_no_decay_is_adam():
    np.testing.assert_allclose(
        trained(DecayingAdam(1e-2), 5), trained(keras.optimizers.Adam(1e-2), 5), atol=1e-6
    )


def test_config_round_trip():
    optimizer = DecayingAdam(1e-3, decay=0.1, decay_kind="decoupled", decay_after=7)
    float32_model = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert float32_model.get_config() == optimizer.get_config()


def test_clip_norm_shortens_the_whole_gradient_and_only_a_longer_one():
    def first_moment(clip_norm):
        optimizer = make_optimizer(RecipeConfig(clip_norm=clip_norm, weight_decay=0), 5)
        variables = [keras.Variable([3.0, 0.0]), keras.Variable([4.0])]
        optimizer.build(variables)
        optimizer.apply([keras.ops.array([3.0, 0.0]), keras.ops.array([4.0])])  # 5 long together
        segments = optimizer.variables[2], optimizer.variables[4]
        return np.concatenate([keras.ops.convert_to_numpy(m) for m in segments]) / 0.1

    np.testing.assert_allclose(first_moment(1.0), [0.6, 0.0, 0.8], rtol=1e-5)
    np.testing.assert_allclose(first_moment(6.0), [3.0, 0.0, 4.0], rtol=1e-5)
    np.testing.assert_allclose(first_moment(0.0), [3.0, 0.0, 4.0], rtol=1e-5)


def test_float16_scales_its_loss():
    optimizer = make_optimizer(RecipeConfig(), 5, "mixed_float16")
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert isinstance(make_optimizer(RecipeConfig(), 5, "mixed_bfloat16"), DecayingAdam)
