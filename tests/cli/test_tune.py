"""ar3d tune: trials that fail, go on, share the work, and a best that train.py repeats."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys

import pytest
from processes import ROOT  # tests/processes.py

pytest.importorskip("keras_tuner")

import ar3d_keras
from ar3d_keras import Reporter
from ar3d_keras.cli import main
from ar3d_keras.experiments.tuning.results import read_results
from ar3d_keras.locking import locked
from ar3d_keras.runs import read_history
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.splits import make_split

# keras-tuner 1.4.8 asks for the thread's name in an old way.
pytestmark = [
    pytest.mark.filterwarnings("ignore:(currentThread|getName).. is deprecated"),
    pytest.mark.usefixtures("all_eagerly"),
]

SMALL = (
    "--preset demo --height 16 --width 16 --filters 2 --dense 4 --batch-size 8 --epochs 2 "
    "--precision float32"
).split()
# Of the six one pool is too large, whatever the learning rate, and one rate gives no number.
SPACE = {
    "model.pool": {"choice": [[4, 8, 8], [4, 4, 4], [4, 32, 32]]},
    "recipe.learning_rate": {"choice": [0.01, 1e30]},
}
EASY = {"model.dropout": {"float": [0.0, 0.6]}}


@pytest.fixture
def space(tmp_path):
    """space({...}): the options that search it."""

    def write(described):
        file = tmp_path / "space.json"
        file.write_text(json.dumps(described))
        return ["--space", str(file)]

    return write


def tune(*arguments):
    return main(["tune", *map(str, arguments)])


@pytest.fixture(scope="module")
def searched(tiny_demo, tmp_path_factory):
    """A search over SPACE in which no test video can be decoded, and what it printed."""
    folder = tmp_path_factory.mktemp("searched")
    data = shutil.copytree(tiny_demo, folder / "demo")
    for video in make_split(open_catalog(data), "group").videos("test"):
        (data / video.path).write_bytes(b"not a video")
    (folder / "space.json").write_text(json.dumps(SPACE))
    command = ["--attention", "--data", data, *SMALL, "--runs-dir", folder, "--name", "s"]
    command += ["--space", folder / "space.json", "--tuner", "random", "--trials", 6]
    with pytest.MonkeyPatch.context() as patch, (folder / "out.txt").open("w") as out:
        patch.setattr(sys, "stdout", out)
        assert tune(*command) == 0
    return folder / "s", command


def test_every_trial_is_recorded_those_that_failed_with_their_reason(searched):
    with (searched[0] / "trials.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 6
    assert {row["trial"] for row in rows} == set("012345")
    fine = [row for row in rows if row["val_top1"]]
    assert rows[:2] == fine  # first, the best of all
    assert [float(row["val_top1"]) for row in fine] == sorted(
        (float(row["val_top1"]) for row in fine), reverse=True
    )
    for row in rows[2:]:
        told = "pool" if row["model.pool"] == "4 32 32" else "learning_rate"
        assert told in row["failed"]
    assert {row["model.pool"] for row in rows} == {"4 8 8", "4 4 4", "4 32 32"}


def test_test_is_not_opened(searched):
    folder, _ = searched
    assert "skipped" not in (folder / "log.txt").read_text()
    for history in folder.glob("trial_*/history.csv"):
        assert "val_accuracy" in history.read_text()
        assert "test_" not in history.read_text()


def test_a_line_for_each_trial_and_the_best(searched):
    lines = (searched[0].parent / "out.txt").read_text().splitlines()
    assert sum(line.startswith("trial ") for line in lines) == 6
    assert any(line.startswith("best: trial ") and "4 failed" in line for line in lines)
    assert lines[-1].endswith("best.json")


def test_the_page_needs_nothing_beside_it(searched):
    page = (searched[0] / "tuning.html").read_text()
    assert ' src="http' not in page and "<link" not in page
    assert "data:image/png;base64," in page and "model.pool" in page


def test_nothing_that_only_a_resume_needs_is_left(searched):
    assert not list(searched[0].rglob("*.npz")) + list(searched[0].rglob("*.keras"))
    assert not list(searched[0].rglob("*.part*"))


def test_train_takes_the_best_and_ends_where_the_trial_did(searched, tiny_demo, tmp_path):
    best = json.loads((searched[0] / "best.json").read_text())
    config = ["--config", searched[0] / "best.json", "--data", tiny_demo]
    more = ["--runs-dir", str(tmp_path), "--name", "r", "--no-export"]
    assert main(["train", *map(str, config), *more]) == 0
    trial = read_history(searched[0] / f"trial_{best['trial']}" / "history.csv")
    run = read_history(tmp_path / "r/history.csv")
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert [row[name] for row in trial] == [row[name] for row in run]
    assert best["val_top1"] == max(row["val_accuracy"] for row in run)


def test_the_same_command_repeats_nothing_and_more_trials_go_on(searched, space, tmp_path):
    folder = shutil.copytree(searched[0], tmp_path / "s")
    command = [*searched[1], "--runs-dir", tmp_path]
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("result.json")}
    assert tune(*command) == 0
    assert tune(*command, "--trials", 9) == 0  # there are no more than six
    after = {file: file.stat().st_mtime_ns for file in folder.rglob("result.json")}
    assert before == after


@pytest.mark.parametrize(
    ("other", "parts"),
    [
        (["--batch-size", 4], ("batch_size", "8", "4")),
        (["--tuner", "hyperband"], ("tuner",)),
        (["--no-attention"], ("attention",)),
    ],
)
def test_another_search_in_its_folder_is_refused(searched, refused, other, parts):
    error = refused("tune", *searched[1], *other)
    assert all(part in error for part in parts)


def test_a_second_search_in_a_folder_is_refused_while_the_first_runs(searched, refused):
    with locked(searched[0] / ".lock"):
        assert f"process {os.getpid()}" in refused("tune", *searched[1])


@pytest.mark.slow  # it trains a dozen trials
def test_a_stopped_search_continues_and_hyperband_promotes_its_state(tiny_demo, space, tmp_path):
    command = ["--attention", "--data", tiny_demo, *SMALL, "--epochs", 3, "--runs-dir", tmp_path]
    command += ["--name", "h", "--trials", 5, *space(EASY)]
    folder = tmp_path / "h"
    from ar3d_keras.experiments.tuning.results import Result

    written = Result.write

    def interrupted(self, place):
        written(self, place)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Result, "write", interrupted)
        assert tune(*command) == 130
    first = {file: file.stat().st_mtime_ns for file in folder.rglob("result.json")}
    assert len(first) == 1
    assert tune(*command) == 0
    assert {file: file.stat().st_mtime_ns for file in first} == first
    results = read_results(folder)
    promoted = [result for result in results if result.resumed_from]
    assert promoted
    for result in promoted:
        before = read_history(folder / f"trial_{result.resumed_from}" / "history.csv")
        history = read_history(folder / f"trial_{result.trial}" / "history.csv")
        assert [row["epoch"] for row in history] == [1, 2, 3]
        assert history[: len(before)] == before
    # Promoted, it ends as a training that was never stopped.
    config = json.loads((folder / f"trial_{promoted[0].trial}" / "run.json").read_text())["config"]
    (tmp_path / "c.json").write_text(json.dumps(config))
    train = ["train", "--config", tmp_path / "c.json", "--runs-dir", tmp_path, "--name", "r"]
    assert main([*map(str, train), "--no-export"]) == 0
    whole = read_history(tmp_path / "r/history.csv")
    promoted_history = read_history(folder / f"trial_{promoted[0].trial}" / "history.csv")
    assert [r["val_loss"] for r in whole] == [r["val_loss"] for r in promoted_history]


def test_networks_with_flow_are_searched_too(tiny_demo, space, tmp_path):
    best = ar3d_keras.tune(
        data=tiny_demo, model="two_stream", preset="demo", height=20, width=20, resize=(24, 32),
        frames=4, width_multiplier=0.02, epochs=1, tuner="random", trials=1, runs_dir=tmp_path,
        reporter=Reporter(), space=space({"recipe.batch_size": {"choice": [8, 12]}})[1],
    )  # fmt: skip
    assert best.epoch == 1 and not best.failed
    record = json.loads((tmp_path / "tune-two_stream/trial_0/run.json").read_text())
    assert record["config"]["data"]["flow"] == "dis"


@pytest.mark.slow
def test_a_chief_and_two_workers_share_the_trials_and_all_end(tiny_demo, space, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = ["-m", "ar3d_keras", "tune", "--data", tiny_demo, *SMALL, "--epochs", "1"]
    command += ["--tuner", "random", "--trials", "4", "--runs-dir", tmp_path, "--name", "p"]
    command += space(EASY)

    def begin(name):
        address = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": port}
        return subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=ROOT,
            env={**os.environ, **address, "KERASTUNER_TUNER_ID": name},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    processes = {name: begin(name) for name in ("chief", "tuner0", "tuner1")}
    told = {name: process.communicate(timeout=400) for name, process in processes.items()}
    for name, process in processes.items():
        assert process.returncode == 0, (name, told[name])
    lines = {name: out.splitlines() for name, (out, _) in told.items()}

    def trials(name):
        return [line.split()[1] for line in lines[name] if line.startswith("trial ")]

    assert sorted(trials("chief")) == ["0", "1", "2", "3"]
    assert sorted(trials("tuner0") + trials("tuner1")) == ["0", "1", "2", "3"]  # each once
    assert "best: trial " in told["chief"][0]
    assert (tmp_path / "p/tuning.html").exists()
    for name in ("tuner0", "tuner1"):
        assert lines[name][-1].startswith("the search is over")
    # One that comes when all is over ends, and waits for nobody.
    late = begin("tuner2")
    out, err = late.communicate(timeout=200)
    assert late.returncode == 0, err
    assert "the search is over" in out


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--trials", "0"], ("--trials", "0")),
        (["--name", "a/b"], ("--name", "a/b")),
        (["--space", "nowhere.json"], ("--space", "nowhere.json")),
        (["--tuner", "random", "--epochs", "0"], ("--epochs", "0")),
    ],
)
def test_what_is_refused(tiny_demo, tmp_path, refused, options, parts):
    error = refused("tune", "--data", tiny_demo, "--runs-dir", tmp_path, *options)
    assert all(part in error for part in parts)
    assert not list(tmp_path.glob("tune-*"))


def test_an_option_that_is_both_given_and_searched(tiny_demo, space, refused):
    searched = space({"model.dense": {"choice": [4, 8]}})
    error = refused("tune", "--data", tiny_demo, "--dense", 4, *searched)
    assert "--dense" in error and "--space" in error


def test_a_folder_of_something_else(tiny_demo, tmp_path, refused):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").touch()
    error = refused("tune", "--data", tiny_demo, "--runs-dir", tmp_path, "--name", "photos")
    assert "photos" in error and "--name" in error


def test_half_an_address(tiny_demo, monkeypatch, refused):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    assert "KERASTUNER_ORACLE_PORT" in refused("tune", "--data", tiny_demo)


@pytest.mark.parametrize("module", ["keras_tuner", "tensorboard", "six"])
def test_without_a_package_the_error_names_the_extra(module, tiny_demo, monkeypatch, refused):
    for name in [each for each in sys.modules if each.partition(".")[0] == "keras_tuner"]:
        monkeypatch.delitem(sys.modules, name)
    for name in [each for each in sys.modules if each.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    error = refused("tune", "--data", tiny_demo)
    assert "ar3d-keras[tune]" in error and module in error
