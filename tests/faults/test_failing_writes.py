"""A full or failing disk at every write: an error that the command line shows in one line, and what
was there before stays as it was."""

import errno
import os
import resource
import types

import keras
import numpy as np
import pytest

from ar3d_keras import atomic
from ar3d_keras import cli as command_line
from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import RunFolder
from ar3d_keras.training.callbacks import BestNetwork, HistoryCSV
from ar3d_keras.training.run_state import RunState
from ar3d_keras.videos.dataset import open_data
from ar3d_keras.videos.pack_index import PackSettings
from ar3d_keras.videos.packing import make_pack

ONE_LINE = (*command_line.NO_ROOM, *command_line.BROKEN, *command_line.NO_ACCESS)


@pytest.fixture(scope="module")
def model():
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3000)])
    network.compile("adam", "mse")
    network.optimizer.build(network.trainable_variables)
    return network


@pytest.fixture
def writers(model, ucf_set, tmp_path):
    """name -> a function that writes a file of a run, or a pack, over what is there."""
    folder = tmp_path / "run"
    folder.mkdir()
    catalog, settings = open_data(ucf_set), PackSettings("raw", 18, 24)
    run, logs = RunFolder(folder), {"loss": 1.0, "val_accuracy": 0.5, "val_loss": 1.0}
    log = Reporter()

    def ended(callback):
        callback.set_model(model)
        callback.on_epoch_end(0, dict(logs))

    def write_log():
        log.log_to(run.log_file)
        log.log("x" * 30_000)

    return folder, {
        "state": lambda: ended(RunState(run.state)),
        "best": lambda: ended(BestNetwork(run.best, model)),
        "history": lambda: ended(HistoryCSV(run.history, [{"epoch": n} for n in range(3000)])),
        "run.json": lambda: run.write_record({"text": "x" * 20_000}),
        "csv": lambda: atomic.write_csv(folder / "a.csv", ["a"], [["x" * 20_000]]),
        "picture": lambda: _picture(folder / "curves.png"),
        "log": write_log,
        "pack": lambda: make_pack(
            catalog, folder / "pack", settings, workers=1, reporter=Reporter()
        ),
    }


def _picture(file):
    from ar3d_keras.reports import drawing

    figure = drawing.new_figure(8, 8)
    figure.subplots().imshow(np.random.default_rng(0).random((99, 99)))
    drawing.save(figure, file)


NAMES = "state", "best", "history", "run.json", "csv", "picture", "log", "pack"


def contents(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name not in (".lock", "log.txt")
    }


@pytest.mark.parametrize("limit", [0, 4000, 15_000])
@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk(writers, name, limit):
    folder, functions = writers
    if name != "pack":
        functions[name]()
    before = contents(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises((OSError, UserError)) as caught:
            functions[name]()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    if isinstance(caught.value, OSError):
        assert caught.value.errno in ONE_LINE, repr(caught.value)
    if name == "pack":
        functions[name]()  # goes on
        assert (folder / "pack/pack.json").exists()
    else:
        assert contents(folder) == before


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "log"])
def test_a_disk_that_fails_when_it_is_flushed(writers, name, code, monkeypatch):
    folder, functions = writers
    if name != "pack":
        functions[name]()
    before = contents(folder)

    def fail(_):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises((OSError, UserError)) as caught:
            functions[name]()
    assert isinstance(caught.value, UserError) or caught.value.errno in ONE_LINE
    if name == "pack":
        functions[name]()
        assert (folder / "pack/pack.json").exists()
    else:
        assert contents(folder) == before


@pytest.mark.parametrize("name", ["state", "best", "history", "run.json", "csv", "picture"])
def test_a_folder_that_became_read_only(writers, name, monkeypatch):
    folder, functions = writers
    functions[name]()
    before = contents(folder)

    def fail(self, target):
        raise OSError(errno.EROFS, "Read-only file system", str(target))

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", fail)
        with pytest.raises(OSError) as caught:
            functions[name]()
    assert caught.value.errno in ONE_LINE
    assert contents(folder) == before


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_the_command_line_says_it_in_one_line(monkeypatch, capsys, code):
    def main(_):
        raise OSError(code, os.strerror(code), "runs/x/run.json")

    verb = types.SimpleNamespace(main=main, OPTIONS=command_line.verb_module("demo").OPTIONS)
    monkeypatch.setattr(command_line, "verb_module", lambda _: verb)
    assert command_line.main(["demo"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
