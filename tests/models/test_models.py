"""The registry, and the options of `--model`: who takes what."""

import re
from typing import get_args, get_type_hints

import pytest

from ar3d_keras.config import ModelConfig, TrainConfig, from_json, with_preset
from ar3d_keras.models import NETWORKS, check_options, network, options
from ar3d_keras.training.trainer import build_network

CLIP = {"frames", "height", "width"}  # given by the data section


def test_every_network_can_be_named():
    assert set(get_args(get_type_hints(ModelConfig)["model"])) == set(NETWORKS)
    for name in NETWORKS:
        assert network(name).__init__.__kwdefaults__ == options(name)
        assert options(name).keys() >= CLIP


def test_every_option_belongs_to_a_network_and_its_help_names_each_default():
    import inspect

    source = inspect.getsource(ModelConfig)
    for field in set(get_type_hints(ModelConfig)) - {"model"}:
        takers = {name for name in NETWORKS if field in options(name)}
        assert takers, field
        told = re.search(rf"    {field}: .*\n    \"\"\"(.*)\"\"\"", source)[1]
        for name in takers:
            assert re.search(rf"\b{name}\b", told), (field, name)
            default = options(name)[field]
            if not isinstance(default, bool):
                # "c3d: 4096; conv3d, lrcn: 512."
                value = re.search(rf"\b{name}\b[^:]*: ([\w. ]+?)(;|\.$)", told)[1]
                numbers = (
                    default
                    if isinstance(default, tuple)
                    else (default,) * value.count(" ") + (default,)
                )
                spelled = " ".join(map(str, numbers))
                assert value in (spelled, str(default)), (field, name)
    for name in NETWORKS:
        assert options(name).keys() - CLIP <= set(get_type_hints(ModelConfig))


@pytest.mark.parametrize(
    ("name", "option"),
    [("lrcn", "attention"), ("two_stream", "attention"), ("c3d", "pool"), ("conv3d", "units")],
)
def test_an_option_that_a_network_does_not_take_is_refused(name, option, user_error):
    with user_error(f"--model {name} has no --{option}: its options are --", "--height, --width"):
        check_options(name, {"dropout": 0.5, option: 3})


def test_an_unknown_network_is_refused(user_error):
    with user_error("no model 'resnet': choose from c3d, conv3d, fused3d, i3d, lrcn, two_stream"):
        network("resnet")


def test_what_is_given_reaches_the_network_and_the_rest_is_its_own_default():
    sections = {
        "data": {"frames": 4, "height": 8, "width": 8},
        "model": {"pool": [2, 4, 4], "dropout": 0.0},
    }
    built = build_network(from_json(sections, TrainConfig()), "abc", "float32")
    given = {"classes": 3, "frames": 4, "height": 8, "width": 8, "pool": (2, 4, 4), "dropout": 0.0}
    assert built.sizes == {
        **options("conv3d"),
        **given,
        "kernel": (3, 3, 3),
        "gate_kernel": (3, 3, 3),
    }


def test_a_preset_has_a_part_for_one_network():
    assert with_preset(TrainConfig(), "paper") == TrainConfig()
    assert with_preset(TrainConfig(), "demo").model.dense == 256
    for name in NETWORKS:
        config = with_preset(TrainConfig(), "demo", name)
        assert (config.model.model, config.data.height) == (name, 48)
        check_options(name, config.model.given())
