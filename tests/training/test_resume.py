"""A training that is stopped at any step, several times, and resumed."""

import os
import signal

import keras
import numpy as np
import pytest

from ar3d_keras.config import TrainConfig, from_json
from ar3d_keras.errors import Terminated
from ar3d_keras.presets import Choice, with_preset
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import RunFolder, read_history
from ar3d_keras.training.trainer import train
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.dataset import clip_shape, open_dataset
from ar3d_keras.videos.demo import make_demo
from ar3d_keras.videos.splits import make_split

CONFIG = {
    "data": {"height": 8, "width": 8, "mixup": 0.2},
    "model": {"filters": 2, "pool": [4, 4, 4], "dense": 4, "dropout": 0.5, "log_pooling": True},
    "recipe": {
        "epochs": 3, "batch_size": 5, "precision": "float32", "schedule": "cosine",
        "weight_decay_after": 1, "clip_norm": 0.5,
    },
}  # fmt: skip
STEPS = 4  # of an epoch: 16 clips in batches of 5
TIMING = {"seconds", "clips_per_s", "wait_share"}


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    """trainer(name, *callbacks, **options): begins or continues a run in this process."""
    folder = tmp_path_factory.mktemp("resume")
    config = from_json(CONFIG, with_preset(TrainConfig(), Choice("demo")))
    demo = make_demo(folder / "demo", groups=11, clips=1)
    dataset = open_dataset(make_split(open_catalog(demo), "group"), clip_shape(config.data))

    def run(name, *callbacks, **options):
        found = run.run = RunFolder(folder / name)
        found.folder.mkdir(exist_ok=True)
        train(found, config, dataset, precision="float32", workers=2, reporter=Reporter(),
              callbacks=callbacks,
              splits=("val",), **options)  # fmt: skip
        return found

    return run


class Send(keras.callbacks.Callback):
    """Sends a signal to this process after a step, or after the steps of an epoch."""

    def __init__(self, number, epoch, step=None):
        super().__init__()
        self.number, self.at, self.epoch = number, (epoch, step), None
        self.steps = 0

    def get_state(self):
        return {"steps": self.steps}

    def set_state(self, state):
        self.steps = state["steps"]

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.at == (self.epoch, batch):
            os.kill(os.getpid(), self.number)

    def on_epoch_end(self, epoch, logs=None):
        if self.at == (epoch, None):
            os.kill(os.getpid(), self.number)


def state(run):
    with np.load(run.state) as saved:
        return {name: saved[name] for name in saved.files if name != "counters"}


def untimed(run):
    return [{k: v for k, v in r.items() if k not in TIMING} for r in read_history(run.history)]


@pytest.fixture
def handlers():
    """The signals raise, as `ar3d` has them do."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.multi_backend
def test_a_run_that_was_stopped_anywhere_ends_as_one_that_was_not(trainer, handlers):
    whole = trainer("whole")
    stops = [
        (Send(signal.SIGINT, 0, 1), KeyboardInterrupt, (0, 2)),
        (Send(signal.SIGTERM, 0, STEPS - 1), Terminated, (0, STEPS)),  # before the evaluation
        (Send(signal.SIGINT, 1, 0), KeyboardInterrupt, (1, 1)),
        (Send(signal.SIGTERM, 1), Terminated, (1, STEPS)),  # in the evaluation
    ]
    exact = keras.backend.backend() != "jax"
    for callback, error, (epochs, steps) in (
        stops if exact else stops[2:3]
    ):  # JAX compiles each time
        with pytest.raises(error):
            trainer("stopped", callback)
        saved = state(trainer.run)
        assert (saved["epochs"], saved["steps"]) == (epochs, steps)
    last = Send(signal.SIGINT, 99)
    stopped = trainer("stopped", last)
    assert last.steps == 3 * STEPS  # it saw each step once, in all trainings
    before, after = state(whole), state(stopped)
    assert before.keys() == after.keys()
    for name, value in before.items():
        if exact or name.startswith("generator"):
            np.testing.assert_array_equal(value, after[name], err_msg=name)
        else:
            np.testing.assert_allclose(value, after[name], rtol=1e-6, atol=1e-7, err_msg=name)
    assert len(untimed(whole)) == 3
    for one, other in zip(untimed(whole), untimed(stopped), strict=True):
        assert one == (other if exact else pytest.approx(other, rel=1e-5))
    kept = [keras.models.load_model(run.best).get_weights() for run in (whole, stopped)]
    for one, other in zip(*kept, strict=True):
        np.testing.assert_allclose(one, other, rtol=0 if exact else 1e-6, atol=0 if exact else 1e-7)
