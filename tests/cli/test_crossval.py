"""ar3d crossval and ar3d compare."""

import json
import shutil

import keras
import numpy as np
import pytest
from processes import TINY, TINY_FLAGS  # tests/processes.py

import ar3d_keras
from ar3d_keras import Reporter
from ar3d_keras.cli import main

pytestmark = pytest.mark.usefixtures("all_eagerly")


def command(data, runs, *more):
    return [
        "crossval", "--attention", "--data", str(data), "--runs-dir", str(runs), *TINY_FLAGS,
        "--folds", "3", *map(str, more),
    ]  # fmt: skip


class StopError(Exception):
    pass


class StopInFold2(keras.callbacks.Callback):
    """Ends the second training after its first epoch."""

    trainings = 0

    def on_train_begin(self, logs=None):
        self.trainings += 1

    def on_epoch_begin(self, epoch, logs=None):
        if (self.trainings, epoch) == (2, 1):
            raise StopError


@pytest.fixture(scope="module")
def crossed(tiny_demo, make_once):
    """The folder of a cross-validation by the Python API that stopped once, and continued."""

    def make(folder):
        given = {"data": tiny_demo, "attention": True, "folds": 3, "runs_dir": folder, **TINY}
        with pytest.raises(StopError):
            ar3d_keras.crossval(**given, callbacks=[StopInFold2()], reporter=Reporter())
        (folder / "crossval/fold-3").mkdir()  # as if killed before a run's record was written
        (folder / "crossval/fold-3/split.csv").write_text("path")
        assert not (folder / "crossval/crossval.json").exists()
        finished = (folder / "crossval/fold-1/run.json").stat().st_mtime_ns
        metrics = ar3d_keras.crossval(**given, reporter=Reporter())
        assert (folder / "crossval/fold-1/run.json").stat().st_mtime_ns == finished
        (folder / "returned.json").write_text(json.dumps(metrics))

    return make_once("crossval", make) / "crossval"


def test_every_fold_is_a_run_and_all_are_summed_up(crossed):
    summary = json.loads((crossed / "crossval.json").read_text())
    assert [fold["run"] for fold in summary["folds"]] == ["fold-1", "fold-2", "fold-3"]
    assert summary["videos"] == 36  # every video of the set was tested once
    assert not summary["has_leakage"]
    for fold in (1, 2, 3):
        record = json.loads((crossed / f"fold-{fold}/run.json").read_text())
        assert record["split"]["scheme"] == f"kfold {fold} of 3"
        assert record["command"].startswith("ar3d_keras.crossval")
        assert not (crossed / f"fold-{fold}/saved_model").exists()  # export is off
    assert (crossed / "crossval.html").is_file()
    returned = json.loads((crossed.parent / "returned.json").read_text())
    assert {name: summary[name] for name in returned} == returned


def test_the_command_gives_what_the_call_gave(crossed, tiny_demo, tmp_path, capsys):
    """Its options are the same, so it only sums up; `export` and `workers` are not compared."""
    folder = shutil.copytree(crossed, tmp_path / "crossval")
    before = json.loads((folder / "crossval.json").read_text())
    assert main(command(tiny_demo, tmp_path, "--workers", 1)) == 0
    assert f"{before['top1']:.3f}" in capsys.readouterr().out
    again = json.loads((folder / "crossval.json").read_text())
    assert {key for key in before if before[key] != again[key]} == {"command"}


def test_a_stopped_fold_can_be_repeated_alone(crossed, tmp_path):
    """In another process, or after another fold, and stopped: the same network."""
    config = ["--config", crossed / "fold-2/run.json", "--name", "again", "--runs-dir", tmp_path]
    assert main(["train", *map(str, config), "--no-export"]) == 0
    states = [
        np.load(f / "checkpoints/state.npz") for f in (crossed / "fold-2", tmp_path / "again")
    ]
    assert states[0].files == states[1].files
    for name in set(states[0].files) - {"counters"}:  # they hold seconds
        np.testing.assert_array_equal(states[0][name], states[1][name], err_msg=name)


def test_the_config_of_one_fold_stands_for_all(crossed, tmp_path):
    shutil.copytree(crossed, tmp_path / "crossval")
    config = ["--config", str(crossed / "fold-2/run.json"), "--runs-dir", str(tmp_path)]
    assert main(["crossval", *config]) == 0


