import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar3d_keras.config import RecipeConfig
from ar3d_keras.training.optimizers import make_optimizer
from ar3d_keras.training.schedules import learning_rate


def rates(recipe, steps_per_epoch):
    """The learning rate of every step, read from the optimizer that takes them."""
    schedule = learning_rate(recipe, steps_per_epoch)
    steps = range(recipe.epochs * steps_per_epoch)
    if isinstance(schedule, float):
        return np.full(len(steps), schedule)
    return np.array([float(keras.ops.convert_to_numpy(schedule(step))) for step in steps])


def test_constant_is_a_number():
    assert learning_rate(RecipeConfig(learning_rate=0.5), 7) == 0.5


def test_the_learning_rate_falls_by_ten_every_step_epochs():
    got = rates(RecipeConfig(epochs=9, lr_step=4, learning_rate=1.0), steps_per_epoch=5)
    np.testing.assert_allclose(got, np.repeat([1.0, 0.1, 0.01], [20, 20, 5]), rtol=1e-5)


def test_the_cosine_falls_from_the_rate_to_zero():
    got = rates(RecipeConfig(epochs=4, schedule="cosine", learning_rate=2.0), steps_per_epoch=5)
    np.testing.assert_allclose(got, 1 + np.cos(np.pi * np.arange(20) / 20), rtol=1e-5, atol=1e-7)


def test_warm_up_rises_step_by_step_and_then_stays():
    got = rates(RecipeConfig(epochs=4, warmup_epochs=2, learning_rate=1.0), steps_per_epoch=3)
    np.testing.assert_allclose(got, [*(np.arange(1, 7) / 7), *np.ones(6)], rtol=1e-5)


@pytest.mark.multi_backend
def test_warm_up_before_the_cosine():
    recipe = RecipeConfig(epochs=6, warmup_epochs=2, schedule="cosine", learning_rate=1.0)
    got = rates(recipe, steps_per_epoch=2)
    falling = (1 + np.cos(np.pi * np.arange(8) / 8)) / 2
    np.testing.assert_allclose(got, [0.2, 0.4, 0.6, 0.8, *falling], rtol=1e-5, atol=1e-7)


@settings(max_examples=15)
@given(
    epochs=st.integers(1, 6),
    warmup=st.integers(0, 9),
    steps=st.integers(1, 4),
    schedule=st.sampled_from(["constant", "cosine"]),
)
def test_every_step_has_a_rate_above_zero_and_none_above_the_one_asked_for(
    epochs, warmup, steps, schedule
):
    recipe = RecipeConfig(
        epochs=epochs, warmup_epochs=warmup, schedule=schedule, learning_rate=0.01
    )
    got = rates(recipe, steps)
    assert (got > 0).all()
    assert (got <= 0.01 * (1 + 1e-6)).all()


def test_the_optimizer_takes_it():
    recipe = RecipeConfig(epochs=2, schedule="cosine", learning_rate=0.5)
    optimizer = make_optimizer(recipe, steps_per_epoch=4)
    assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == 0.5
    float32_model = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert float32_model.get_config() == optimizer.get_config()
