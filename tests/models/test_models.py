"""The registry of networks, their options and their presets."""

from typing import get_args, get_type_hints

import pytest

from ar3d_keras.config import ModelConfig, TrainConfig, from_json
from ar3d_keras.errors import UserError
from ar3d_keras.models import NETWORKS, check_options, network, options
from ar3d_keras.models.classifier import VideoClassifier
from ar3d_keras.models.preparation import SHARED
from ar3d_keras.presets import PRESETS, Choice, with_preset
from ar3d_keras.training.trainer import build_network

# Options of the data section, and what weights bring with them.
CLIP = {"frames", "height", "width", "normalization"}


def test_every_network_can_be_chosen():
    assert set(get_args(get_type_hints(ModelConfig)["model"])) == set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_declares_itself(name):
    kind = network(name)
    assert issubclass(kind, VideoClassifier)
    assert kind.__init__.__kwdefaults__ | SHARED == options(name)
    assert options(name).keys() >= CLIP - {"normalization"}
    assert options(name).keys() - CLIP <= set(get_type_hints(ModelConfig))
    assert kind.search_space.keys() <= options(name).keys()
    assert kind.presets.keys() <= PRESETS.keys()


def test_every_option_belongs_to_a_network():
    taken = set().union(*(options(name) for name in NETWORKS))
    assert set(get_type_hints(ModelConfig)) - {"model"} <= taken


@pytest.mark.parametrize(
    ("name", "option"),
    [("lrcn", "attention"), ("two_stream", "attention"), ("c3d", "pool"), ("conv3d", "units")],
)
def test_an_option_that_a_network_does_not_have_raises(name, option):
    with pytest.raises(UserError) as caught:
        check_options(name, ["dropout", option])
    assert caught.value.parameter == option


def test_an_unknown_network_raises():
    with pytest.raises(UserError, match=r"`model`.*two_stream.*'resnet'"):
        network("resnet")


def test_options_reach_the_network_and_the_others_are_its_defaults():
    sections = {
        "data": {"frames": 4, "height": 8, "width": 8},
        "model": {"pool": [2, 4, 4], "dropout": 0.0},
    }
    built = build_network(from_json(sections, TrainConfig()), list("abc"), "float32")
    assert built.sizes == {
        **options("conv3d"),
        **{"num_classes": 3, "frames": 4, "height": 8, "width": 8, "pool": (2, 4, 4)},
        **{"dropout": 0.0, "kernel": (3, 3, 3), "gate_kernel": (3, 3, 3)},
    }


def test_a_preset_has_a_part_for_one_network():
    assert with_preset(TrainConfig(), Choice("paper")) == TrainConfig()
    conv3d = with_preset(TrainConfig(), Choice("demo")).model
    assert (conv3d.pool, conv3d.dense) == ((4, 8, 8), 256)
    c3d = with_preset(TrainConfig(), Choice("demo"), "c3d")
    assert (c3d.recipe.epochs, c3d.model.width_multiplier) == (20, 0.25)


def test_small_data_chooses_its_network_and_keeps_the_one_that_is_given():
    alone = with_preset(TrainConfig(), Choice("small-data"))
    assert (alone.model.model, alone.data.sampling) == ("two_stream3d", "uniform")
    assert alone.model.motion_crop and alone.model.differences
    assert (alone.recipe.keep, alone.recipe.test_clips) == ("last", 4)
    single = with_preset(TrainConfig(), Choice("small-data"), "conv3d")
    assert (single.model.model, single.model.grid) == ("conv3d", (4, 3, 4))
    assert single.model.motion_crop == alone.model.motion_crop


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_preset_is_valid_for_every_network(preset, name):
    config = with_preset(TrainConfig(), Choice(preset), name)
    config.validate()
    assert config.model.model == name
    check_options(name, config.model.given())
