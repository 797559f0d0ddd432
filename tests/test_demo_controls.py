"""What the network learns on the demo set is motion: two controls that take it away.

Full size, as `python train.py` trains it: `pytest -m slow tests/test_demo_controls.py`.
A small network, on the same videos and trained once, runs every time.
"""

import dataclasses
import json

import numpy as np
import pytest

from ar3d_keras.config import TrainConfig, from_json
from ar3d_keras.evaluation.evaluator import evaluate
from ar3d_keras.evaluation.metrics import scores
from ar3d_keras.models.loading import load_model
from ar3d_keras.presets import Choice, with_preset
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import create_run
from ar3d_keras.training import hardware
from ar3d_keras.training.trainer import train
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.dataset import Dataset, clip_shape, open_dataset
from ar3d_keras.videos.demo import make_demo
from ar3d_keras.videos.splits import make_split


class Altered:
    """A ClipSource whose clips lost something: their motion, or their order."""

    def __init__(self, source, alter):
        self._source, self._alter = source, alter

    def __getattr__(self, name):
        return getattr(self._source, name)

    def __len__(self):
        return len(self._source)

    def clip_spec(self, index, epoch):
        return self._source.clip_spec(index, epoch), epoch

    def cut(self, index, spec, out):
        spec, epoch = spec
        out[:] = self._alter(self._source.cut(index, spec, out), index, epoch)
        return out


def ordered(clip, index, epoch):
    return clip


def still(clip, index, epoch):
    """One frame, repeated."""
    return np.repeat(clip[len(clip) // 2][None], len(clip), axis=0)


def shuffled(clip, index, epoch):
    """The same frames in random order, another one in every epoch."""
    return clip[np.random.default_rng((index, epoch)).permutation(len(clip))]


@dataclasses.dataclass(frozen=True)
class AlteredDataset(Dataset):
    alter: object = ordered

    def _source(self, name, sampler):
        return Altered(super()._source(name, sampler), self.alter)


def dataset(folder, config, alter):
    split = make_split(open_catalog(folder), "group")
    opened = open_dataset(split, clip_shape(config.data), workers=2, reporter=Reporter())
    return AlteredDataset(**vars(opened), alter=alter)


def top1(network, data):
    evaluation = evaluate(
        network, data.evaluation("test"), data.class_names, batch_size=16, workers=2
    )
    return scores(evaluation)["top1"]


def trained(folder, config, alter, runs):
    run = create_run(runs, alter.__name__, "conv3d")
    data = dataset(folder, config, alter)
    train(run, config, data, precision="float32", workers=2, reporter=Reporter())
    return load_model(run.best)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return make_demo(tmp_path_factory.mktemp("data") / "demo")


def check(demo, config, runs, at_least):
    sees_motion = trained(demo, config, ordered, runs)
    found = {
        "ordered": top1(sees_motion, dataset(demo, config, ordered)),
        "still": top1(sees_motion, dataset(demo, config, still)),
        "trained on still": top1(trained(demo, config, still, runs), dataset(demo, config, still)),
        "trained on shuffled": top1(
            trained(demo, config, shuffled, runs), dataset(demo, config, shuffled)
        ),
    }
    print(json.dumps(found))
    assert found["ordered"] >= at_least
    assert found["still"] < 0.25
    assert found["trained on still"] < 0.25
    assert found["trained on shuffled"] < 0.6


def demo_config(**sections):
    return from_json(sections, with_preset(TrainConfig(), Choice("demo")))


@pytest.mark.slow  # it trains twice
def test_a_small_network_cannot_tell_the_actions_without_motion(demo, tmp_path):
    config = demo_config(
        data={"height": 24, "width": 24},
        model={"filters": 24, "pool": [4, 4, 4], "dense": 128},
        recipe={"epochs": 10},
    )
    network = trained(demo, config, ordered, tmp_path)
    assert top1(network, dataset(demo, config, ordered)) >= 0.8
    assert top1(network, dataset(demo, config, still)) < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("attention", [False, True])
def test_without_motion_or_order_the_network_cannot_tell(demo, tmp_path, attention):
    config = demo_config(model={"attention": attention})
    assert hardware.backend() == "tensorflow"
    check(demo, config, tmp_path, at_least=0.95)
