"""python train.py: what it leaves behind, repeats, resumes and refuses."""

import csv
import json
import shutil
import subprocess
import time

import numpy as np
import pytest
from processes import TINY_FLAGS, python  # tests/processes.py

from ar3d_keras.cli import main
from ar3d_keras.runs import RunFolder
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.splits import make_split

TIMING = {"seconds", "clips_per_s", "wait_share"}


def rows(file):
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def untimed(file):
    return [{k: v for k, v in row.items() if k not in TIMING} for row in rows(file)]


def record(run):
    return json.loads((run / "run.json").read_text())


def state(folder):
    with np.load(folder / "checkpoints/state.npz") as saved:
        return {name: saved[name] for name in saved.files}


def assert_same_state(one, other):
    one, other = state(one), state(other)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_a_run_leaves_everything(trained):
    expected = [
        "run.json", "split.csv", "history.csv", "curves.png", "log.txt",
        "checkpoints/state.npz", "checkpoints/best.keras", "saved_model/1/saved_model.pb",
        *(f"evaluation/{split}/{file}" for split in ("val", "test") for file in (
            "report.html", "metrics.json", "confusion.png", "confusion.csv", "per_class.csv",
            "predictions.csv", "examples.png", "explanation.png",
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
    assert (trained / "log.txt").read_text().startswith(out)


def test_nothing_of_the_backends_chatter(trained):
    assert (trained / "stderr.txt").read_text() == ""


def test_history(trained):
    history = rows(trained / "history.csv")
    assert [row["epoch"] for row in history] == ["1", "2"]
    assert list(history[0])[:4] == ["epoch", "loss", "accuracy", "top5"]
    wanted = {f"{p}{m}" for p in ("", "val_", "test_") for m in ("loss", "accuracy", "top5")}
    assert wanted | TIMING | {"lr"} <= set(history[0])
    assert all(float(value) >= 0 for row in history for value in row.values())
    assert all(float(row["wait_share"]) <= 1 for row in history)


def test_profile_and_tensorboard(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert "Conv3D" in (trained / "profile/operations.txt").read_text()
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
    assert {"top1", "top5", "mean_class_accuracy", "loss", "protocol"} <= set(metrics)
    assert (metrics["videos"], metrics["split_scheme"]) == (15, "group")
    assert "float32" in metrics["precision"]
    predictions = rows(trained / "evaluation/test/predictions.csv")
    right = np.mean([row["label"] == row["predicted"] for row in predictions])
    assert metrics["top1"] == pytest.approx(right)


def test_the_split_can_be_rebuilt_from_its_csv(trained, tiny_demo):
    rebuilt = RunFolder(trained).split(tiny_demo.resolve(), "group")
    made = make_split(open_catalog(tiny_demo), "group")
    assert (rebuilt.catalog.videos, rebuilt.assigned) == (made.catalog.videos, made.assigned)
    assert rebuilt.catalog.fingerprint == made.catalog.fingerprint


def test_the_record_says_how_the_run_was_made(trained):
    found = record(trained)
    assert found["config"]["model"]["attention"] is True
    assert found["config"]["data"]["height"] == 16
    # The defaults that depend on the data and the network are filled in.
    filled = ("data", "split_scheme", "resize", "flow")
    assert all(found["config"]["data"][name] is not None for name in filled)
    assert found["config"]["data"]["workers"] is None  # it belongs to the machine
    assert found["command"].startswith("python train.py --attention")
    assert (found["split"]["scheme"], found["split"]["has_leakage"]) == ("group", False)
    assert found["versions"]["keras"]
    assert len(found["data"]["fingerprint"]) == 16
    assert found["class_names"] == ["Grow", "MoveDown", "MoveUp"]


def test_config_repeats_a_run_and_flags_win(trained, tmp_path, done):
    config = trained / "run.json"
    done("train", "--config", config, "--epochs", 1, "--name", "again", "--runs-dir", tmp_path,
         "--no-export")  # fmt: skip
    again, before = record(tmp_path / "again")["config"], record(trained)["config"]
    assert again["recipe"]["epochs"] == 1
    assert again == {**before, "recipe": {**before["recipe"], "epochs": 1}}
    # The same seed gives the same first epoch, bit for bit.
    assert untimed(tmp_path / "again/history.csv") == untimed(trained / "history.csv")[:1]
    assert not (tmp_path / "again/saved_model").exists()


def test_a_flag_of_an_earlier_version(capsys):
    assert main(["train", "--log-features", "--epochs", "0"]) == 2
    assert "--log-pooling" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        ["--batch-size", 3],
        ["--config", "x.json"],
        ["--preset", "demo"],
        ["--name", "x"],
        ["--no-export"],
        ["--attention"],
    ],
)
def test_resume_refuses_what_it_would_not_use(flags, trained, refused):
    error = refused("train", "--resume", trained, *flags)
    assert flags[0] in error and "--resume" in error


def test_a_finished_run_is_resumed_without_work(trained, done):
    before = (trained / "run.json").stat().st_mtime_ns
    done("train", "--resume", trained)
    assert (trained / "run.json").stat().st_mtime_ns == before
    done("train", "--resume", "--runs-dir", trained.parent)  # the latest, as none is unfinished
    assert (trained / "run.json").stat().st_mtime_ns == before


def test_a_run_that_another_process_trains_is_refused(trained, tmp_path, refused):
    run = RunFolder(shutil.copytree(trained, tmp_path / "run"))
    with run.locked():
        assert str(run.folder) in refused("train", "--resume", run.folder, "--epochs", 3)
    assert len(rows(run.history)) == 2


def test_a_saved_model_is_written_once(trained, tmp_path, monkeypatch):
    """Killed between the export and the end of the run, it is not exported again."""
    from ar3d_keras.experiments import train

    exported = []
    monkeypatch.setattr(train, "export_network", lambda run, **options: exported.append(options))
    run = RunFolder(shutil.copytree(trained, tmp_path / "run"))
    train._export(run, 2, None)
    assert not exported
    train._export(run, 3, None)  # more epochs: another version
    assert exported[0]["version"] == 2
    train._export(run, 3, None)  # it was begun and is not there
    assert exported[1]["version"] == 2


def changed(trained, folder, change):
    """A copy of a run with another run.json."""
    run = shutil.copytree(trained, folder)
    found = record(run)
    change(found)
    (run / "run.json").write_text(json.dumps(found))
    return run


def test_a_cosine_is_continued_to_its_own_end(trained, tmp_path, refused):
    run = changed(
        trained, tmp_path / "run", lambda r: r["config"]["recipe"].update(schedule="cosine")
    )
    assert "--epochs 3" in refused("train", "--resume", run, "--epochs", 3)


@pytest.mark.usefixtures("eagerly")
def test_a_run_that_stopped_early_does_not_go_on(tiny_demo, tmp_path, done):
    options = "--epochs 50 --early-stop 2 --learning-rate 1e-12 --precision float32".split()
    done("train", "--data", tiny_demo, "--runs-dir", tmp_path, "--name", "run", *TINY_FLAGS,
         *options, "--no-export")  # fmt: skip
    before = state(tmp_path / "run")
    history = rows(tmp_path / "run/history.csv")
    ranks = [(float(row["val_accuracy"]), -float(row["val_loss"])) for row in history]
    assert len(history) == ranks.index(max(ranks)) + 1 + 2 < 50
    done("train", "--resume", "run", "--runs-dir", tmp_path, "--epochs", 60)
    after = state(tmp_path / "run")
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "mixed_float16"},
        {"skipped": [{"path": "a.avi"}]},
    ],
)
def test_resume_refuses_other_conditions(change, trained, tmp_path, refused):
    run = changed(trained, tmp_path / "run", lambda r: r.update(change))
    error = refused("train", "--resume", run, "--epochs", 3)
    value = "a.avi" if "skipped" in change else next(iter(change.values()))
    assert value in error


