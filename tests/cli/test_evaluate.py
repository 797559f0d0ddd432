"""python evaluate.py on a run that train.py left."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest
from processes import python  # tests/cli/processes.py

import ar3d_keras
from ar3d_keras.cli import main


def metrics(run, split):
    return json.loads((run / f"evaluation/{split}/metrics.json").read_text())


def test_evaluate_repeats_what_training_ended_with(trained):
    before = metrics(trained, "val")
    done = python("evaluate.py", "--split", "val", "--runs-dir", trained.parent)
    assert done.returncode == 0, done.stderr
    after = metrics(trained, "val")
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"command"}
    assert f"top-1 {before['top1']:.3f}" in done.stdout
    assert done.stderr == ""


def test_more_views_change_the_protocol_and_the_numbers(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    assert (
        main(["evaluate", "--split", "val", "--run", str(run), "--clips", "2", "--crops", "3"]) == 0
    )
    many = metrics(run, "val")
    assert many["protocol"].startswith("2 clip(s) x 3 crop(s) a video, probabilities averaged")
    assert many["videos"] == metrics(trained, "val")["videos"]
    assert many["loss"] != metrics(trained, "val")["loss"]


def test_the_training_split_can_be_judged_too(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    assert main(["evaluate", "--split", "train", "--run", str(run)]) == 0
    assert metrics(run, "train")["videos"] == 24


def test_the_data_may_have_moved(trained, tiny_demo, tmp_path, refused):
    moved = shutil.copytree(tiny_demo, tmp_path / "elsewhere")
    run = shutil.copytree(trained, tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    record["data"]["root"] = str(tmp_path / "gone")
    (run / "run.json").write_text(json.dumps(record))
    assert "say where with --data" in refused("evaluate", "--run", run)
    assert main(["evaluate", "--run", str(run), "--data", str(moved), "--split", "test"]) == 0
    assert metrics(run, "test")["top1"] == metrics(trained, "test")["top1"]


def test_confusion_and_per_class_tables_agree(trained):
    folder = trained / "evaluation/test"
    with (folder / "confusion.csv").open(newline="") as lines:
        table = list(csv.reader(lines))
    counts = np.array([row[1:] for row in table[1:]], int)
    assert counts.sum() == 40
    assert counts.trace() / 40 == pytest.approx(metrics(trained, "test")["top1"])
    with (folder / "per_class.csv").open(newline="") as lines:
        recalls = [float(row["recall"]) for row in csv.DictReader(lines)]
    np.testing.assert_allclose(sorted(recalls), sorted(counts.diagonal() / counts.sum(1)))


def test_the_report_explains_its_examples(trained):
    folder = trained / "evaluation/test"
    assert (folder / "explanation.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "report.html").read_text()
    assert "<h2>Explanation</h2><p>Attention is the gate's mean" in page


def test_a_network_that_cannot_be_explained_is_judged_all_the_same(trained, tmp_path, capsys):
    run = shutil.copytree(trained, tmp_path / "run")
    shape = ar3d_keras.load_model(run / "checkpoints/best.keras").input_shape[1:]
    flat = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(8, "softmax")]
    keras.Sequential(flat, name="flat").save(run / "checkpoints/best.keras")
    assert main(["evaluate", "--split", "test", "--run", str(run)]) == 0
    assert "no explanation: ValueError: flat has no feature maps." in capsys.readouterr().out
    assert metrics(run, "test")["videos"] == 40
    folder = run / "evaluation/test"
    assert (folder / "examples.png").is_file()
    assert not (folder / "explanation.png").exists()  # that of the network before
    assert "<h2>Explanation" not in (folder / "report.html").read_text()


def test_before_any_run(tmp_path, refused):
    assert "train one first" in refused("evaluate", "--runs-dir", tmp_path)


def test_a_folder_that_is_no_run(tmp_path, refused):
    assert "no run.json there" in refused("evaluate", "--run", tmp_path)


def test_a_run_that_ended_before_its_first_epoch(trained, tmp_path, refused):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "checkpoints/best.keras").unlink()
    assert "has no checkpoints/best.keras" in refused("evaluate", "--run", run)


def test_a_damaged_network(trained, tmp_path, refused):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "checkpoints/best.keras").write_bytes(b"nothing")
    assert "is not a network" in refused("evaluate", "--run", run)


@pytest.mark.parametrize("flags", [["--clips", 0], ["--workers", 0]])
def test_bad_options(flags, trained, refused):
    assert "at least 1" in refused("evaluate", "--run", trained, *flags)


@pytest.mark.parametrize("flags", [["--split", "valid"], ["--crops", "2"]])
def test_values_that_do_not_exist_exit_with_2(flags, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *flags])
    assert stop.value.code == 2


def test_data_that_changed_since_training_is_told_loudly(trained, tiny_demo, tmp_path, capsys):
    changed = shutil.copytree(tiny_demo, tmp_path / "changed")
    shutil.copy(changed / "Grow/v_Grow_g01_c01.avi", changed / "Shrink/v_Shrink_g01_c01.avi")
    run = shutil.copytree(trained, tmp_path / "run")
    assert main(["evaluate", "--run", str(run), "--data", str(changed), "--split", "val"]) == 0
    assert "THE DATA CHANGED since training" in capsys.readouterr().out
    assert "THE DATA CHANGED" in (run / "evaluation/val/report.html").read_text()
    assert metrics(run, "val")["dataset"] != metrics(trained, "val")["dataset"]


def test_a_run_without_weights_does_not_hide_an_older_one(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "older")
    newer = shutil.copytree(trained, tmp_path / "newer")
    record = json.loads((newer / "run.json").read_text())
    (newer / "run.json").write_text(json.dumps({**record, "begun": "2999-01-01T00:00:00+00:00"}))
    (newer / "checkpoints/best.keras").unlink()
    (tmp_path / "older/evaluation/val/report.html").unlink()
    assert main(["evaluate", "--runs-dir", str(tmp_path), "--split", "val"]) == 0
    assert (tmp_path / "older/evaluation/val/report.html").is_file()
