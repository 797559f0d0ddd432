"""The SavedModel: its content, its versions, and that its outputs equal Keras's."""

import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny  # tests/serving/tiny.py

from ar3d_keras import Conv3DClassifier, TwoStream
from ar3d_keras.cli import main
from ar3d_keras.errors import UserError
from ar3d_keras.explanation.attention_map import attention_network
from ar3d_keras.inference.classifier import DESCRIPTION, describe
from ar3d_keras.runs import RunFolder
from ar3d_keras.serving import export, warmup
from ar3d_keras.serving.export import export_saved_model
from ar3d_keras.serving.versions import free_version
from ar3d_keras.videos.dataset import open_dataset
from ar3d_keras.videos.sampling import ClipShape, protocol

ROOT = Path(__file__).parents[2]
COUNTS = (1, 3, 8)
DESCRIBED = describe(tiny.CLASS_NAMES, tiny.SHAPE)


def questions(clips):
    return {
        f"{count}/{signature}/clip": clips[:count]
        for count in COUNTS
        for signature in ("serving_default", "attention")
    }


def test_outputs_equal_keras(exported, ask):
    clips = tiny.random_clips(8, exported.model)
    outputs = ask(exported.version, questions(clips))
    expected = exported.model.predict_on_batch(clips)
    explained = attention_network(exported.model).predict_on_batch(clips)
    order = np.argsort(-expected, axis=1)[:, :5]
    for count in COUNTS:
        prefix = f"{count}/serving_default/"
        assert outputs[prefix + "classes"].tolist() == [tiny.BYTES] * count
        best = [[tiny.BYTES[place] for place in row] for row in order[:count]]
        assert outputs[prefix + "top_classes"].tolist() == best
        for name, values in (
            (prefix + "probabilities", expected),
            (prefix + "top_probabilities", np.take_along_axis(expected, order, 1)),
            (f"{count}/attention/probabilities", expected),
            (f"{count}/attention/attention", explained["attention"]),
        ):
            assert outputs[name].dtype == np.float32
            np.testing.assert_allclose(outputs[name], values[:count], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_the_network_of_the_papers_size(ask, tmp_path):
    model = Conv3DClassifier(101, attention=True)
    tiny.sharpen(model)
    model.save(tmp_path / "n.keras")
    description = describe([f"class {number}" for number in range(101)], ClipShape())
    version = export_saved_model(tmp_path / "n.keras", tmp_path / "m", description)
    clips = tiny.random_clips(8, model)
    clips //= np.arange(1, 9, dtype=np.uint8)[:, None, None, None, None]  # outputs that differ
    outputs = ask(version, questions(clips))
    expected = attention_network(model).predict_on_batch(clips)
    assert np.ptp(expected["probabilities"], axis=0).max() > 0.01
    for count in COUNTS:
        for name in ("serving_default/probabilities", "attention/probabilities",
                     "attention/attention"):  # fmt: skip
            values = expected[name.rpartition("/")[2]][:count]
            np.testing.assert_allclose(outputs[f"{count}/{name}"], values, rtol=0, atol=1e-5)


def test_the_description_is_in_the_version(exported):
    assert json.loads((exported.version / DESCRIPTION).read_text()) == {
        "class_names": tiny.CLASS_NAMES,
        "clip_shape": dataclasses.asdict(tiny.SHAPE),
        "protocol": protocol(tiny.SHAPE, clips=1, crops=1),
        "about": {"run": "tiny"},
    }


def test_networks_that_see_flow_or_have_no_gate_have_fewer_signatures(tmp_path, ask):
    flow = ClipShape(8, 20, 20, resize_height=24, resize_width=32, flow="dis")
    model = TwoStream(3, frames=8, height=20, width=20, width_multiplier=0.05)
    model.save(tmp_path / "n.keras")
    version = export_saved_model(tmp_path / "n.keras", tmp_path / "m", describe("abc", flow))
    clips = tiny.random_clips(2, model)
    outputs = ask(version, {"one/serving_default/clip": clips})
    assert outputs["signatures"].tolist() == ["preprocessor", "serving_default"]
    expected = model.predict_on_batch(clips)
    np.testing.assert_allclose(outputs["one/serving_default/probabilities"], expected, atol=1e-5)


def test_from_another_folder_and_without_tensorflow_serving_api(exported, tmp_path, monkeypatch):
    assert (exported.version / warmup.WARMUP).is_file()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    version = export_saved_model(exported.file, tmp_path / "s", DESCRIBED)
    assert (version / "saved_model.pb").is_file()
    assert not (version / warmup.WARMUP).exists()


def test_versions_count_up_and_older_ones_stay(tmp_path, monkeypatch, user_error):
    monkeypatch.setattr(export, "write", lambda network, folder: (folder / "new").touch())
    versions = tmp_path / "versions"

    def new(number=None):
        return export_saved_model(tmp_path / "n.keras", versions, DESCRIBED, version=number).name

    def contents():
        files = [path for path in versions.rglob("*") if path.is_file()]
        return {path: path.read_bytes() for path in files}

    assert new() == "1"
    (versions / "²").mkdir()  # a digit, but not a number
    before = contents()
    for number in (1, 0, -3):
        with user_error("`version`"):
            new(number)
    assert contents() == before
    assert [new(), new(7), new(5), new()] == ["2", "7", "5", "8"]
    for below_a_file in (versions / "1/new", versions / "1/new/models"):
        with user_error("`to`"):
            free_version(below_a_file)
    after = contents()
    assert {path: after[path] for path in before} == before


def test_a_number_that_another_export_takes_meanwhile_is_left_to_it(
    tmp_path, monkeypatch, user_error
):
    def slow(network, temporary):
        (tmp_path / "versions/1").mkdir()
        (tmp_path / "versions/1/saved_model.pb").write_text("of the other export")

    monkeypatch.setattr(export, "write", slow)
    with user_error("`version`"):
        export_saved_model(tmp_path / "n.keras", tmp_path / "versions", DESCRIBED)
    assert (tmp_path / "versions/1/saved_model.pb").read_text() == "of the other export"
    assert [path.name for path in (tmp_path / "versions").iterdir()] == ["1"]


def test_a_failed_export_leaves_nothing_and_is_never_seen_as_a_version(tmp_path, monkeypatch):
    seen = []
    original = export.write

    def watch(network, temporary):
        seen.append(temporary.name)
        original(network, temporary)

    monkeypatch.setattr(export, "write", watch)
    (tmp_path / "damaged.keras").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"damaged\.keras"):
        export_saved_model(tmp_path / "damaged.keras", tmp_path / "versions", DESCRIBED)
    assert not [path for path in (tmp_path / "versions").rglob("*") if path.is_file()]
    # A server skips names that are not numbers.
    assert len(seen) == 1
    with pytest.raises(ValueError, match="invalid literal"):
        int(seen[0])