@pytest.mark.usefixtures("eagerly")
def test_resume_finds_data_that_moved_and_refuses_data_that_changed(
    trained, tiny_demo, tmp_path, refused, done
):
    moved = shutil.copytree(tiny_demo, tmp_path / "moved")
    gone = str(tmp_path / "gone")
    run = changed(trained, tmp_path / "run", lambda r: r["data"].update(root=gone))
    error = refused("train", "--resume", run, "--epochs", 3)
    assert "--data" in error and gone in error
    done("train", "--resume", run, "--epochs", 3, "--data", moved)
    assert len(rows(run / "history.csv")) == 3
    (moved / "MoveUp/v_MoveUp_g10_c01.avi").write_bytes(b"")
    error = refused("train", "--resume", run, "--epochs", 4, "--data", moved)
    assert record(run)["data"]["fingerprint"] in error


@pytest.mark.usefixtures("eagerly")
def test_a_run_of_an_earlier_version_resumes_and_evaluates(trained, tmp_path, done):
    """Its run.json has other names for some entries, and None where a default held."""

    def earlier(found):
        found["classes"] = found.pop("class_names")
        found["split"]["leak_is_loud"] = found["split"].pop("has_leakage")
        del found["finished_epochs"], found["export"]
        data, model = found["config"]["data"], found["config"]["model"]
        data["erase"] = data.pop("random_erasing")
        data |= dict.fromkeys(("data", "split_scheme", "resize", "flow"))
        for old, new in (("shrink", "spatial_downsample"), ("log_features", "log_pooling"),
                         ("frames_network", "backbone"), ("frames_weights", "backbone_weights")):  # fmt: skip
            model[old] = model.pop(new)

    run = changed(trained, tmp_path / "run", earlier)
    shutil.rmtree(run / "saved_model")
    done("train", "--resume", run, "--epochs", 3)
    assert untimed(run / "history.csv")[:2] == untimed(trained / "history.csv")
    assert record(run)["class_names"] == record(trained)["class_names"]
    done("evaluate", "--run", run, "--split", "val")


