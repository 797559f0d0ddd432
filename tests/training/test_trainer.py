"""Training over a dataset that loses videos on the way."""

import json

import numpy as np
import pytest

from ar3d_keras.config import TrainConfig, from_json
from ar3d_keras.presets import Choice, with_preset
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import create_run, read_history
from ar3d_keras.training.trainer import train
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.dataset import clip_shape, open_dataset
from ar3d_keras.videos.demo import make_demo
from ar3d_keras.videos.splits import make_split

pytestmark = pytest.mark.multi_backend


class Told(Reporter):
    def __init__(self):
        self.lines = []

    def log(self, text):
        self.lines.append(text)


def test_videos_lost_on_the_way_are_named_counted_and_weigh_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("ar3d_keras.training.callbacks.MOST_FAILURES", 1.0)
    config = from_json(
        {
            "data": {"height": 8, "width": 8},
            "model": {"filters": 2, "pool": [4, 4, 4], "dense": 4, "dropout": 0.0},
            # A learning rate that changes nothing, so that the loss can be compared.
            "recipe": {"epochs": 2, "learning_rate": 1e-12, "precision": "float32"},
        },
        with_preset(TrainConfig(), Choice("demo")),
    )
    demo = make_demo(tmp_path / "demo", groups=11, clips=1)
    dataset = open_dataset(make_split(open_catalog(demo), "group"), clip_shape(config.data))
    lost = [video.path for video in dataset.split.videos("train")][::2]
    for path in lost:
        (demo / path).unlink()
    run, told = create_run(tmp_path, "r", "conv3d"), Told()
    record = {"begun": "2026-01-01", "config": {}, "data": {}, "split": {}, "classes": []}
    run.write_record(record)
    train(run, config, dataset, precision="float32", workers=2, reporter=told)
    assert sum(line.startswith("unreadable (train)") for line in told.lines) == len(lost) == 8
    named = json.loads((run.folder / "run.json").read_text())["unreadable"]
    assert sorted(entry["path"] for entry in named) == sorted(lost)
    assert {entry["epoch"] for entry in named} == {1}
    # Half of each batch is black; were it counted, the loss would be half of what it is.
    for row in read_history(run.history):
        assert row["loss"] == pytest.approx(np.log(8), abs=0.1)
