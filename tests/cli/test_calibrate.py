"""`ar3d calibrate`: what it adds to a finished run, and what it leaves as it is."""

import csv
import io
import json
import shutil

import numpy as np
import pytest

from ar3d_keras import load_model, open_run
from ar3d_keras.cli import main
from ar3d_keras.inference.calibration import Calibration


@pytest.fixture
def run(trained, tmp_path):
    return open_run(shutil.copytree(trained, tmp_path / "tiny"))


def metrics_of(run, split):
    return json.loads((run.evaluation(split) / "metrics.json").read_text())


def test_training_fits_a_temperature(run):
    calibration = run.record()["calibration"]
    assert calibration["temperature"] > 0
    assert calibration["thresholds"] is calibration["reject_error"] is None
    assert load_model(run.best).calibration == Calibration(**calibration)
    for split in ("val", "test"):
        metrics = metrics_of(run, split)
        assert metrics["calibrated"]["temperature"] == calibration["temperature"]
        assert 0 <= metrics["expected_calibration_error"] <= 1
        assert "rejection" not in metrics
        assert (run.evaluation(split) / "reliability.png").exists()
    val = metrics_of(run, "val")
    assert val["calibrated"]["loss"] <= val["loss"] + 1e-4


def test_thresholds_are_added_and_nothing_else_changes(run, capsys):
    before = {split: metrics_of(run, split) for split in ("val", "test")}
    tables = {split: (run.evaluation(split) / "predictions.csv").read_bytes() for split in before}
    weights = load_model(run.best).get_weights()
    assert main(["calibrate", "--run", str(run.folder), "--reject-error", "0.8"]) == 0
    calibration = run.record()["calibration"]
    assert calibration["reject_error"] == 0.8
    assert set(calibration["thresholds"]) == set(run.record()["class_names"])
    network = load_model(run.best)
    assert network.calibration == Calibration(**calibration)
    for one, other in zip(network.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)
    for split, old in before.items():
        new = metrics_of(run, split)
        same = old.keys() - {"command", "run"}  # the run was copied
        assert {k: new[k] for k in same} == {k: old[k] for k in same}
        assert new.keys() - old.keys() == {"rejection"}
        assert (run.evaluation(split) / "predictions.csv").read_bytes() == tables[split]
    rejection = metrics_of(run, "val")["rejection"]
    assert rejection["error"] is None or rejection["error"] <= 0.8

    # Predictions equal the report's, number for number, and say what they accept.
    capsys.readouterr()
    data = run.record()["data"]["root"]
    rows = list(csv.DictReader(io.StringIO(tables["val"].decode())))
    paths = [f"{data}/{row['path']}" for row in rows]
    assert main(["predict", *paths, "--run", str(run.folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["calibration"] == calibration
    assert sum(video["accepted"] for video in document["videos"]) == rejection["accepted_videos"]
    for video, row in zip(document["videos"], rows, strict=True):
        assert f"{video['top'][0]['probability']:.6f}" == row["top1_probability"]
        expected = video["top"][0]["class"] if video["accepted"] else "none of these"
        assert video["label"] == expected


@pytest.mark.parametrize("error", ["0", "1", "-1", "nan", "0.001"])
def test_an_error_that_cannot_be_promised(error, run, refused):
    before = run.best.read_bytes()
    sentence = refused("calibrate", "--run", run.folder, "--reject-error", error)
    assert "--reject-error" in sentence
    assert run.best.read_bytes() == before


def test_train_checks_the_error_before_it_works(tiny_demo, tmp_path, refused):
    options = ["train", "--data", tiny_demo, "--runs-dir", tmp_path / "runs", "--attention"]
    assert "--reject-error" in refused(*options, "--reject-error", "0.001")
    assert "--reject-error" in refused(*options, "--reject-error", "1")
    assert not (tmp_path / "runs").exists()


def test_there_must_be_a_run(tmp_path, refused):
    refused("calibrate", "--run", "nothing", "--runs-dir", tmp_path)