def test_a_name_that_is_taken(trained, tiny_demo, refused):
    error = refused(
        "train", "--data", tiny_demo, "--name", "tiny", "--runs-dir", trained.parent, *TINY_FLAGS
    )
    assert "--name" in error and "--resume tiny" in error


@pytest.mark.usefixtures("eagerly")
def test_a_run_that_was_killed_before_its_record(tiny_demo, tmp_path, refused, done):
    """--resume says what to do, and --name takes the folder."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "split.csv").write_text("path,label\n")
    (run / "log.txt").write_text("")
    error = refused("train", "--resume", run)
    assert "--name run" in error
    done("train", "--data", tiny_demo, "--runs-dir", tmp_path, "--name", "run", *TINY_FLAGS,
         "--epochs", 1, "--no-export")  # fmt: skip
    assert record(run)["finished_epochs"] == 1
    # A folder of something else is not taken.
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").touch()
    error = refused("train", "--data", tiny_demo, "--runs-dir", tmp_path, "--name", "photos")
    assert "--name" in error
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.jpg"]


BAD = [
    (["--epochs", 0], "--epochs", "0"),
    (["--batch-size", 0], "--batch-size", "0"),
    (["--learning-rate", "nan"], "--learning-rate", "nan"),
    (["--learning-rate", -1], "--learning-rate", "-1"),
    (["--stride", 0], "--stride", "0"),
    (["--warmup-epochs", -1], "--warmup-epochs", "-1"),
    (["--clip-norm", -1], "--clip-norm", "-1"),
    (["--clip-norm", "nan"], "--clip-norm", "nan"),
    (["--early-stop", -1], "--early-stop", "-1"),
    (["--label-smoothing", 1], "--label-smoothing", "1"),
    (["--lr-step", 2, "--schedule", "cosine"], "--lr-step", "--schedule"),
    (["--lr-step", 2, "--warmup-epochs", 1], "--lr-step", "--warmup-epochs"),
    (["--workers", 0], "--workers", "0"),
    (["--resize", 8, 8], "--resize", "8 8"),
    (["--pool", 4, 32, 32], "--pool", "32"),
    (["--dropout", 1], "--dropout", "1"),
    (["--hue", 0.7], "--hue", "0.7"),
    (["--mixup", -1], "--mixup", "-1"),
    (["--crop-scale", 1, 0.5], "--crop-scale", "1.0 0.5"),
    (["--units", 3], "--units", "conv3d"),
    (["--name", "a/b"], "--name", "a/b"),
    (["--split-lists", "."], "--split-lists", "--split-scheme"),
    (["--split-scheme", "official1", "--split-lists", "nowhere"], "trainlist01.txt", "nowhere"),
    (["--split-scheme", "csv"], "--split-scheme", ""),
    (["--fold", 1], "--fold", "--split-scheme"),
    (["--folds", 4], "--folds", "--split-scheme"),
    (["--split-scheme", "kfold", "--fold", 6], "--fold", "6"),
    (["--seed", 2**32], "--seed", "4294967296"),
    (["--config", "nowhere.json"], "--config", "nowhere.json"),
    (["--init-from", "nowhere"], "--init-from", "nowhere"),
    (["--init-from", "nowhere.keras"], "--init-from", "nowhere.keras"),
    (["--freeze", "convolution"], "--freeze", "convolution"),
    (["--freeze", "*"], "--freeze", "*"),
    (["--model", "conv3d", "--flow", "dis"], "--flow", "conv3d"),
    (["--model", "two_stream", "--flow", "none"], "--flow", "two_stream"),
]


@pytest.mark.parametrize(("flags", "flag", "value"), BAD, ids=lambda value: str(value)[:40])
def test_bad_options_leave_nothing(flags, flag, value, tiny_demo, tmp_path, refused):
    error = refused(
        "train", "--data", tiny_demo, "--runs-dir", tmp_path / "runs", *TINY_FLAGS[:-2], *flags
    )
    assert flag in error and value in error
    assert not (tmp_path / "runs").exists()


def test_a_run_that_is_not_there(tmp_path, refused):
    assert "nowhere" in refused("train", "--resume", "nowhere", "--runs-dir", tmp_path)


@pytest.mark.parametrize(
    "flags", [["--split-scheme", "magic"], ["--epochs", "many"], ["--nonsense"]]
)
def test_flags_that_do_not_exist_exit_with_2(flags, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", *flags])
    assert stop.value.code == 2
    assert flags[-1] in capsys.readouterr().err


@pytest.mark.usefixtures("eagerly")
def test_a_loss_that_is_not_a_number_stops_the_training(tiny_demo, tmp_path, refused):
    error = refused(
        "train", "--data", tiny_demo, "--name", "nan", "--runs-dir", tmp_path, *TINY_FLAGS,
        "--precision", "float32", "--learning-rate", 1e30,
    )  # fmt: skip
    assert "--learning-rate" in error and "--precision" in error
    assert (tmp_path / "nan/run.json").is_file()


def linked(data, folder, classes):
    """A folder with links to the first `count` videos of some classes: {class: count}."""
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for file in sorted((data / name).iterdir())[:count]:
            (folder / name / file.name).symlink_to(file)
    return folder


@pytest.mark.usefixtures("eagerly")
def test_bad_videos_are_named_counted_and_skipped(tiny_demo, tmp_path, capsys, done):
    data = linked(tiny_demo, tmp_path / "data", {"Grow": 12, "MoveDown": 12, "MoveUp": 12})
    train_video = data / "MoveUp/v_MoveUp_g10_c01.avi"
    test_video = data / "MoveUp/v_MoveUp_g01_c01.avi"
    train_video.unlink(), test_video.unlink()
    train_video.write_bytes(b"")
    test_video.write_text("not a video")
    done("train", "--data", data, "--name", "r", "--runs-dir", tmp_path, *TINY_FLAGS,
         "--epochs", 1, "--no-export")  # fmt: skip
    out = capsys.readouterr().out
    assert "MoveUp/v_MoveUp_g10_c01.avi" in out and "MoveUp/v_MoveUp_g01_c01.avi" in out
    assert "2 of 36" in out
    assert [(skip["split"], skip["path"]) for skip in record(tmp_path / "r")["skipped"]] == [
        ("train", "MoveUp/v_MoveUp_g10_c01.avi"),
        ("test", "MoveUp/v_MoveUp_g01_c01.avi"),
    ]
    metrics = json.loads((tmp_path / "r/evaluation/test/metrics.json").read_text())
    assert (metrics["videos"], metrics["skipped"]) == (14, 1)
    assert metrics["top1_counting_skipped_as_wrong"] == pytest.approx(metrics["top1"] * 14 / 15)
    assert "v_MoveUp_g01_c01.avi" in (tmp_path / "r/evaluation/test/report.html").read_text()


def test_data_that_cannot_be_used(tmp_path, tiny_demo, refused):
    (tmp_path / "empty").mkdir()
    linked(tiny_demo, tmp_path / "one", {"MoveUp": 12})
    linked(tiny_demo, tmp_path / "few", {"MoveUp": 1, "MoveDown": 1})
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("missing", "empty", "one", "few", "loop"):
        data = tmp_path / name
        error = refused("train", "--data", data, "--runs-dir", tmp_path / "runs", *TINY_FLAGS)
        assert str(data) in error or "--data" in error or "MoveDown" in error, name
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("eagerly")
def test_a_disk_that_fills_loses_nothing_that_was_written(small_disk, tiny_demo, refused, done):
    run = small_disk / "full"
    (small_disk / "filler").write_bytes(bytes(1_750_000))
    error = refused(
        "train", "--attention", "--data", tiny_demo, "--name", "full", "--runs-dir", small_disk,
        *TINY_FLAGS, "--epochs", 2, "--dense", 64,
    )  # fmt: skip
    assert "No space left on device" in error
    assert not list(run.rglob("*.part*"))
    # With room again, the run goes on to its end.
    (small_disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    done("train", "--resume", run)
    assert (run / "saved_model/1/saved_model.pb").is_file()


def test_a_disk_without_room_for_the_weights(small_disk, tiny_demo, refused):
    error = refused(
        "train", "--data", tiny_demo, "--runs-dir", small_disk, *TINY_FLAGS, "--dense", 8192
    )
    assert str(small_disk) in error and "--runs-dir" in error
    assert not list(small_disk.iterdir())


def test_a_file_that_may_not_be_read(trained, tmp_path, refused, monkeypatch):
    """The error does not speak of room on the disk."""
    run = shutil.copytree(trained, tmp_path / "run")
    history = run / "history.csv"
    opened = type(history).open

    def denied(self, *arguments, **options):
        if self.name == "history.csv":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(type(history), "open", denied)
    error = refused("evaluate", "--run", run, "--split", "val")
    assert str(history) in error and "Permission denied" in error
    assert "room" not in error


def test_two_runs_within_a_minute_get_two_names(tmp_path):
    from ar3d_keras.runs import create_run

    names = {create_run(tmp_path, None, "conv3d").name for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith(time.strftime("%Y")) for name in names)


@pytest.mark.parametrize("text", ['{"data": "x"}', '{"config": 3}', "[]", "7", "{"])
def test_a_config_that_is_not_one(text, tmp_path, refused):
    (tmp_path / "c.json").write_text(text)
    assert "c.json" in refused("train", "--config", tmp_path / "c.json")


def test_a_backend_that_does_not_exist(tiny_demo):
    done = python("train.py", "--data", tiny_demo, environment={"KERAS_BACKEND": "foo"})
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "foo" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_backend_that_cannot_train(tiny_demo, refused, monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "numpy")
    assert "numpy" in refused("train", "--data", tiny_demo)
