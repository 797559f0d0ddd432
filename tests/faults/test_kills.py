"""Trainings killed with SIGKILL at random moments and resumed: they end as one that was not."""

import csv
import io
import json
import random
import shutil
import sys
import time
import zipfile

import forked  # tests/faults/forked.py
import h5py
import numpy as np
import pytest
from processes import TINY_FLAGS  # tests/processes.py

TIMING = {"seconds", "clips_per_s", "wait_share"}
SEED = 20261125
# 9 videos in batches of 2: five steps an epoch.
OPTIONS = [
    "--attention", *TINY_FLAGS, "--batch-size", 2, "--epochs", 3, "--dropout", 0.5, "--schedule",
    "cosine", "--warmup-epochs", 1, "--clip-norm", 0.5, "--label-smoothing", 0.1, "--pool",
    "global", "--log-pooling", "--mixup", 0.2, "--checkpoint-minutes", 0,
]  # fmt: skip


pytestmark = pytest.mark.usefixtures("server_path")


class Trainings:
    """Runs of one configuration in a folder, killed and resumed."""

    def __init__(self, data, folder, *more):
        self.folder, self.log = folder, folder / "log"
        self.command = ["train", "--data", data, "--runs-dir", folder, *OPTIONS, *more]

    def arguments(self, name):
        """Starts the run, or continues it if its record was written."""
        if (self.folder / name / "run.json").exists():
            return ["train", "--resume", "--runs-dir", self.folder, "--checkpoint-minutes", 0]
        return [*self.command, "--name", name]

    def finish(self, name):
        assert forked.run(*self.arguments(name), log=self.log) == 0, self.log.read_text()
        return self.folder / name

    def kill(self, name, when):
        """Whether the run was killed, and not finished before."""
        return forked.run_killed(*self.arguments(name), log=self.log, when=when)

    def moment(self, name):
        """How far a run is, for the record."""
        run = self.folder / name
        if not (run / "run.json").exists():
            return "before its record"
        if not (run / "checkpoints/state.npz").exists():
            return "before its first state"
        with np.load(run / "checkpoints/state.npz") as state:
            epochs, steps = int(state["epochs"]), int(state["steps"])
        found = json.loads((run / "run.json").read_text())
        if "finished_epochs" in found:
            return "finished"
        if "saved_model" in found:
            return "exporting"
        return "evaluating" if epochs == 3 else f"epoch {epochs}, step {steps}"


def assert_same(one, other):
    states = [np.load(run / "checkpoints/state.npz") for run in (one, other)]
    assert states[0].files == states[1].files
    for name in states[0].files:
        if name != "counters":  # seconds
            np.testing.assert_array_equal(states[0][name], states[1][name], err_msg=name)
    weights = [_best(run) for run in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    for name in weights[0]:
        np.testing.assert_array_equal(weights[0][name], weights[1][name], err_msg=name)
    assert _history(one) == _history(other)
    for split in ("val", "test"):
        files = [(run / f"evaluation/{split}/predictions.csv").read_bytes() for run in (one, other)]
        assert files[0] == files[1]
    assert not list(other.rglob("*.part*"))


def _best(run):
    """The weights of best.keras, whose bytes hold the time."""
    found = {}

    def add(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with zipfile.ZipFile(run / "checkpoints/best.keras") as file:
        content = io.BytesIO(file.read("model.weights.h5"))
    with h5py.File(content) as weights:
        weights.visititems(add)
    return found


def _saved_model(run):
    """The variables of the SavedModel, whose order may differ between two processes."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(run / "saved_model/1/variables/variables"))
    names = reader.get_variable_to_shape_map().keys() - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    values = [np.asarray(reader.get_tensor(name)) for name in names]
    return sorted((value.shape, value.tobytes()) for value in values)


def _history(run):
    with (run / "history.csv").open(newline="") as lines:
        return [{k: v for k, v in row.items() if k not in TIMING} for row in csv.DictReader(lines)]


def after_states(file, count):
    """A condition: the file was written `count` times, which the inode number of each tells."""
    seen = set()

    def when():
        if file.exists():
            seen.add(file.stat().st_ino)
            seen.add(file.stat().st_mtime_ns)
        return len(seen) >= 2 * count

    return when


@pytest.mark.slow
def test_a_run_killed_twice_ends_as_one_that_was_not(tiny_demo, tmp_path):
    runs, draw = Trainings(tiny_demo, tmp_path, "--no-export"), random.Random(SEED)
    state = tmp_path / "killed/checkpoints/state.npz"
    moments = []
    for _ in range(2):
        assert runs.kill("killed", after_states(state, draw.randint(2, 5)))
        moments.append(runs.moment("killed"))
    assert any("step" in moment for moment in moments)
    assert_same(runs.finish("whole"), runs.finish("killed"))


@pytest.mark.slow
def test_the_campaign_of_20(tiny_demo, tmp_path, capsys):
    """python -m pytest -m slow tests/faults/test_kills.py -s"""
    runs, draw = Trainings(tiny_demo, tmp_path), random.Random(SEED)
    forked.run("--version", log=runs.log)  # the imports of the fork server
    begun = time.monotonic()
    whole = runs.finish("whole")
    length = time.monotonic() - begun
    kills, number = 0, 0
    while kills < 20:
        number += 1
        name, moments = f"run-{number:02}", []
        while kills < 20:
            delay, begun = draw.uniform(0, length), time.monotonic()
            if not runs.kill(name, lambda end=begun + delay: time.monotonic() > end):
                break
            kills += 1
            moments.append(runs.moment(name))
            if draw.random() < 0.5:
                break
        run = runs.finish(name)
        with capsys.disabled():
            print(f"{name}: killed {'; '.join(moments) or 'never'}")
        assert_same(whole, run)
        assert _saved_model(whole) == _saved_model(run)
        assert [version.name for version in (run / "saved_model").iterdir()] == ["1"]
        shutil.rmtree(run)
    with capsys.disabled():
        print(f"{kills} kills, {number} runs, all equal bit for bit", file=sys.stdout)
