"""The search space: what a file may say, and what every value must be."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.config import TrainConfig, from_json
from ar3d_keras.experiments.tuning.space import (
    default_space,
    make_space,
    read_space,
    shown,
    with_values,
)
from ar3d_keras.models import NETWORKS, options
from ar3d_keras.presets import Choice, with_preset

CONV3D = from_json({"model": {"attention": True}}, TrainConfig())


def test_every_form():
    space = make_space(
        {
            "model.pool": {"choice": [[4, 8, 8], None]},
            "recipe.learning_rate": {"float": [1e-4, 1], "log": True},
            "model.dense": {"int": [8, 64], "step": 8},
        },
        CONV3D,
        "space.json",
    )
    assert [(p.name, p.kind, p.values, p.log, p.step) for p in space] == [
        ("model.pool", "choice", ([4, 8, 8], None), False, 1),
        ("recipe.learning_rate", "float", (1e-4, 1), True, 1),
        ("model.dense", "int", (8, 64), False, 8),
    ]
    assert [p.option for p in space] == ["pool", "learning_rate", "dense"]


@pytest.mark.parametrize(
    ("described", "says"),
    [
        ({}, "space"),
        ({"model.density": {"choice": [1]}}, "density"),
        ({"modell.dense": {"choice": [1]}}, "modell"),
        ({"dense": {"choice": [1]}}, "section.option"),
        ({"model.dense": {"choice": ["many"]}}, "`dense`"),
        ({"model.dense": {"choice": [True, 1.5]}}, "1.5"),
        ({"model.pool": {"choice": [[4, 8]]}}, "[4, 8]"),
        ({"recipe.batch_size": {"choice": [8, 0]}}, "`batch_size`"),
        ({"recipe.learning_rate": {"float": [0, 1]}}, "`learning_rate`"),
        ({"recipe.learning_rate": {"float": [0, 1], "log": True}}, "learning_rate"),
        ({"recipe.learning_rate": {"float": [1, 0.1]}}, "learning_rate"),
        ({"recipe.learning_rate": {"float": [0.1, 1], "step": 2}}, '{"choice": [...]}'),
        ({"recipe.batch_size": {"int": [4, 8.5]}}, "batch_size"),
        ({"recipe.batch_size": {"float": [4.5, 8.5]}}, "4.5"),
        ({"recipe.batch_size": {"int": [4, 8], "step": 0}}, '"step" must be'),
        ({"recipe.batch_size": {"int": [4]}}, "batch_size"),
        ({"recipe.batch_size": {"choice": []}}, "batch_size"),
        ({"recipe.batch_size": {"choice": [4, 4]}}, "batch_size"),
        ({"recipe.batch_size": [4, 8]}, '{"choice": [...]}'),
        ({"recipe.batch_size": {"choice": 4}}, '{"choice": [...]}'),
        ({"recipe.epochs": {"choice": [4, 8]}}, "same in all trials"),
        ({"recipe.seed": {"int": [0, 8]}}, "same in all trials"),
        ({"data.split_scheme": {"choice": ["paper"]}}, "same in all trials"),
        ({"model.units": {"choice": [4, 8]}}, "`units`"),
    ],
)
def test_what_is_refused(described, says, user_error):
    with user_error(says):
        make_space(described, CONV3D, "space.json")


def test_a_search_over_networks_may_name_options_that_some_lack():
    described = {"model.model": {"choice": ["conv3d", "lrcn"]}, "model.units": {"choice": [4, 8]}}
    assert len(make_space(described, TrainConfig(), "space.json")) == 2


@pytest.mark.parametrize("text", ["{", "3", "[1]", None])
def test_a_file_that_is_no_space(tmp_path, text, user_error):
    file = tmp_path / "space.json"
    if text:
        file.write_text(text)
    with user_error(str(file), "cannot be read", '"section.option"'):
        read_space(file)


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("preset", ["paper", "demo", "small-data"])
def test_the_default_space_of_every_network_holds_values_it_can_have(model, preset):
    config = with_preset(TrainConfig(), Choice(preset), model)
    space = default_space(config)  # tries every value
    taken = options(model)
    names = [p.option for p in space if p.name.startswith("model.")]
    assert names
    assert set(names) <= set(taken)
    assert "gate_kernel" not in names  # there is no gate
    if "attention" in taken:
        gated = from_json({"model": {"attention": True}}, config)
        assert {p.option for p in default_space(gated)} == {
            *(p.option for p in space),
            "gate_kernel",
        }


def test_what_was_given_is_not_searched(user_error):
    everything = {p.option for p in default_space(CONV3D)}
    assert {p.option for p in default_space(CONV3D, held={"dense", "learning_rate"})} == (
        everything - {"dense", "learning_rate"}
    )
    with user_error("space"):
        default_space(CONV3D, held=everything)


def test_a_pool_larger_than_the_clip_is_not_in_the_default_space():
    small = from_json({"data": {"height": 8, "width": 8, "frames": 4}}, TrainConfig())
    pool = next(p for p in default_space(small) if p.option == "pool")
    assert pool.values == ([2, 8, 8], [4, 8, 8])


@given(
    st.lists(st.integers(1, 64), min_size=1, unique=True),
    st.lists(st.tuples(*[st.integers(1, 8)] * 3).map(list), min_size=1, unique_by=tuple),
)
def test_values_take_the_way_of_the_config(dense, pools):
    described = {"model.dense": {"choice": dense}, "model.pool": {"choice": pools}}
    for each in make_space(json.loads(json.dumps(described)), CONV3D, "space.json"):
        for value in each.values:
            option = getattr(with_values(CONV3D, {each.name: value}).model, each.option)
            assert option == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([4, 16, 16], "4 16 16"),
        (0.000316227, "0.000316"),
        (None, "default"),
        (True, "True"),
        (8, "8"),
    ],
)
def test_values_are_shown_as_the_command_line_takes_them(value, text):
    assert shown(value) == text
