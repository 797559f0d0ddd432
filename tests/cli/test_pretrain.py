"""ar3d pretrain: a run without labels, and a training from it."""

import json

import keras
import numpy as np
import pytest
from processes import TINY, TINY_FLAGS  # tests/processes.py

import ar3d_keras
from ar3d_keras import Reporter
from ar3d_keras.runs import latest
from ar3d_keras.training.warm_start import find_warm_start, take_weights, weighted_layers


class StopError(Exception):
    pass


class StopInEpoch2(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise StopError


def test_a_stopped_pretraining_continues_and_gives_its_weights(tiny_demo, tmp_path, done, refused):
    given = {**TINY, "task": "order", "runs_dir": tmp_path, "attention": True}
    with pytest.raises(StopError):
        ar3d_keras.pretrain(tiny_demo, **given, callbacks=[StopInEpoch2()], reporter=Reporter())
    command = ["pretrain", "--attention", "--data", tiny_demo, "--runs-dir", tmp_path, *TINY_FLAGS]
    done(*command, "--task", "order")
    record = json.loads((tmp_path / "pretrained/run.json").read_text())
    assert record["pretext"] == "order" and record["finished_epochs"] == 2
    assert record["class_names"] == ["forward", "backward"]
    assert record["split"]["sizes"] == {"train": 33, "val": 3, "test": 0}
    assert latest(tmp_path) is None  # it predicts no classes
    for verb in (["train", "--resume", "pretrained"], ["evaluate", "--run", "pretrained"]):
        assert "pretrained" in refused(*verb, "--runs-dir", tmp_path)

    network = ar3d_keras.load_model(tmp_path / "pretrained/checkpoints/best.keras")
    sizes = {**network.sizes, "num_classes": 3}
    new = ar3d_keras.Conv3DClassifier(**sizes)
    start = find_warm_start("pretrained", tmp_path)
    assert take_weights(new, start, ("Grow", "MoveDown", "MoveUp")).endswith("new: output")
    for name in ("features", "gate", "dense"):
        for one, other in zip(
            weighted_layers(network)[name].get_weights(),
            weighted_layers(new)[name].get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
    # The folder holds a pretraining of another task.
    assert "--name" in refused(*command, "--task", "instance")


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (["--data", "EMPTY"], "no videos"),
        (["--data", "DAMAGED"], "decode"),
        (["--data", "DATA", "--split-scheme", "kfold"], "--split-scheme"),
        (["--data", "DATA", "--init-from", "run"], "--init-from"),
        (["--data", "DATA", "--skip", "skip.csv"], "--skip"),
        (["--data", "DATA", "--keep", "best"], "--keep"),
        (["--data", "DATA", "--model", "two_stream"], "--model"),
        (["--data", "DATA", "--task", "speed", "--frames", 64], "--task"),
        ([], "--data"),
    ],
)
def test_what_it_refuses(given, part, tiny_demo, tmp_path, refused):
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/one.mp4").write_bytes(b"no video" * 100)
    places = {"EMPTY": tmp_path / "empty", "DAMAGED": tmp_path / "damaged", "DATA": tiny_demo}
    arguments = [places.get(argument, argument) for argument in given]
    assert part in refused("pretrain", *arguments, "--runs-dir", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
