"""Groups from names, splits by a column, and imbalance, in whole runs."""

import csv
import json
import shutil
import subprocess
import sys

import keras
import pytest
from processes import TINY  # tests/processes.py

import ar3d_keras
from ar3d_keras import Reporter, UserError

pytestmark = pytest.mark.usefixtures("all_eagerly")

TIMING = {"seconds", "clips_per_s", "wait_share"}
COLUMNS = ("site", "recorded")


@pytest.fixture(scope="module")
def data(tiny_demo, tmp_path_factory):
    """The demo set under names of pieces, with columns; one class has few videos."""
    folder = tmp_path_factory.mktemp("own")
    rows = []
    for number, video in enumerate(sorted(tiny_demo.glob("*/*.avi"))):
        label, group = video.parent.name, video.stem.split("_")[-2]
        if label == "Grow" and int(group[1:]) > 6:
            continue
        name = f"tape {group}_s{number:06}.avi"
        shutil.copyfile(video, folder / name)
        recorded = f"2024-01-{int(group[1:]):02}T10:00"
        rows.append([name, label, f"site {int(group[1:]) % 3}", recorded])
    with (folder / "labels.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows([["path", "label", *COLUMNS], *rows])
    return folder


def train(data, folder, **options):
    given = {**TINY, "data": data, "runs_dir": folder, "export": False, "reporter": Reporter()}
    return ar3d_keras.train(**given | options)


def untimed(run):
    with (run.folder / "history.csv").open(newline="") as lines:
        return [{k: v for k, v in row.items() if k not in TIMING} for row in csv.DictReader(lines)]


def test_names_make_leakage_unknown_and_the_command_groups_them(data, tmp_path):
    run = train(data, tmp_path, epochs=1)
    split = run.record()["split"]
    assert split["has_leakage"]
    assert split["leak_counts"]["torn_recordings"] > 0
    assert run.record()["config"]["data"]["group_by"] is None
    command = split["leak_counts"]["group_command"]
    assert command in split["leak"][0]
    assert "training videos" in " ".join(split["notes"])  # the rare class
    rule = command.split("'")[-2]
    grouped = train(data, tmp_path, epochs=1, group_by=rule)
    record = grouped.record()
    assert record["config"]["data"]["group_by"] == rule
    assert not record["split"]["has_leakage"]
    assert record["split"]["leak"][0].startswith("No leak")
    with (grouped.folder / "split.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {row["group"] for row in rows} == {row["path"].split("_")[0] for row in rows}
    assert {"site", "recorded"} <= rows[0].keys()
    # Evaluation and the fingerprint work from split.csv.
    metrics = grouped.evaluate("val", reporter=Reporter())
    assert not any("CHANGED" in sentence for sentence in metrics["leak"])


class StopError(Exception):
    pass


class StopAfter1(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise StopError


@pytest.mark.parametrize("balance", ["sampler", pytest.param("loss", marks=pytest.mark.slow)])
def test_a_balanced_run_that_was_stopped_ends_as_one_that_was_not(data, tmp_path, balance):
    options = {
        "balance": balance, "monitor": "val_class_mean", "epochs": 2,
        "split_scheme": "column", "split_by": "site",
    }  # fmt: skip
    whole = train(data, tmp_path, name="whole", **options)
    with pytest.raises(StopError):
        train(data, tmp_path, name="stopped", callbacks=[StopAfter1()], **options)
    resumed = ar3d_keras.resume("stopped", runs_dir=tmp_path, workers=3, reporter=Reporter())
    assert untimed(resumed) == untimed(whole)
    assert "val_class_mean" in untimed(whole)[0]
    record = whole.record()
    assert record["split"]["scheme"] == "column site"
    assert record["config"]["recipe"]["monitor"] == "val_class_mean"
    metrics = json.loads((whole.evaluation("test") / "metrics.json").read_text())
    assert metrics["split_scheme"] == "column site"
    assert any("site" in sentence for sentence in metrics["leak"])
    predictions = (whole.evaluation("test") / "predictions.csv").read_bytes()
    assert predictions == (resumed.evaluation("test") / "predictions.csv").read_bytes()


@pytest.mark.slow
def test_crossval_tests_every_value_once(data, tmp_path):
    given = {**TINY, "epochs": 1, "data": data, "split_by": "site", "runs_dir": tmp_path}
    summary = ar3d_keras.crossval(**given, reporter=Reporter())
    assert len(summary["folds"]) == 3
    with (data / "labels.csv").open(newline="") as lines:
        assert summary["videos"] == len(list(csv.DictReader(lines)))
    written = json.loads((tmp_path / "crossval/crossval.json").read_text())
    assert written["split_scheme"] == "logo by site, all 3 folds"
    again = ar3d_keras.crossval(**given, reporter=Reporter())  # nothing is trained again
    assert again["top1"] == summary["top1"]


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"group_by": "("}, "group_by"), ({"group_by": "zzz(.)"}, "group_by"),
        ({"group_by": "column:camera"}, "group_by"),
        ({"split_scheme": "date"}, "split_by"), ({"split_by": "site", "split_scheme": "csv"}, "split_by"),
        ({"split_scheme": "date", "split_by": "site"}, "site"),
        ({"balance": "weights"}, "balance"), ({"monitor": "val_top1"}, "monitor"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(data, tmp_path, options, parameter):
    with pytest.raises(UserError) as caught:
        train(data, tmp_path, **options)
    assert parameter in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_pack_is_grouped_as_its_videos_are(data, tmp_path):
    from ar3d_keras.cli import main

    pack = tmp_path / "pack"
    assert main(["pack", "--data", str(data), "--out", str(pack), "--resize", "32", "40"]) == 0
    options = {"group_by": r"^(.+)_", "epochs": 1, "resize": (32, 40)}
    one = train(data, tmp_path, name="videos", **options)
    other = train(pack, tmp_path, name="pack-run", **options)
    assert one.record()["data"]["fingerprint"] == other.record()["data"]["fingerprint"]
    assert untimed(one) == untimed(other)
    ar3d_keras.resume(other, epochs=2, reporter=Reporter())


def test_the_flags_exist():
    done = subprocess.run(
        [sys.executable, "-m", "ar3d_keras", "train", "--help-all"], capture_output=True, text=True
    )
    for flag in ("--group-by", "--split-by", "--balance", "--monitor"):
        assert flag in done.stdout
