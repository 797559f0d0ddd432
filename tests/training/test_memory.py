"""A process that trains many networks must not grow: what TensorFlow would hold is counted."""

import gc

import keras
import numpy as np
import pytest

from ar3d_keras.config import ModelConfig, RecipeConfig, TrainConfig
from ar3d_keras.training.trainer import build_network, compile_network

CONFIG = TrainConfig(
    model=ModelConfig(
        attention=True, filters=2, kernel=1, gate_kernel=1, pool=(4, 16, 16), dense=2
    ),
    recipe=RecipeConfig(batch_size=2),
)  # fmt: skip


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about tf.function")
def test_a_training_leaves_no_graph_behind():
    from tensorflow.python.framework.func_graph import FuncGraph

    clips = np.zeros((2, 16, 112, 112, 3), np.uint8)
    counts = []
    for _ in range(3):
        model = build_network(CONFIG, ("a", "b"), "float32")
        compile_network(model, CONFIG.recipe, steps=1, precision="float32")
        model.fit(clips, np.array([0, 1]), batch_size=2, verbose=0)
        del model
        keras.utils.clear_session()
        gc.collect()
        # Not isinstance: it asks objects of torch for their class, and some warn.
        counts.append(sum(issubclass(type(each), FuncGraph) for each in gc.get_objects()))
    assert counts[2] == counts[1]  # the first one traces the functions of the gate
