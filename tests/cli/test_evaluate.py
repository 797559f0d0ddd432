"""evaluate.py on a run that train.py left."""

import csv
import json
import shutil

import numpy as np
import pytest
from processes import python  # tests/processes.py

from ar3d_keras.cli import main


def metrics(run, split):
    return json.loads((run / f"evaluation/{split}/metrics.json").read_text())


@pytest.fixture
def copied(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "runs/run")


def test_evaluate_repeats_what_training_ended_with(copied, trained, done, capsys):
    done("evaluate", "--split", "val", "--runs-dir", copied.parent)
    before, after = metrics(trained, "val"), metrics(copied, "val")
    assert {key for key in before if before[key] != after[key]} == {"command", "run"}
    assert f"{before['top1']:.3f}" in capsys.readouterr().out


def test_more_clips_change_the_protocol_and_the_numbers(copied, trained, done):
    done("evaluate", "--split", "val", "--run", copied, "--clips", 2, "--crops", 3)
    many, one = metrics(copied, "val-2x3"), metrics(trained, "val")
    assert many["protocol"] != one["protocol"] and many["loss"] != one["loss"]
    assert many["videos"] == one["videos"] == metrics(copied, "val")["videos"]
    assert metrics(copied, "val") == one  # the other protocol has its own folder


def test_a_report_of_bfloat16_says_so_and_has_its_own_folder(copied, done, tiny_demo, capsysbinary):
    before = (copied / "evaluation/val/metrics.json").read_bytes()
    done("evaluate", "--run", copied, "--split", "val", "--precision", "bfloat16")
    folder = copied / "evaluation/val-bfloat16"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["precision"].startswith("bfloat16") and "bfloat16" in metrics["protocol"]
    assert "bfloat16" in (folder / "report.html").read_text()
    assert (copied / "evaluation/val/metrics.json").read_bytes() == before
    done("verify", copied)
    done("export", "--run", copied, "--precision", "bfloat16")
    description = max(copied.glob("saved_model/*")) / "assets.extra/preprocessor.json"
    assert json.loads(description.read_text())["inference"]["bfloat16"]["of"] == "val"
    assert "bfloat16" in (description.parent / "model_card.md").read_text()
    video = tiny_demo / "Grow/v_Grow_g01_c01.avi"
    given = "predict", video, "--run", copied, "--precision", "bfloat16"
    capsysbinary.readouterr()
    done(*given, "--csv")
    header, row, *_ = capsysbinary.readouterr().out.splitlines()
    assert header.endswith(b",precision") and row.endswith(b",bfloat16")
    done(*given, "--json", "--overlay", copied / "overlay.mp4")
    assert json.loads(capsysbinary.readouterr().out)["precision"] == "bfloat16"


def test_the_training_split_can_be_evaluated_too(copied, done):
    done("evaluate", "--split", "train", "--run", copied)
    assert metrics(copied, "train")["videos"] == 9


def test_the_data_may_have_moved(copied, trained, tiny_demo, tmp_path, refused, done):
    moved = shutil.copytree(tiny_demo, tmp_path / "elsewhere")
    record = json.loads((copied / "run.json").read_text())
    record["data"]["root"] = str(tmp_path / "gone")
    (copied / "run.json").write_text(json.dumps(record))
    error = refused("evaluate", "--run", copied)
    assert "--data" in error and str(tmp_path / "gone") in error
    done("evaluate", "--run", copied, "--data", moved, "--split", "test")
    assert metrics(copied, "test")["loss"] == metrics(trained, "test")["loss"]


def test_confusion_and_per_class_tables_agree(trained):
    folder = trained / "evaluation/test"
    with (folder / "confusion.csv").open(newline="") as lines:
        table = list(csv.reader(lines))
    counts = np.array([row[1:] for row in table[1:]], int)
    assert counts.sum() == 15
    assert counts.trace() / 15 == pytest.approx(metrics(trained, "test")["top1"])
    with (folder / "per_class.csv").open(newline="") as lines:
        recalls = [float(row["recall"]) for row in csv.DictReader(lines)]
    np.testing.assert_allclose(sorted(recalls), sorted(counts.diagonal() / counts.sum(1)))


def test_a_report_without_explanation_is_valid(copied, done, monkeypatch):
    def fail(*_):
        raise MemoryError("no memory")

    from ar3d_keras.experiments import evaluate

    monkeypatch.setattr(evaluate.examples, "choose_examples", lambda _: np.arange(1))
    monkeypatch.setattr(evaluate, "explain_videos", fail)
    done("evaluate", "--split", "test", "--run", copied)
    folder = copied / "evaluation/test"
    assert (folder / "examples.png").is_file()
    assert not (folder / "explanation.png").exists()  # that of the evaluation before


def test_a_wrong_name_fails_before_keras_starts(tmp_path):
    code = (
        "import sys; sys.argv = ['evaluate.py']; from ar3d_keras.cli import main\n"
        "assert main(['evaluate', '--run', 'nowhere']) == 2\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    assert python("-c", code).returncode == 0


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (["--runs-dir", "EMPTY"], ("train.py", "EMPTY")),
        (["--run", "EMPTY"], ("--run", "EMPTY")),
        (["--run", "RUN", "--clips", 0], ("--clips", "0")),
        (["--run", "RUN", "--workers", 0], ("--workers", "0")),
    ],
)
def test_what_is_refused(given, parts, trained, tmp_path, refused):
    places = {"EMPTY": str(tmp_path), "RUN": str(trained)}
    error = refused("evaluate", *(places.get(value, value) for value in given))
    for part in parts:
        assert places.get(part, part) in error


def test_a_run_that_ended_before_its_first_epoch(copied, refused):
    (copied / "checkpoints/best.keras").unlink()
    error = refused("evaluate", "--run", copied)
    assert "checkpoints/best.keras" in error and "--resume" in error


def test_a_damaged_network(copied, refused):
    (copied / "checkpoints/best.keras").write_bytes(b"nothing")
    assert "best.keras" in refused("evaluate", "--run", copied)


@pytest.mark.parametrize("flags", [["--split", "valid"], ["--crops", "2"]])
def test_values_that_do_not_exist_exit_with_2(flags):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *flags])
    assert stop.value.code == 2


def test_data_that_changed_since_training(copied, trained, tiny_demo, tmp_path, capsys, done):
    changed = shutil.copytree(tiny_demo, tmp_path / "changed")
    shutil.copy(changed / "Grow/v_Grow_g01_c01.avi", changed / "MoveUp/v_MoveUp_g01_c01.avi")
    done("evaluate", "--run", copied, "--data", changed, "--split", "val")
    assert metrics(trained, "val")["dataset"].split("(")[1].rstrip(")") in capsys.readouterr().out
    assert metrics(copied, "val")["dataset"] != metrics(trained, "val")["dataset"]
    # "demo changed" is as loud as a leak.
    page = (copied / "evaluation/val/report.html").read_text()
    assert "THE DATA CHANGED" in page


def test_a_run_without_weights_does_not_hide_an_older_one(copied, done):
    newer = shutil.copytree(copied, copied.with_name("newer"))
    record = json.loads((newer / "run.json").read_text())
    (newer / "run.json").write_text(json.dumps({**record, "begun": "2999-01-01T00:00:00+00:00"}))
    (newer / "checkpoints/best.keras").unlink()
    (copied / "evaluation/val/report.html").unlink()
    done("evaluate", "--runs-dir", copied.parent, "--split", "val")
    assert (copied / "evaluation/val/report.html").is_file()
