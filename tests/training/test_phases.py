"""The phases of fine-tuning, its learning rates, and frozen backbones."""

import keras
import numpy as np
import pytest

from ar3d_keras.config import RecipeConfig
from ar3d_keras.models.conv3d import Conv3DClassifier
from ar3d_keras.training.fine_tuning import freeze, layer_rates, phases
from ar3d_keras.training.optimizers import DecayingAdam
from ar3d_keras.training.warm_start import weighted_layers

SIZES = {"frames": 4, "height": 8, "width": 8, "filters": 2, "pool": 4, "dense": 3}


def network(**sizes):
    return Conv3DClassifier(3, attention=True, **{**SIZES, **sizes})


def test_one_phase_is_the_recipe_itself():
    recipe = RecipeConfig(freeze=("conv*",))
    (only,) = phases(recipe)
    assert (only.begin, only.end, only.frozen, only.layer_decay) == (0, 50, ("conv*",), 1)
    assert only.recipe is recipe


def test_two_phases():
    recipe = RecipeConfig(init_from="run", fine_tune=True, epochs=20, weight_decay_after=4,
                          freeze=("features",), learning_rate=1e-4)  # fmt: skip
    head, rest = phases(recipe)
    assert (head.begin, head.end, rest.begin, rest.end) == (0, 5, 5, 20)
    assert head.frozen == ("features", "backbone") and rest.frozen == ("features",)
    assert head.recipe.learning_rate == pytest.approx(1e-3)
    assert (rest.recipe.epochs, rest.recipe.weight_decay_after) == (15, 0)
    assert (head.layer_decay, rest.layer_decay) == (1, 0.1)


def test_the_backbone_is_all_but_the_head_and_the_gate():
    model = network()
    assert freeze(model, ["backbone"]) == "frozen: features, dense; trained: gate, output"
    assert freeze(model, []) == "frozen: none; trained: features, gate, dense, output"


def test_a_frozen_batch_norm_is_in_inference_mode():
    model = network(log_pooling=True)
    assert "log_pooling" in freeze(model, ["backbone"]).partition(";")[0]
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    clips = np.random.default_rng(0).integers(0, 256, (4, 4, 8, 8, 3), np.uint8)
    before = weighted_layers(model)["log_pooling"].get_weights()
    model.train_on_batch(clips, np.array([0, 1, 2, 0]))
    for one, other in zip(before, weighted_layers(model)["log_pooling"].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_layers_learn_by_their_rates():
    model = network()
    freeze(model, ["features"])
    rates = layer_rates(model, 0.01)
    names = [variable.path.split("/")[0] for variable in model.trainable_variables]
    by_layer = dict(zip(names, rates, strict=True))
    assert list(by_layer) == ["gate", "dense", "output"]
    assert list(by_layer.values()) == pytest.approx([0.01, 0.1, 1])
    assert layer_rates(model, 1.0) == []


@pytest.mark.multi_backend
@pytest.mark.parametrize("decay_kind", ["l2", "decoupled"])
def test_the_optimizer_multiplies_the_learning_rate(decay_kind):
    """Adam's first step is the learning rate itself."""
    one, other = keras.Variable(np.ones(2, "float32")), keras.Variable(np.ones(2, "float32"))
    optimizer = DecayingAdam(1e-2, rates=[1.0, 0.1], decay=1e-9, decay_kind=decay_kind)
    gradients = [keras.ops.ones(2), keras.ops.ones(2)]
    optimizer.apply(gradients, [one, other])
    steps = [1 - keras.ops.convert_to_numpy(variable)[0] for variable in (one, other)]
    assert steps == pytest.approx([1e-2, 1e-3], rel=1e-3)
    assert DecayingAdam.from_config(optimizer.get_config()).rates == [1.0, 0.1]


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"fine_tune": True}, "fine_tune"),
        ({"fine_tune": True, "init_from": "a", "epochs": 5}, "head_epochs"),
        ({"fine_tune": True, "init_from": "a", "freeze": ("backbone",)}, "fine_tune"),
        ({"layer_decay": 0.0}, "layer_decay"),
        ({"head_epochs": 0}, "head_epochs"),
    ],
)
def test_what_does_not_go_together(options, parameter):
    with pytest.raises(ValueError) as caught:
        RecipeConfig(**options).validate()
    assert caught.value.parameter == parameter