def test_a_full_disk_is_one_line_and_leaves_nothing(big_network, tmp_path, small_files, user_error):
    with user_error("`to`"):
        export_saved_model(big_network, tmp_path / "versions", DESCRIBED)
    assert not [path for path in (tmp_path / "versions").rglob("*") if path.is_file()]


def test_export_of_a_run_without_weights_fails(tmp_path, capsys):
    (tmp_path / "begun").mkdir()
    record = {"begun": "2026-11-22T10:30:00+00:00", "config": {}, "data": {}, "split": {}}
    (tmp_path / "begun/run.json").write_text(json.dumps(record | {"classes": ["a", "b"]}))
    assert main(["export", "--run", "begun", "--runs-dir", str(tmp_path)]) == 2
    assert "checkpoints/best.keras" in capsys.readouterr().err
    assert not (tmp_path / "begun/saved_model").exists()


@pytest.fixture(scope="module")
def trained_elsewhere(make_ucf, tmp_path_factory):
    """Runs of `train.py` on JAX and torch, each in its process, and their data."""
    folder = tmp_path_factory.mktemp("elsewhere")
    data = make_ucf(folder / "data", groups=10)
    sizes = "--frames 4 --height 16 --width 16 --filters 4 --pool 2 4 4 --dense 8 --epochs 1"
    command = [sys.executable, "train.py", "--attention", "--data", data, *sizes.split()]
    started = {
        backend: subprocess.Popen(
            [*command, "--batch-size", "4", "--runs-dir", folder, "--name", backend],
            env={**os.environ, "KERAS_BACKEND": backend}, cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for backend in ("jax", "torch")
    }  # fmt: skip
    for process in started.values():
        _, err = process.communicate()
        assert process.returncode == 0, err
    return folder, data


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_run_of_another_backend_is_served_as_it_was_evaluated(backend, trained_elsewhere, ask):
    """Trained and evaluated on JAX or torch, served by TensorFlow's C API."""
    folder, data = trained_elsewhere
    run = RunFolder(folder / backend)
    version = run.saved_model / "1"
    description = json.loads((version / DESCRIPTION).read_text())
    assert description["class_names"] == run.record()["classes"]
    assert description["about"]["backend"] == backend
    assert description["about"]["network"] == "conv3d-attention"
    assert description["about"]["split"] == "group"

    shape = ClipShape(**description["clip_shape"])
    assert (shape.frames, shape.height, shape.width) == (4, 16, 16)
    dataset = open_dataset(run.split(data, "group"), shape, splits=["test"])
    source = dataset.evaluation("test")
    clips = np.stack([source[place, 0] for place in range(len(source))])
    outputs = ask(version, {"all/serving_default/clip": clips})["all/serving_default/probabilities"]
    with (run.evaluation("test") / "predictions.csv").open() as lines:
        evaluated = list(csv.DictReader(lines))
    assert [row["path"] for row in evaluated] == [video.path for video in source.videos]
    for row, probabilities in zip(evaluated, outputs, strict=True):
        served = dict(zip(description["class_names"], probabilities.tolist(), strict=True))
        expected = {row[f"top{k}"]: float(row[f"top{k}_probability"]) for k in (1, 2)}
        assert served == pytest.approx(expected, abs=2e-6)
