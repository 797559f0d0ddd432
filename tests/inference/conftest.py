"""A run folder made by hand: no test here depends on what a network has learned."""

import keras
import numpy as np
import pytest

from ar3d_keras import Conv3DClassifier
from ar3d_keras.config import DataConfig, RecipeConfig, TrainConfig, to_json
from ar3d_keras.experiments.load import from_run
from ar3d_keras.runs import RunFolder

CLASSES = ["걷기", "Jump", "Run"]


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> RunFolder:
    """A gated network of 3 classes, with clips of 4x16x16 at stride 2, and a batch size of 4."""
    run = RunFolder(tmp_path_factory.mktemp("runs") / "tiny")
    run.best.parent.mkdir(parents=True)
    keras.utils.set_random_seed(1)
    network = Conv3DClassifier(
        3, attention=True, frames=4, height=16, width=16, filters=4, pool=(2, 4, 4), dense=8
    )
    for weight in network.trainable_weights:  # far apart, so that outputs differ
        noise = np.random.default_rng(len(weight.shape)).normal(0, 0.3, weight.shape)
        weight.assign(keras.ops.convert_to_numpy(weight.value) + noise)
    network.save(run.best)
    config = TrainConfig(
        data=DataConfig(frames=4, height=16, width=16, resize=(18, 24), stride=2),
        recipe=RecipeConfig(batch_size=4),
    )
    run.write_record(
        {
            "begun": "2026-01-01T00:00:00+00:00",
            "config": to_json(config),
            "data": {"fingerprint": "0" * 16},
            "split": {"scheme": "group"},
            "classes": CLASSES,
        }
    )
    return run


@pytest.fixture(scope="session")
def classifier(run):
    return from_run(run)
