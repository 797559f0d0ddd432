"""ar3d crossval and ar3d compare, as processes and in this one."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from processes import ROOT, TINY, python  # tests/cli/processes.py

from ar3d_keras.cli import main

FOLDS = ["--folds", "3", *TINY, "--epochs", "2"]


def command(data, runs, *more):
    return [
        "-m", "ar3d_keras", "crossval", "--attention", "--data", data, "--runs-dir", runs,
        *FOLDS, *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def crossed(tiny_demo, tmp_path_factory):
    """The folder of a cross-validation in a process of its own."""
    runs = tmp_path_factory.mktemp("crossed")
    done = python(*command(tiny_demo, runs))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (runs / "stdout.txt").write_text(done.stdout)
    return runs / "crossval"


def test_every_fold_is_a_run_and_all_are_summed_up(crossed):
    summary = json.loads((crossed / "crossval.json").read_text())
    assert [fold["run"] for fold in summary["folds"]] == ["fold-1", "fold-2", "fold-3"]
    assert summary["videos"] == 96  # every video of the set was tested once
    assert summary["split_scheme"] == "kfold, all 3 folds"
    out = (crossed.parent / "stdout.txt").read_text()
    for fold in (1, 2, 3):
        assert f"crossval: fold {fold} of 3" in out
        record = json.loads((crossed / f"fold-{fold}/run.json").read_text())
        assert record["split"]["scheme"] == f"kfold {fold} of 3"
        assert record["command"].startswith("ar3d crossval")
        assert (crossed / f"fold-{fold}/saved_model/1/saved_model.pb").is_file()
    assert f"pooled   top-1 {summary['top1']:.3f}" in out
    assert "No leak" in out
    assert (crossed / "crossval.html").is_file()


def test_a_fold_can_be_repeated_alone(crossed, tmp_path):
    code = main([
        "train", "--config", str(crossed / "fold-2/run.json"), "--name", "again",
        "--runs-dir", str(tmp_path),
    ])  # fmt: skip
    assert code == 0
    metrics = [
        json.loads((run / "evaluation/test/metrics.json").read_text())
        for run in (crossed / "fold-2", tmp_path / "again")
    ]
    # In a process of its own or after another fold: the same network.
    assert metrics[0]["loss"] == metrics[1]["loss"]


def test_killed_it_goes_on_where_it_was_bit_for_bit(crossed, tiny_demo, tmp_path):
    killed = subprocess.Popen(
        [sys.executable, *map(str, command(tiny_demo, tmp_path))],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    fold = ""
    for line in killed.stdout:
        fold = line if "fold" in line and " of 3" in line and "crossval" in line else fold
        if "fold 2 of 3" in fold and line.startswith("epoch 2/2"):
            break
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    folder = tmp_path / "crossval"
    assert not (folder / "crossval.json").exists()
    finished = (folder / "fold-1/history.csv").stat().st_mtime_ns
    (folder / "fold-3").mkdir()  # as if killed before a run's record was written
    (folder / "fold-3/split.csv").write_text("path")
    again = python(*command(tiny_demo, tmp_path))
    assert again.returncode == 0, again.stderr
    assert "continuing after epoch" in again.stdout
    assert (folder / "fold-1/history.csv").stat().st_mtime_ns == finished
    for number in (1, 2, 3):
        states = [np.load(f / f"fold-{number}/checkpoints/state.npz") for f in (crossed, folder)]
        assert states[0].files == states[1].files
        for name in states[0].files:
            np.testing.assert_array_equal(states[0][name], states[1][name], err_msg=name)


def test_finished_folds_are_summed_up_once_more(crossed, tiny_demo, tmp_path, capsys):
    folder = shutil.copytree(crossed, tmp_path / "crossval")
    for number in (1, 2, 3):
        run = str(folder / f"fold-{number}")
        assert main(["evaluate", "--run", run, "--split", "test", "--clips", "3"]) == 0
        if number == 1:
            assert main([str(a) for a in command(tiny_demo, tmp_path)[2:]]) == 2
            assert "do not go together: protocol" in capsys.readouterr().err
    assert main([str(a) for a in command(tiny_demo, tmp_path)[2:]]) == 0
    assert "epoch" not in capsys.readouterr().out.split("fold 1 of 3")[1]
    assert json.loads((folder / "crossval.json").read_text())["protocol"].startswith("3 clip(s)")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--fold", 2], "crossval runs every fold"),
        (["--split-scheme", "group"], "--split-scheme group has no folds: take kfold or random"),
        (["--folds", 2], "--folds 2 must be at least 3"),
        (["--folds", 13], "has 12 source recording(s)"),
        (["--name", "a/b"], "must be a plain name"),
        (["--epochs", 0], "--epochs 0 must be at least 1"),
    ],
)
def test_what_crossval_refuses_at_the_door(flags, told, tiny_demo, tmp_path, refused):
    runs = tmp_path / "runs"
    assert told in refused(*command(tiny_demo, runs, *flags)[2:])
    assert not runs.exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--epochs", 3], "fold-1 was begun with other options"),
        (["--seed", 1], "fold-1 was begun with other options"),
        (["--split-scheme", "random"], "fold-1 was begun with other options"),
        (["--folds", 4], "fold-1 was begun with other options"),
    ],
)
def test_a_cross_validation_goes_on_as_it_was_begun(flags, told, crossed, tiny_demo, refused):
    error = refused(*command(tiny_demo, crossed.parent, *flags)[2:])
    assert told in error and "choose another --name" in error


def test_data_that_changed_is_refused(crossed, tiny_demo, tmp_path, refused):
    changed = shutil.copytree(tiny_demo, tmp_path / "changed")
    shutil.copy(changed / "Grow/v_Grow_g01_c01.avi", changed / "Shrink/v_Shrink_g01_c01.avi")
    assert "fold-1 was begun with other data" in refused(*command(changed, crossed.parent)[2:])


@pytest.mark.parametrize("flags", [["--fold", 1], ["--folds", 4]])
def test_folds_are_for_schemes_that_have_them(flags, tiny_demo, tmp_path, refused):
    told = refused("train", "--data", tiny_demo, "--runs-dir", tmp_path, *TINY, *flags)
    assert f"{flags[0]} is for --split-scheme kfold or random" in told


def test_compare_puts_runs_on_one_page(trained, tmp_path):
    other = shutil.copytree(trained, tmp_path / "other")
    done = python(
        "-m", "ar3d_keras", "compare", trained, other, "--split", "val", "--out", tmp_path / "page"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "tiny - other: top-1 +0.000" in done.stdout
    assert {path.name for path in (tmp_path / "page").iterdir()} == {
        "compare.html", "comparison.json", "figure1.png", "figure3.png",
    }  # fmt: skip
    written = json.loads((tmp_path / "page/comparison.json").read_text())
    assert written["not_comparable"] == []
    row = written["table"][0]
    metrics = json.loads((trained / "evaluation/val/metrics.json").read_text())
    assert (row["top1"], row["top1_interval"]) == (metrics["top1"], metrics["top1_interval"])
    assert row["parameters"] == json.loads((trained / "run.json").read_text())["parameters"]
    assert row["gflops"] > 0 and row["inference_clips_per_s"] > 0
    page = (tmp_path / "page/compare.html").read_text()
    assert "NOT COMPARABLE" not in page and "Figure 3" in page and "McNemar" in page


def test_compare_refuses_what_differs_unless_told_and_then_says_it_loudly(
    trained, crossed, tmp_path, refused, capsys
):
    pair = ["compare", str(trained), str(crossed)]
    assert "differ in split (tiny: group; crossval: kfold, all 3 folds)" in refused(*pair)
    assert main([*pair, "--allow-different", "--out", str(tmp_path)]) == 0
    assert "NOT COMPARABLE: They differ in split" in capsys.readouterr().out
    table = (tmp_path / "compare.html").read_text().split("Table 1")[1].split("</table>")[0]
    assert "NOT COMPARABLE: They differ in split" in table
    pair = json.loads((tmp_path / "comparison.json").read_text())["pairs"][0]
    assert pair["videos"] == 40  # those of both


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["RUN"], "takes two runs or more"),
        (["RUN", "RUN"], "two of the results are called 'tiny'"),
        (["RUN", "nothing"], "no run at nothing"),
        (["RUN", "CROSSED", "--split", "train"], "has no report on train"),
    ],
)
def test_what_compare_refuses(arguments, told, trained, crossed, refused):
    places = {"RUN": trained, "CROSSED": crossed}
    assert told in refused("compare", *(places.get(a, a) for a in arguments))
