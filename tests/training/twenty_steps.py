"""Trains networks for twenty steps from the same weights on the same batches; prints the losses.

    KERAS_BACKEND=jax python twenty_steps.py NETWORK ...      names of the registry
    KERAS_BACKEND=jax python twenty_steps.py --frozen-norms   all networks

The networks have the sizes of tests/models, and no dropout.

At these sizes a batch norm sees as few as four values a channel. Then a change of the weights by 1e-7
changes the losses of one and the same backend by 0.1 within ten steps, so that two backends cannot be
compared. With `--frozen-norms` the batch norms use their moving averages, 0 and 1, and stay as they are.
"""

import importlib
import json
import sys
from pathlib import Path

import keras
import numpy as np
from networks import NetworkTests  # tests/models/networks.py

from ar3d_keras.config import RecipeConfig
from ar3d_keras.models import network
from ar3d_keras.networks import NETWORKS
from ar3d_keras.training.trainer import compile_network

MODELS = Path(__file__).parents[1] / "models"
STEPS, BATCHES, CLIPS = 20, 5, 4


def cases():
    """The tests of all networks, by the network's name; those with a gate train with it."""
    for file in sorted(MODELS.glob("test_*.py")):
        if "(NetworkTests)" in file.read_text(encoding="utf-8"):
            importlib.import_module(file.stem)
    found = {case.name: case for case in reversed(NetworkTests.__subclasses__())}
    # The networks of torchvision differ in their convolutions only, and are tested together.
    return {name: found.get(name, found["r2plus1d"]) for name in NETWORKS}


def losses(name, case, frozen_norms):
    random = np.random.default_rng(0)
    gate = {"attention": True} if case.gated else {}
    model = network(name)(3, **{**case.small, **gate, "dropout": 0.0})
    # The initial weights of kernels; biases and batch norms begin with zeros and ones everywhere.
    model.set_weights([
        random.normal(0, np.prod(value.shape[:-1]) ** -0.5, value.shape) if value.ndim > 1 else value
        for value in model.get_weights()
    ])  # fmt: skip
    for layer in model._flatten_layers():
        if frozen_norms and isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    recipe = RecipeConfig(learning_rate=1e-3, weight_decay_after=0)
    compile_network(model, recipe, steps=STEPS, precision="float32")
    shape = CLIPS, *model.input_shape[1:]
    batches = [random.integers(0, 256, shape, np.uint8) for _ in range(BATCHES)]
    labels = [random.integers(0, 3, CLIPS) for _ in range(BATCHES)]
    weights = np.ones(CLIPS, np.float32)
    return [
        float(model.train_on_batch(batches[step % BATCHES], labels[step % BATCHES], weights)[0])
        for step in range(STEPS)
    ]


if __name__ == "__main__":
    frozen_norms = sys.argv[1:] == ["--frozen-norms"]
    names = NETWORKS if frozen_norms else sys.argv[1:]
    found = cases()
    print(json.dumps({name: losses(name, found[name], frozen_norms) for name in names}))
