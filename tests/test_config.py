import dataclasses

import pytest

from ar3d_keras.config import PRESETS, TrainConfig, from_json, to_json
from ar3d_keras.errors import UserError


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
    ("sections", "told"),
    [
        ({"nonsense": {}}, "no section 'nonsense'"),
        ({"data": 3}, "no section 'data'"),
        ({"recipe": {"epoch": 3}}, "unknown option 'epoch'"),
        ({"recipe": {"epochs": "many"}}, "recipe.epochs = 'many'"),
        ({"model": {"pool": [1, 2]}}, "model.pool = [1, 2]"),
        ({"recipe": {"precision": "float8"}}, "recipe.precision = 'float8'"),
        ({"data": {"data": 7}}, "data.data = 7"),
    ],
)
def test_a_config_that_cannot_be_is_refused(sections, told):
    with pytest.raises(UserError) as error:
        from_json(sections, TrainConfig(), "x.json")
    assert told in str(error.value)


def test_every_option_is_documented():
    import ast
    import inspect

    from ar3d_keras import config

    for node in ast.parse(inspect.getsource(config)).body:
        if isinstance(node, ast.ClassDef) and node.name != "TrainConfig":
            fields = [i for i, item in enumerate(node.body) if isinstance(item, ast.AnnAssign)]
            for place in fields:
                following = node.body[place + 1]
                assert isinstance(following, ast.Expr), ast.unparse(node.body[place])
    assert dataclasses.is_dataclass(TrainConfig)
