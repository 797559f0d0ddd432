import contextlib
import gzip
import json

import keras
import numpy as np
import pytest

from ar3d_keras import Conv3DClassifier
from ar3d_keras.progress import Reporter
from ar3d_keras.training.profiling import ProfileSteps


class Said(Reporter):
    def __init__(self):
        self.lines = []

    def log(self, text):
        self.lines.append(text)


def fit(callbacks, steps):
    network = Conv3DClassifier(
        3, attention=True, frames=2, height=8, width=8, filters=4, pool=(2, 4, 4), dense=8
    )
    network.compile("adam", "sparse_categorical_crossentropy", jit_compile="auto")
    clips = np.zeros((2 * steps, 2, 8, 8, 3), np.uint8)
    network.fit(clips, np.zeros(2 * steps), batch_size=2, verbose=0, callbacks=callbacks)


@pytest.mark.multi_backend
def test_the_trace_and_the_table_name_the_convolutions(tmp_path):
    said = Said()
    fit([ProfileSteps(tmp_path, said, first=1, steps=2)], steps=4)
    told = (tmp_path / "operations.txt").read_text()
    assert "conv" in told.lower()
    assert said.lines[0].startswith(told)
    shares = [float(line.split()[1].rstrip("%")) for line in told.splitlines()[1:]]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 100.5
    trace = json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes()))
    events = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert any("conv" in event["name"].lower() for event in events)
    assert all(event["dur"] >= 0 for event in events)
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.usefixtures("eagerly")
def test_fewer_steps_than_it_wanted(tmp_path):
    said = Said()
    fit([ProfileSteps(tmp_path, said, first=1, steps=9)], steps=3)
    assert len(said.lines) == 1
    assert (tmp_path / "trace.json.gz").is_file()


@pytest.mark.usefixtures("eagerly")
def test_an_error_in_a_traced_step_closes_the_profiler(tmp_path):
    """Else no other profiler could start in this process."""

    class FailError(Exception):
        pass

    class Fail(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise FailError

    said = Said()
    profiler = ProfileSteps(tmp_path / "failed", said, first=1, steps=3)
    with pytest.raises(FailError), contextlib.closing(profiler):  # as the trainer closes it
        fit([Fail(), profiler], steps=4)
    assert said.lines == [] and not (tmp_path / "failed").exists()
    fit([ProfileSteps(tmp_path / "again", said, first=1, steps=1)], steps=3)
    assert (tmp_path / "again/operations.txt").is_file()


@pytest.mark.usefixtures("eagerly")
def test_no_step_at_all(tmp_path):
    said = Said()
    fit([ProfileSteps(tmp_path, said, first=5)], steps=3)
    assert said.lines == []
