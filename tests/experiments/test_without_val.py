"""A training without val: `keep` last chooses nothing on it, so its videos can train."""

import csv
import json

import pytest
from processes import TINY  # tests/processes.py

from ar3d_keras import Reporter, train
from ar3d_keras.experiments.evaluate import calibrate_run, evaluate_split
from ar3d_keras.runs import find_run, read_history

FOLD = {**TINY, "epochs": 1, "split_scheme": "kfold", "folds": 3, "export": False}


@pytest.fixture(scope="module")
def run(tiny_demo, make_once):
    def make(folder):
        train(data=tiny_demo, **FOLD, keep="last", name="a", runs_dir=folder, reporter=Reporter())

    return find_run("a", make_once("without-val", make))


def test_the_val_fold_trains(run):
    assert run.record()["split"]["sizes"] == {"train": 24, "val": 0, "test": 12}
    with (run.folder / "split.csv").open(newline="") as rows:
        assert {row["split"] for row in csv.DictReader(rows)} == {"train", "test"}
    (row,) = read_history(run.history)
    assert "test_accuracy" in row and "val_accuracy" not in row
    assert run.curves.is_file()
    assert not run.evaluation("val").exists()
    metrics = json.loads((run.evaluation("test") / "metrics.json").read_text())
    assert metrics["chosen_on_val"] == "no epoch" and metrics["videos"] == 12
    assert "calibration" not in run.record()


@pytest.mark.parametrize("options", [{"keep": "best"}, {"early_stop": 2}, {"reject_error": 0.5}])
def test_what_is_chosen_on_val_needs_it(tiny_demo, tmp_path, user_error, options):
    given = {"keep": "last", **options, "val_fold": False, "runs_dir": tmp_path}
    with user_error("val"):
        train(data=tiny_demo, **FOLD, **given, reporter=Reporter())
    assert not list(tmp_path.iterdir())


def test_val_fold_needs_folds(tiny_demo, tmp_path, user_error):
    with user_error("`val_fold`", "kfold"):
        train(data=tiny_demo, preset="demo", val_fold=True, runs_dir=tmp_path, reporter=Reporter())


def test_nothing_is_computed_on_a_val_that_is_not_there(run, user_error):
    with user_error("val"):
        evaluate_split(run, "val", reporter=Reporter())
    with user_error("val"):
        calibrate_run(run, reporter=Reporter())
