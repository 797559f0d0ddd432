"""A clock that jumps: no duration and no decision depends on the time of day."""

import re
import threading
import time
import types
from pathlib import Path

import keras
import pytest
from faults.bad_decoders import bad_examine
from test_kills import Trainings, assert_same  # tests/faults/test_kills.py

import ar3d_keras
from ar3d_keras.console import Console
from ar3d_keras.training import run_state
from ar3d_keras.training.run_state import RunState, position
from ar3d_keras.videos import isolation
from ar3d_keras.videos.examination import examine

# The time of day is written into records and names, and compared with nothing but itself.
OF_DAY = re.compile(r"time\.time\(|\bfrom time import\b.*\btime\b")
DAY = 86_400.0


def test_durations_are_measured_by_a_clock_that_does_not_jump():
    package = Path(ar3d_keras.__file__).parent
    assert not [file for file in package.rglob("*.py") if OF_DAY.search(file.read_text("utf-8"))]


class Clock:
    """Stands in for a module `time`, whose clock jumps by `jump` seconds when told."""

    def __init__(self):
        self.jump = 0.0

    def monotonic(self):
        return time.monotonic() + self.jump


@pytest.fixture
def clock():
    return Clock()


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_states_within_an_epoch_are_still_written(tmp_path, clock, jump, monkeypatch):
    monkeypatch.setattr(run_state, "time", clock)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    state = RunState(tmp_path / "state.npz", steps=9, minutes=10)
    state.set_model(model)
    state.on_epoch_begin(0)
    written = []
    for step in range(4):
        clock.jump += jump if step == 1 else 0
        state.on_train_batch_end(step)
        written.append(position(state.file))
    assert written == [(0, 0), (0, 2), (0, 2), (0, 2)]
    clock.jump += 601
    state.on_train_batch_end(4)
    assert position(state.file) == (0, 5)


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_decoder_is_not_late_after_a_jump(write_video, tmp_path, clock, jump, monkeypatch):
    """As after Ctrl-Z, and when a laptop wakes up."""
    monkeypatch.setattr(isolation, "time", clock)
    file = write_video(tmp_path / "short.avi", 20)

    def later():
        time.sleep(0.3)
        clock.jump += jump

    jumping = threading.Thread(target=later)
    with isolation.Isolation(isolation.Limits(5)) as processes:
        processes.call(examine, file)  # the process is ready
        jumping.start()
        assert processes.call(bad_examine, file).facts.frames == 20
        jumping.join()


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_bar_goes_on(clock, jump, capsys):
    console = Console()
    console.terminal.get_time = clock.monotonic
    console.terminal._force_terminal = True
    console.terminal.file = types.SimpleNamespace(
        write=lambda text: None, flush=lambda: None, isatty=lambda: True
    )
    with console.bar("training", 10, "steps") as update:
        for done in range(10):
            clock.jump += jump if done == 5 else 0
            update(done)
            time.sleep(0.01)


@pytest.mark.slow
def test_a_training_under_clocks_that_jump_ends_as_another(tiny_demo, tmp_path, server_path):
    runs = Trainings(tiny_demo, tmp_path, "--no-export")
    whole = runs.finish("whole")
    runs.command.insert(0, "jumping-clocks")
    assert_same(whole, runs.finish("jumped"))
