"""The Python API from training to export, its values, and what it refuses."""

import csv
import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from processes import TINY  # tests/processes.py

import ar3d_keras
from ar3d_keras import Reporter, TrainConfig, UserError
from ar3d_keras.config import DataConfig
from ar3d_keras.experiments.record import git_commit

TIMING = {"seconds", "clips_per_s", "wait_share"}


def rows(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def untimed(run):
    return [{k: v for k, v in row.items() if k not in TIMING} for row in rows(run / "history.csv")]


@pytest.fixture(scope="module")
def run(tiny_demo, make_once):
    """The same training as that of the fixture `trained`, which is a command."""

    def make(folder):
        ar3d_keras.train(
            data=tiny_demo, attention=True, name="api", export=False, reporter=Reporter(),
            runs_dir=folder, **TINY,
        )  # fmt: skip

    return ar3d_keras.open_run(make_once("api", make) / "api")


def test_a_call_and_a_command_give_the_same_run(run, trained):
    assert untimed(run.folder) == untimed(trained)
    one, other = run.record(), json.loads((trained / "run.json").read_text())
    assert one["config"] == other["config"]
    assert one["command"].startswith("ar3d_keras.train(")
    for split in ("val", "test"):
        files = [f / f"evaluation/{split}/predictions.csv" for f in (run.folder, trained)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_run_evaluates(run, tmp_path):
    copied = ar3d_keras.open_run(shutil.copytree(run.folder, tmp_path / "run"))
    written = copied.folder / "evaluation/val/metrics.json"
    before = json.loads(written.read_text())
    metrics = copied.evaluate("val", reporter=Reporter())
    assert (metrics["top1"], metrics["loss"]) == (before["top1"], before["loss"])
    several = copied.evaluate("val", clips=2, crops=3, reporter=Reporter())
    assert several["protocol"] != metrics["protocol"]
    for bad, parameter in (({"clips": 0}, "clips"), ({"crops": 2}, "crops"), ({"split": "x"}, "split")):  # fmt: skip
        with pytest.raises(UserError) as caught:
            copied.evaluate(**bad, reporter=Reporter())
        assert caught.value.parameter == parameter


def test_a_network_file_alone_knows_everything(run, tiny_demo, tmp_path, eager):
    """It is copied away from its run."""
    file = shutil.copy(run.best, tmp_path / "alone.keras")
    model = ar3d_keras.load_model(file)
    assert model.class_names == ("Grow", "MoveDown", "MoveUp") == run.model().class_names
    assert (model.clip_shape.frames, model.clip_shape.height, model.clip_shape.width) == (
        16,
        16,
        16,
    )
    evaluated = rows(run.folder / "evaluation/test/predictions.csv")
    predictions = model.predict_videos([tiny_demo / row["path"] for row in evaluated])
    for prediction, row in zip(predictions, evaluated, strict=True):
        for rank, (name, probability) in enumerate(prediction.top(3), start=1):
            assert name == row[f"top{rank}"]
            assert f"{probability:.6f}" == row[f"top{rank}_probability"]

    # Fine-tuned: all layers are taken, for the classes are the same.
    given = {**TINY, "epochs": 1, "learning_rate": 1e-12, "init_from": str(file)}
    with eager():
        tuned = ar3d_keras.train(
            data=tiny_demo, attention=True, name="tuned", runs_dir=tmp_path, export=False,
            reporter=Reporter(), **given,
        )  # fmt: skip
    metrics = json.loads((tuned.folder / "evaluation/test/metrics.json").read_text())
    assert float(rows(tuned.history)[0]["test_loss"]) == pytest.approx(metrics["loss"], abs=1e-4)
    for one, other in zip(model.get_weights(), tuned.model().get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_network_of_other_classes_gets_a_new_head(run, tiny_demo, tmp_path):
    from ar3d_keras.training.warm_start import find_warm_start, take_weights

    file = shutil.copy(run.best, tmp_path / "alone.keras")
    model = ar3d_keras.load_model(file)
    start = find_warm_start(str(file), tmp_path)
    sentence = take_weights(model, start, ("A", "B", "C"))
    assert sentence.endswith("new: output")
    of_run = find_warm_start(str(run.folder), tmp_path)
    assert of_run.class_names == ("Grow", "MoveDown", "MoveUp")


def test_a_run_exports(run, tmp_path):
    copied = ar3d_keras.open_run(shutil.copytree(run.folder, tmp_path / "run"))
    first, second = (copied.export(reporter=Reporter()) for _ in range(2))
    assert (first, second) == (copied.saved_model / "1", copied.saved_model / "2")
    assert (second / "saved_model.pb").is_file()
    for bad, parameter in (
        ({"int8": True}, "int8"),
        ({"format": "onnx", "version": 3}, "version"),
        ({"version": 0}, "version"),
        ({"format": "magic"}, "format"),
    ):
        with pytest.raises(UserError) as caught:
            copied.export(**bad, reporter=Reporter())
        assert caught.value.parameter == parameter


@pytest.mark.usefixtures("eagerly")
def test_a_run_continues(run, trained, tmp_path):
    """To more epochs; callbacks hear of every metric and of the reports."""
    shutil.copytree(run.folder, tmp_path / "run")
    heard, reports = [], []

    class Listener(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            heard.append(dict(logs))

        def on_report(self, split, metrics, folder):
            reports.append((split, metrics["top1"]))

    again = ar3d_keras.resume(
        "run", epochs=3, runs_dir=tmp_path, callbacks=[Listener()], reporter=Reporter()
    )
    assert untimed(again.folder)[:2] == untimed(run.folder)
    assert [split for split, _ in reports] == ["val", "test"]
    assert {"loss", "val_accuracy", "test_top5"} <= set(heard[0]) and len(heard) == 1


def test_runs_are_compared(run, trained, tmp_path):
    compared = ar3d_keras.compare([run, trained], out=tmp_path, reporter=Reporter())
    assert compared["not_comparable"] == []
    assert [row["name"] for row in compared["table"]] == ["api", "tiny"]
    assert compared["table"][0]["loss"] == compared["table"][1]["loss"]
    assert compared == json.loads((tmp_path / "comparison.json").read_text())


@pytest.mark.usefixtures("eagerly")
def test_without_an_exporter_a_run_is_complete(tiny_demo, tmp_path, monkeypatch):
    """The missing SavedModel is a note."""
    from ar3d_keras.experiments import train
    from ar3d_keras.serving.tensorflow_process import ExporterNotInstalled

    def not_installed(*_, **__):
        raise ExporterNotInstalled("nothing to export with")

    monkeypatch.setattr(train, "export_network", not_installed)
    from ar3d_keras.cli import main

    lines = []

    class Lines(Reporter):
        def show(self, line):
            lines.append(line)

        def fresh(self):
            return self

    given = {"data": tiny_demo, "folds": 3, "runs_dir": tmp_path, **TINY, "epochs": 1}
    metrics = ar3d_keras.crossval(**given, export=True, reporter=Lines())
    assert len(metrics["folds"]) == 3
    assert sum("nothing to export with" in line for line in lines) == 3
    before = (tmp_path / "crossval/fold-1/run.json").stat().st_mtime_ns
    assert main(["train", "--resume", str(tmp_path / "crossval/fold-1")]) == 0
    assert (tmp_path / "crossval/fold-1/run.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("scheme", ["group", "kfold", "logo", "random", None])
def test_clips_are_shown_of_every_split_scheme(scheme, tiny_demo, tmp_path):
    out = ar3d_keras.show_clips(
        data=tiny_demo, split_scheme=scheme, out=tmp_path / "clips.png", count=2, height=16,
        width=16, reporter=Reporter(),
    )  # fmt: skip
    assert out.is_file()


BAD_OPTIONS = [
    ({"data": "nowhere"}, "data"),
    ({"data": 3}, "data"),
    ({"epochs": 0}, "epochs"),
    ({"epochs": "many"}, "epochs"),
    ({"batch_size": 0}, "batch_size"),
    ({"learning_rate": -1.0}, "learning_rate"),
    ({"hue": 0.7}, "hue"),
    ({"workers": 0}, "workers"),
    ({"resize": (8, 8)}, "resize"),
    ({"split_scheme": "magic"}, "split_scheme"),
    ({"fold": 2}, "fold"),
    ({"model": "magic"}, "model"),
    ({"preset": "magic"}, "preset"),
    ({"config": "nowhere.json"}, "config"),
    ({"config": TrainConfig(), "preset": "demo"}, "preset"),
    ({"config": 3}, "config"),
    ({"nonsense": 1}, "nonsense"),
]
BAD = {
    "train": [
        *BAD_OPTIONS,
        ({"name": "a/b"}, "name"),
        ({"pool": (4, 32, 32)}, "pool"),
        ({"units": 3}, "units"),
        ({"flow": "dis"}, "model"),
        ({"init_from": "nowhere"}, "init_from"),
        ({"freeze": ("nothing",)}, "freeze"),
    ],
    "resume": [({"run": "nowhere"}, "run"), ({"run": "RUN", "epochs": 0}, "epochs"),
               ({"run": "RUN", "epochs": 3, "data": "nowhere"}, "data"),
               ({"run": "RUN", "epochs": 3, "workers": 0}, "workers")],
    "crossval": [*BAD_OPTIONS, ({"name": "a/b"}, "name"), ({"split_scheme": "group"}, "split_scheme"),
                 ({"folds": 1}, "folds"), ({"folds": 99}, "folds")],
    "compare": [({"runs": ["RUN"]}, "runs"), ({"runs": ["RUN", "RUN"]}, "runs"),
                ({"runs": ["RUN", "nowhere"]}, "run"),
                ({"runs": ["RUN", "OTHER"], "split": "magic"}, "split")],
    "tune": [*BAD_OPTIONS, ({"trials": 0}, "trials"), ({"name": "a/b"}, "name"),
             ({"space": "nowhere.json"}, "space"), ({"tuner": "magic"}, "tuner")],
    "show_clips": [*BAD_OPTIONS, ({"count": 0}, "count"), ({"epoch": 0}, "epoch"),
                   ({"out": "clips.jpg"}, "out"), ({"out": "nowhere/clips.png"}, "out")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("function", "given", "parameter"),
    [(function, *row) for function, table in BAD.items() for row in table],
    ids=lambda value: str(value)[:40],
)
def test_bad_keywords(function, given, parameter, tiny_demo, trained, tmp_path, monkeypatch, capfd):
    """A UserError of one line names the parameter; nothing is printed or left."""
    if function == "tune":
        pytest.importorskip("keras_tuner")
    elsewhere = tmp_path / "here"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    places = {"RUN": trained, "OTHER": tmp_path / "other"}
    if "OTHER" in str(given):
        shutil.copytree(trained, tmp_path / "other")
    given = {
        name: [places.get(v, v) for v in value] if name == "runs" else places.get(value, value)
        if isinstance(value, str) else value
        for name, value in given.items()
    }  # fmt: skip
    if function in ("train", "crossval", "tune", "show_clips"):
        own = "config" in given and isinstance(given["config"], TrainConfig)
        given = ({} if own else {"data": tiny_demo, "height": 16, "width": 16}) | given
        if own:
            given["config"] = TrainConfig(data=DataConfig(data=tiny_demo))
    log = (trained / "log.txt").read_bytes()
    capfd.readouterr()
    with pytest.raises(UserError) as caught:
        getattr(ar3d_keras, function)(**given)
    assert caught.value.parameter == parameter, caught.value
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert list(elsewhere.iterdir()) == []
    assert (trained / "log.txt").read_bytes() == log


def test_a_bad_value_fails_before_a_backend_starts(tmp_path):
    code = (
        "import ar3d_keras, sys\n"
        "try: ar3d_keras.TrainConfig().replace(epochs=0).validate()\n"
        "except ar3d_keras.UserError as error: assert error.parameter == 'epochs'\n"
        "assert 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_repository_without_a_commit(tmp_path, monkeypatch):
    """Other than that of this code's checkout, or none: there is no commit to record."""
    from ar3d_keras.experiments import record

    repository, file = tmp_path / "code", tmp_path / "code/package/experiments/record.py"

    def git(*arguments):
        subprocess.run(["git", "-C", str(repository), *arguments], check=True, capture_output=True)

    file.parent.mkdir(parents=True)
    file.write_text("")
    monkeypatch.setattr(record, "__file__", str(file))
    assert git_commit() is None  # no repository
    git("init", "-q")
    assert git_commit() is None  # not tracked
    git("add", ".")
    assert git_commit() is None  # tracked, but there is no commit
    git("-c", "user.name=A", "-c", "user.email=a@b.example", "commit", "-q", "-m", "x")
    assert len(git_commit()) == 40
    file.write_text("changed")
    assert git_commit().endswith("+")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit() is None  # no git
