"""python train.py: what it leaves behind, repeats, resumes and refuses."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from processes import ROOT, TINY, python, start  # tests/cli/processes.py

from ar3d_keras.cli import main
from ar3d_keras.runs import Run
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.splits import make_split


def rows(file):
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_run_leaves_everything(trained):
    expected = [
        "run.json", "split.csv", "history.csv", "curves.png", "log.txt",
        "checkpoints/state.npz", "checkpoints/best.keras", "saved_model/1/saved_model.pb",
        *(f"evaluation/{split}/{file}" for split in ("val", "test") for file in (
            "report.html", "metrics.json", "confusion.png", "confusion.csv", "per_class.csv",
            "predictions.csv",
        )),
    ]  # fmt: skip
    missing = [name for name in expected if not (trained / name).is_file()]
    assert not missing
    assert not list(trained.rglob("*.part*"))


def test_one_line_an_epoch_with_train_val_and_test(trained):
    out = (trained / "stdout.txt").read_text()
    lines = [line for line in out.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2
    for line in lines:
        assert all(f"{split} " in line for split in ("train", "val", "test"))
    assert "No leak" in out
    assert (trained / "log.txt").read_text().startswith(out)


def test_nothing_of_the_backends_chatter(trained):
    assert (trained / "stderr.txt").read_text() == ""


def test_history(trained):
    history = rows(trained / "history.csv")
    assert [row["epoch"] for row in history] == ["1", "2"]
    assert list(history[0])[:4] == ["epoch", "loss", "accuracy", "top5"]
    wanted = {f"{p}{m}" for p in ("", "val_", "test_") for m in ("loss", "accuracy", "top5")}
    assert wanted | {"lr", "seconds", "clips_per_s", "wait_share"} <= set(history[0])
    assert all(float(value) >= 0 for row in history for value in row.values())
    assert all(float(row["wait_share"]) <= 1 for row in history)


def test_profile_and_tensorboard(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert "Conv3D" in (trained / "profile/operations.txt").read_text()
    assert "profile  " in (trained / "stdout.txt").read_text()
    events = {
        part: EventAccumulator(str(trained / "tensorboard" / part))
        for part in ("train", "validation", "evaluation/val", "evaluation/test")
    }
    for part in events.values():
        part.Reload()
    assert {"epoch_loss", "epoch_test_accuracy"} <= set(events["train"].Tags()["tensors"])
    assert "epoch_accuracy" in events["validation"].Tags()["tensors"]
    for split in ("val", "test"):
        written = events[f"evaluation/{split}"].Tags()["tensors"]
        assert {"evaluation/top1", "evaluation/confusion"} <= set(written)


def test_metrics_say_what_they_mean(trained):
    metrics = json.loads((trained / "evaluation/test/metrics.json").read_text())
    assert {
        "top1",
        "top5",
        "mean_class_accuracy",
        "loss",
        "videos",
        "protocol",
        "split_scheme",
    } <= set(metrics)
    assert metrics["videos"] == 40
    assert metrics["split_scheme"] == "group"
    assert "1 centre clip x 1 centre crop" in metrics["protocol"]
    assert "float32" in metrics["precision"]
    predictions = rows(trained / "evaluation/test/predictions.csv")
    right = np.mean([row["label"] == row["predicted"] for row in predictions])
    assert metrics["top1"] == pytest.approx(right)


def test_the_split_can_be_rebuilt_from_its_csv(trained, tiny_demo):
    catalog = open_catalog(tiny_demo)
    rebuilt = Run(trained).split(tiny_demo.resolve(), "group")
    assert rebuilt == make_split(catalog, "group")
    assert rebuilt.catalog.fingerprint == catalog.fingerprint


def test_the_record_says_how_the_run_was_made(trained):
    record = json.loads((trained / "run.json").read_text())
    assert record["config"]["model"]["attention"] is True
    assert record["config"]["data"]["height"] == 16
    assert record["command"].startswith("python train.py --attention")
    assert record["split"]["scheme"] == "group"
    assert record["versions"]["keras"]
    assert len(record["data"]["fingerprint"]) == 16


def test_config_repeats_a_run_and_flags_win(trained, tmp_path):
    code = main([
        "train", "--config", str(trained / "run.json"), "--epochs", "1", "--name", "again",
        "--runs-dir", str(tmp_path),
    ])  # fmt: skip
    assert code == 0
    again = json.loads((tmp_path / "again/run.json").read_text())["config"]
    before = json.loads((trained / "run.json").read_text())["config"]
    assert again["recipe"]["epochs"] == 1
    assert again == {**before, "recipe": {**before["recipe"], "epochs": 1}}
    # The same seed gives the same first epoch, bit for bit.
    first, second = (rows(folder / "history.csv")[0] for folder in (trained, tmp_path / "again"))
    assert [first[k] for k in ("loss", "val_loss", "test_loss")] == [
        second[k] for k in ("loss", "val_loss", "test_loss")
    ]


def state(folder):
    with np.load(folder / "checkpoints/state.npz") as saved:
        return {name: saved[name] for name in saved.files}


def test_killed_and_resumed_ends_as_one_that_was_not_bit_for_bit(tiny_demo, tmp_path):
    command = [
        "train.py", "--attention", "--data", tiny_demo, "--runs-dir", tmp_path, *TINY,
        "--epochs", "4", "--dropout", "0.5", "--schedule", "cosine", "--warmup-epochs", "1",
        "--clip-norm", "0.5", "--label-smoothing", "0.1",
        "--differences", "--pool", "global", "--log-features",
    ]  # fmt: skip
    whole = python(*command, "--name", "whole", "--workers", "1")
    assert whole.returncode == 0, whole.stderr
    killed = subprocess.Popen(
        [sys.executable, *map(str, command), "--name", "killed", "--workers", "3"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    for line in killed.stdout:
        if line.startswith("epoch 2/4"):
            break
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "killed/saved_model").exists()
    resumed = python(*command[:1], "--resume", "killed", "--runs-dir", tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    one, other = state(tmp_path / "whole"), state(tmp_path / "killed")
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    timing = {"seconds", "clips_per_s", "wait_share"}
    for a, b in zip(
        *(rows(tmp_path / n / "history.csv") for n in ("whole", "killed")), strict=True
    ):
        assert {k: v for k, v in a.items() if k not in timing} == {
            k: v for k, v in b.items() if k not in timing
        }


def test_ctrl_c_leaves_a_run_that_can_be_judged_and_resumed(tiny_demo, tmp_path):
    running = start(
        "train.py", "--data", tiny_demo, "--name", "stopped", "--runs-dir", tmp_path, *TINY,
        "--epochs", "500",
    )  # fmt: skip
    for line in running.stdout:
        if line.startswith("epoch   2/500"):
            break
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert "--resume" in out
    assert (
        main(["evaluate", "--run", "stopped", "--runs-dir", str(tmp_path), "--split", "val"]) == 0
    )
    assert (tmp_path / "stopped/evaluation/val/report.html").is_file()


def test_resume_refuses_other_options(trained, refused):
    told = refused("train", "--resume", trained, "--batch-size", 3)
    assert "only --epochs, --workers and --data" in told


def test_a_cosine_is_continued_to_its_own_end(trained, tmp_path, refused):
    run = shutil.copytree(trained, tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    record["config"]["recipe"]["schedule"] = "cosine"
    (run / "run.json").write_text(json.dumps(record))
    assert "its cosine ends at 2" in refused("train", "--resume", run, "--epochs", 3)


def test_a_run_that_stopped_early_does_not_go_on(tiny_demo, tmp_path):
    flags = "--epochs 50 --early-stop 2 --learning-rate 1e-12 --precision float32".split()
    command = "train", "--data", str(tiny_demo), "--runs-dir", str(tmp_path), "--name", "run"
    assert main([*command, *TINY, *flags]) == 0
    before = state(tmp_path / "run")
    history = rows(tmp_path / "run/history.csv")
    ranks = [(float(row["val_accuracy"]), -float(row["val_loss"])) for row in history]
    assert len(history) == ranks.index(max(ranks)) + 1 + 2 < 50
    assert main(["train", "--resume", "run", "--runs-dir", str(tmp_path), "--epochs", "60"]) == 0
    after = state(tmp_path / "run")
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"backend": "jax"}, "begun with backend jax and would go on with tensorflow"),
        ({"precision": "mixed_float16"}, "begun with precision mixed_float16"),
        ({"skipped": [{"path": "a.avi"}]}, "begun with undecodable videos ['a.avi']"),
    ],
)
def test_resume_refuses_other_conditions(change, told, trained, tmp_path, refused):
    run = shutil.copytree(trained, tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, **change}))
    assert told in refused("train", "--resume", run, "--epochs", 3)


def test_resume_finds_data_that_moved_and_refuses_data_that_changed(
    trained, tiny_demo, tmp_path, refused
):
    moved = shutil.copytree(tiny_demo, tmp_path / "moved")
    run = shutil.copytree(trained, tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    record["data"]["root"] = str(tmp_path / "gone")
    (run / "run.json").write_text(json.dumps(record))
    assert "say where with --data" in refused("train", "--resume", run, "--epochs", 3)
    assert main(["train", "--resume", str(run), "--epochs", "3", "--data", str(moved)]) == 0
    assert len(rows(run / "history.csv")) == 3
    (moved / "MoveUp/v_MoveUp_g10_c01.avi").write_bytes(b"")
    told = refused("train", "--resume", run, "--epochs", 4, "--data", moved)
    assert "begun with data's fingerprint" in told


def test_a_name_that_exists_is_refused(trained, tiny_demo, refused):
    told = refused(
        "train", "--data", tiny_demo, "--name", "tiny", "--runs-dir", trained.parent, *TINY
    )
    assert "exists" in told and "--resume tiny" in told


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--epochs", 0], "--epochs 0 must be at least 1"),
        (["--batch-size", 0], "--batch-size 0"),
        (["--learning-rate", "nan"], "--learning-rate nan"),
        (["--learning-rate", -1], "--learning-rate -1"),
        (["--stride", 0], "--stride 0"),
        (["--warmup-epochs", -1], "--warmup-epochs -1 must be at least 0"),
        (["--clip-norm", -1], "--clip-norm -1.0 must be at least 0"),
        (["--clip-norm", "nan"], "--clip-norm nan must be at least 0"),
        (["--early-stop", -1], "--early-stop -1 must be at least 0"),
        (["--label-smoothing", 1], "--label-smoothing 1.0 must lie in"),
        (["--lr-step", 2, "--schedule", "cosine"], "--lr-step goes with neither"),
        (["--lr-step", 2, "--warmup-epochs", 1], "--lr-step goes with neither"),
        (["--workers", 0], "--workers 0"),
        (["--resize", 8, 8], "--resize 8 8 is smaller than the clip"),
        (["--pool", 4, 32, 32], "--pool 4 32 32 is larger than the features"),
        (["--dropout", 1], "--dropout 1.0"),
        (["--name", "a/b"], "--name 'a/b' must be a plain name"),
        (["--split-lists", "."], "--split-lists is for"),
        (["--split-scheme", "official1", "--split-lists", "nowhere"], "trainlist01.txt"),
        (["--seed", 2**32], "--seed 4294967296 must be below 4294967296"),
        (["--config", "nowhere.json"], "--config nowhere.json is not a run.json"),
        (["--resume", "nowhere"], "no run at nowhere"),
    ],
)
def test_bad_options_are_refused_with_a_sentence(flags, told, tiny_demo, tmp_path, refused):
    error = refused("train", "--data", tiny_demo, "--runs-dir", tmp_path / "runs", *TINY, *flags)
    assert told in error
    assert not (tmp_path / "runs").exists()  # refused at the door


@pytest.mark.parametrize(
    "flags", [["--split-scheme", "magic"], ["--epochs", "many"], ["--nonsense"]]
)
def test_flags_that_do_not_exist_exit_with_2(flags, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", *flags])
    assert stop.value.code == 2
    assert flags[-1] in capsys.readouterr().err


def test_an_unknown_verb(capsys):
    assert main(["dance"]) == 2
    assert "no verb 'dance'" in capsys.readouterr().err


def test_a_loss_that_is_no_number_stops_with_a_sentence(tiny_demo, tmp_path, refused):
    told = refused(
        "train", "--data", tiny_demo, "--name", "nan", "--runs-dir", tmp_path, *TINY,
        "--precision", "float32", "--learning-rate", 1e30, "--epochs", 3,
    )  # fmt: skip
    assert "the loss became" in told and "lower --learning-rate" in told
    assert (tmp_path / "nan/run.json").is_file()


def test_bad_videos_are_named_counted_and_skipped(tiny_demo, tmp_path, capsys):
    data = tmp_path / "data"
    for folder in tiny_demo.iterdir():
        if folder.is_dir():
            (data / folder.name).mkdir(parents=True)
            for file in folder.iterdir():
                (data / folder.name / file.name).symlink_to(file)
    train_video = data / "MoveUp/v_MoveUp_g10_c01.avi"
    test_video = data / "MoveUp/v_MoveUp_g01_c01.avi"
    train_video.unlink(), test_video.unlink()
    train_video.write_bytes(b"")
    test_video.write_text("not a video")
    code = main([
        "train", "--data", str(data), "--name", "r", "--runs-dir", str(tmp_path), *TINY,
        "--epochs", "1",
    ])  # fmt: skip
    assert code == 0
    out = capsys.readouterr().out
    assert "'MoveUp/v_MoveUp_g10_c01.avi': the file is empty" in out
    assert "'MoveUp/v_MoveUp_g01_c01.avi': not a video" in out
    assert "2 of 96 videos cannot be decoded" in out
    record = json.loads((tmp_path / "r/run.json").read_text())
    assert [(skip["split"], skip["path"]) for skip in record["skipped"]] == [
        ("train", "MoveUp/v_MoveUp_g10_c01.avi"),
        ("test", "MoveUp/v_MoveUp_g01_c01.avi"),
    ]
    metrics = json.loads((tmp_path / "r/evaluation/test/metrics.json").read_text())
    assert (metrics["videos"], metrics["skipped"]) == (39, 1)
    assert metrics["top1_counting_skipped_as_wrong"] == pytest.approx(metrics["top1"] * 39 / 40)
    page = (tmp_path / "r/evaluation/test/report.html").read_text()
    assert "v_MoveUp_g01_c01.avi" in page and "not a video" in page


def test_data_that_cannot_be_used_is_refused(tmp_path, tiny_demo, refused):
    def told(data):
        return refused("train", "--data", data, "--runs-dir", tmp_path / "runs", *TINY)

    assert "no data at" in told(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    assert "no videos in" in told(tmp_path / "empty")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "MoveUp").symlink_to(tiny_demo / "MoveUp")
    assert "only one class" in told(tmp_path / "one")
    few = tmp_path / "few"
    for name in ("MoveUp", "MoveDown"):
        (few / name).mkdir(parents=True)
        video = next((tiny_demo / name).iterdir())
        (few / name / video.name).symlink_to(video)
    assert "at least 3" in told(few)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "no data at" in told(tmp_path / "loop")


def test_a_disk_that_fills_loses_nothing_that_was_written(small_disk, tiny_demo, tmp_path, refused):
    run = small_disk / "full"
    told = refused(
        "train", "--attention", "--data", tiny_demo, "--name", "full", "--runs-dir", small_disk,
        *TINY,
    )  # fmt: skip
    assert "could not be written (No space left on device)" in told
    assert not list(run.rglob("*.part*"))
    assert len(rows(run / "history.csv")) == 2
    # With room again, the run goes on to its end.
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert main(["train", "--resume", str(run)]) == 0
    assert (run / "saved_model/1/saved_model.pb").is_file()


def test_a_disk_without_room_for_the_weights_is_refused_at_the_door(small_disk, tiny_demo, refused):
    told = refused("train", "--data", tiny_demo, "--runs-dir", small_disk, *TINY, "--dense", 8192)
    assert "MB free and this run needs about 22 MB" in told
    assert not list(small_disk.iterdir())


def test_two_runs_within_a_minute_get_two_names(tmp_path):
    from ar3d_keras.runs import create_run

    names = {create_run(tmp_path, None, "conv3d").name for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith(time.strftime("%Y")) for name in names)


@pytest.mark.parametrize("text", ['{"data": "x"}', '{"config": 3}', "[]", "7", "{"])
def test_a_config_that_is_none_is_refused(text, tmp_path, refused):
    (tmp_path / "c.json").write_text(text)
    assert "c.json" in refused("train", "--config", tmp_path / "c.json")


@pytest.mark.parametrize(
    ("backend", "said"),
    [("foo", "Keras cannot start with the backend 'foo'"), ("numpy", "Keras runs on numpy, which")],
)
def test_a_backend_that_cannot_train_is_refused(backend, said, tiny_demo):
    done = python("train.py", "--data", tiny_demo, environment={"KERAS_BACKEND": backend})
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {said}")
    assert len(done.stderr.splitlines()) == 1
