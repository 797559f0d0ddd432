import ast
import inspect
from pathlib import Path

import pytest

from ar3d_keras import config
from ar3d_keras.config import DataConfig, TrainConfig, from_json, to_json
from ar3d_keras.errors import UserError
from ar3d_keras.presets import PRESETS


@pytest.mark.parametrize("preset", PRESETS)
def test_json_round_trip(preset):
    config = from_json(PRESETS[preset], TrainConfig())
    assert from_json(to_json(config), TrainConfig()) == config
    config.validate()


def test_the_defaults_are_the_papers():
    config = TrainConfig()
    assert (config.data.frames, config.data.height, config.data.width) == (16, 112, 112)
    assert config.model.model == "conv3d"  # whose own defaults are the paper's: test_conv3d.py
    recipe = config.recipe
    assert (recipe.epochs, recipe.learning_rate, recipe.weight_decay) == (50, 1e-4, 1e-4)


@pytest.mark.parametrize(
    ("sections", "parts"),
    [
        ({"nonsense": {}}, ("nonsense",)),
        ({"data": 3}, ("data",)),
        ({"recipe": {"epoch": 3}}, ("`epoch`", "recipe")),
        ({"recipe": {"epochs": "many"}}, ("`epochs`", "many")),
        ({"model": {"pool": [1, 2]}}, ("`pool`", "[1, 2]")),
        ({"recipe": {"precision": "float8"}}, ("`precision`", "float8")),
        ({"data": {"data": 7}}, ("`data`", "7")),
    ],
)
def test_a_config_that_is_not_one(sections, parts, user_error):
    with user_error("x.json", *parts):
        from_json(sections, TrainConfig(), "x.json")


@pytest.mark.parametrize(
    ("scheme", "options", "parameter"),
    [
        ("group", {"folds": 4}, "folds"),
        ("group", {"fold": 1}, "fold"),
        ("csv", {"split_lists": Path()}, "split_lists"),
        ("kfold", {"folds": 4}, None),
        ("logo", {"fold": 40}, None),
        ("kfold", {"fold": 6}, "fold"),
    ],
)
def test_options_of_split_schemes_are_checked_when_the_scheme_is_known(scheme, options, parameter):
    given = TrainConfig(data=DataConfig(**options))
    if scheme == "kfold" and parameter is None:
        given.validate()
    if parameter is None:
        resolved = given.resolved(split_scheme=scheme, flows=())
        assert (resolved.data.split_scheme, resolved.data.flow) == (scheme, "none")
        assert None not in (resolved.data.data, resolved.data.resize, resolved.data.fold)
    else:
        with pytest.raises(UserError) as caught:
            given.resolved(split_scheme=scheme, flows=())
        assert caught.value.parameter == parameter


def test_every_option_is_documented():
    for node in ast.parse(inspect.getsource(config)).body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Config"):
            if node.name == "TrainConfig":
                continue
            for place, item in enumerate(node.body):
                if isinstance(item, ast.AnnAssign):
                    following = node.body[place + 1]
                    assert isinstance(following, ast.Expr), ast.unparse(item)