def test_two_stream_continues(tiny_demo, tmp_path):
    """Its flow is a default, which the recorded runs have filled in."""
    trainings = []

    class StopAfterFold1(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            trainings.append(len(list(tmp_path.glob("crossval/fold-*/run.json"))))
            if trainings[-1] == 2:
                raise StopError

    options = {
        "model": "two_stream", "preset": "demo", "height": 20, "width": 20, "resize": (24, 32),
        "frames": 4, "width_multiplier": 0.02, "epochs": 1, "data": tiny_demo, "folds": 3,
        "runs_dir": tmp_path, "callbacks": [StopAfterFold1()], "reporter": Reporter(),
    }  # fmt: skip
    for _ in range(2):
        with pytest.raises(StopError):
            ar3d_keras.crossval(**options)
    assert trainings == [1, 2, 2]  # fold 1 once, fold 2 twice


def test_finished_folds_are_summed_up_once_more(crossed, tiny_demo, tmp_path, refused):
    folder = shutil.copytree(crossed, tmp_path / "crossval")
    metrics = folder / "fold-1/evaluation/test/metrics.json"
    found = json.loads(metrics.read_text())
    metrics.write_text(json.dumps({**found, "protocol": "other"}))
    error = refused(*command(tiny_demo, tmp_path))
    assert "protocol" in error and "fold-1" in error


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        (["--fold", 2], "--fold"),
        (["--split-scheme", "group"], "--split-scheme"),
        (["--split-scheme", "logo"], "--folds"),
        (["--folds", 2], "--folds"),
        (["--folds", 99], "--folds"),
        (["--name", "a/b"], "--name"),
        (["--epochs", 0], "--epochs"),
    ],
)
def test_what_crossval_refuses_at_once(given, flag, tiny_demo, tmp_path, refused):
    error = refused(*command(tiny_demo, tmp_path / "runs", *given))
    assert flag in error
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "given",
    [["--epochs", 3], ["--seed", 1], ["--split-scheme", "random"], ["--folds", 4]],
)
def test_a_cross_validation_continues_as_it_began(given, crossed, tiny_demo, refused):
    error = refused(*command(tiny_demo, crossed.parent, *given))
    assert "fold-" in error and "--name" in error


def test_data_that_changed(crossed, tiny_demo, tmp_path, refused):
    changed = shutil.copytree(tiny_demo, tmp_path / "changed")
    shutil.copy(changed / "Grow/v_Grow_g01_c01.avi", changed / "MoveUp/v_MoveUp_g01_c01.avi")
    assert "fold-1" in refused(*command(changed, crossed.parent))


def test_compare_puts_runs_on_one_page(trained, tmp_path, done, capsys):
    other = shutil.copytree(trained, tmp_path / "other")
    done("compare", trained, other, "--split", "val", "--out", tmp_path / "page")
    assert "NOT COMPARABLE" not in capsys.readouterr().out
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
    assert written["pairs"][0]["difference"] == 0


def test_compare_refuses_what_differs_unless_it_is_allowed(
    trained, crossed, tmp_path, refused, done, capsys
):
    pair = "compare", trained, crossed
    error = refused(*pair)
    assert "tiny" in error and "kfold" in error and "--allow-different" in error
    done(*pair, "--allow-different", "--out", tmp_path)
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert written["not_comparable"] and written["pairs"][0]["videos"] == 15  # those of both
    assert "NOT COMPARABLE" in (tmp_path / "compare.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["RUN"], "two"),
        (["RUN", "RUN"], "tiny"),
        (["RUN", "nothing"], "nothing"),
        (["RUN", "CROSSED", "--split", "train"], "train"),
    ],
)
def test_what_compare_refuses(arguments, value, trained, crossed, refused):
    places = {"RUN": trained, "CROSSED": crossed}
    assert value in refused("compare", *(places.get(a, a) for a in arguments))


# Shares of the training videos


@pytest.mark.slow  # nine trainings
def test_shares_are_cross_validations_in_a_curve(tiny_demo, tmp_path, capsys):
    arguments = command(tiny_demo, tmp_path, "--shares", "0.4", "1", "0.7", "--name", "more")
    assert main(arguments) == 0
    written = json.loads((tmp_path / "more/data_curve.json").read_text())
    assert written["shares"] == [0.4, 0.7, 1]
    assert written["videos"] == sorted(written["videos"])
    assert written["sentence"] in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "more/data_curve.png").is_file()
    for share, top1 in zip(("0.4", "0.7", "1"), written["top1"], strict=True):
        summary = json.loads((tmp_path / f"more/share-{share}/crossval.json").read_text())
        assert summary["top1"] == top1
        assert summary["videos"] == 36  # the test videos are the same
    assert main(arguments) == 0  # continues, and only sums up


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (["--shares", 0.01, 1], "class"),
        (["--shares", 0, 1], "--shares"),
        (["--shares", 1.5], "--shares"),
        (["--shares", 0.5, 0.5], "--shares"),
        (["--shares", 0.5, 1, "--suspects"], "--suspects"),
        (["--shares", 0.5, 1, "--train-share", 0.5], "--train-share"),
        (["--train-share", 0], "--train-share"),
    ],
)
def test_shares_that_are_refused(given, part, tiny_demo, tmp_path, refused):
    assert part in refused(*command(tiny_demo, tmp_path / "runs", *given))
    assert not (tmp_path / "runs").exists()
