"""The SavedModel: what is in a version, that Keras and it agree on every backend, versions."""

import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from ar3d_keras import Conv3DClassifier, TwoStream
from ar3d_keras.cli import main
from ar3d_keras.errors import UserError
from ar3d_keras.explanation.attention_map import attention_network
from ar3d_keras.inference.classifier import DESCRIPTION, describe
from ar3d_keras.runs import Run
from ar3d_keras.serving.export import export_saved_model
from ar3d_keras.serving.versions import free_version
from ar3d_keras.videos.dataset import open_dataset
from ar3d_keras.videos.sampling import ClipShape, protocol

ROOT = Path(__file__).parents[2]
# The second is a name that is no UTF-8, as a folder's may be.
NAMES = ["걷기 walk", "r\udcffun", "jump, high"]
SHAPE = ClipShape(4, 8, 8, resize_height=9, resize_width=12)
SMALL = {"frames": 4, "height": 8, "width": 8, "filters": 6, "pool": (2, 4, 4), "dense": 5}
BYTES = [name.encode("utf-8", "surrogateescape") for name in NAMES]


@pytest.fixture(scope="module")
def exported(decide, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    model = Conv3DClassifier(3, attention=True, **SMALL)
    decide(model)
    model.save(folder / "network.keras")
    description = describe(NAMES, SHAPE, {"run": "tiny"})
    version = export_saved_model(folder / "network.keras", folder / "served", description)
    return model, folder, version


@pytest.mark.multi_backend
def test_it_says_what_keras_says(exported, ask):
    model, _, version = exported
    clips = np.random.default_rng(0).integers(0, 256, (8, 4, 8, 8, 3), np.uint8)
    questions = {
        f"{count}/{signature}/clip": clips[:count]
        for count in (1, 3, 8)
        for signature in ("serving_default", "attention")
    }
    answers = ask(version, questions)
    expected = model.predict_on_batch(clips)
    explained = attention_network(model).predict_on_batch(clips)
    order = np.argsort(-expected, axis=1)
    for count in (1, 3, 8):
        answer = f"{count}/serving_default/"
        assert answers[answer + "classes"].tolist() == [BYTES] * count
        best = [[BYTES[place] for place in row] for row in order[:count]]
        assert answers[answer + "top_classes"].tolist() == best
        for name, values in (
            (answer + "probabilities", expected),
            (answer + "top_probabilities", np.take_along_axis(expected, order, 1)),
            (f"{count}/attention/probabilities", expected),
            (f"{count}/attention/attention", explained["attention"]),
        ):
            assert answers[name].dtype == np.float32
            np.testing.assert_allclose(answers[name], values[:count], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_the_network_of_the_papers_size(decide, ask, tmp_path):
    model = Conv3DClassifier(101, attention=True)
    decide(model)
    model.save(tmp_path / "n.keras")
    names = [f"class {number}" for number in range(101)]
    version = export_saved_model(tmp_path / "n.keras", tmp_path / "m", describe(names, ClipShape()))
    clips = np.random.default_rng(0).integers(0, 256, (8, 16, 112, 112, 3), np.uint8)
    clips //= np.arange(1, 9, dtype=np.uint8)[:, None, None, None, None]  # answers that differ
    questions = {
        f"{count}/{signature}/clip": clips[:count]
        for count in (1, 3, 8)
        for signature in ("serving_default", "attention")
    }
    answers = ask(version, questions)
    expected = attention_network(model).predict_on_batch(clips)
    assert np.ptp(expected["probabilities"], axis=0).max() > 0.01
    for count in (1, 3, 8):
        for name in ("serving_default/probabilities", "attention/probabilities",
                     "attention/attention"):  # fmt: skip
            values = expected[name.rpartition("/")[2]][:count]
            np.testing.assert_allclose(answers[f"{count}/{name}"], values, rtol=0, atol=1e-5)


def test_what_a_person_must_know_travels_inside(exported):
    _, _, version = exported
    description = json.loads((version / DESCRIPTION).read_text())
    assert description == {
        "classes": NAMES,
        "shape": dataclasses.asdict(SHAPE),
        "protocol": protocol(SHAPE, clips=1, crops=1),
        "about": {"run": "tiny"},
    }


def test_networks_that_see_flow_or_have_no_gate_have_fewer_signatures(tmp_path, ask):
    flow = ClipShape(8, 20, 20, resize_height=24, resize_width=32, flow="dis")
    model = TwoStream(3, frames=8, height=20, width=20, width_multiplier=0.05)
    model.save(tmp_path / "n.keras")
    version = export_saved_model(tmp_path / "n.keras", tmp_path / "served", describe(NAMES, flow))
    clips = np.random.default_rng(0).integers(0, 256, (2, 8, 20, 20, 5), np.uint8)
    answer = ask(version, {"one/serving_default/clip": clips})
    assert answer["signatures"].tolist() == ["serving_default"]
    expected = model.predict_on_batch(clips)
    np.testing.assert_allclose(answer["one/serving_default/probabilities"], expected, atol=1e-5)


def test_versions_count_up_and_older_ones_stay(exported, tmp_path, user_error):
    _, folder, version = exported
    assert version == folder / "served" / "1"
    shutil.copytree(folder / "served", tmp_path / "served")

    def export(number=None):
        network = folder / "network.keras"
        description = describe(NAMES, SHAPE)
        return export_saved_model(network, tmp_path / "served", description, version=number)

    def contents():
        files = [path for path in (tmp_path / "served").rglob("*") if path.is_file()]
        return {path: path.read_bytes() for path in files}

    (tmp_path / "served/²").mkdir()  # a digit, but no number
    before = contents()
    for number in (1, 0, -3):
        reason = "exists, and a version" if number == 1 else "must be at least 1"
        with user_error(reason):
            export(number)
    assert contents() == before
    assert export().name == "2"
    assert export(7).name == "7"
    assert export(5).name == "5"
    assert export().name == "8"
    with user_error("--to takes the folder"):
        free_version(version / "saved_model.pb")
    with user_error("--to takes the folder"):
        free_version(version / "saved_model.pb" / "models")
    after = contents()
    assert {path: after[path] for path in before} == before


def test_a_number_that_another_export_takes_meanwhile_is_left_to_it(
    tmp_path, monkeypatch, user_error
):
    from ar3d_keras.serving import export

    def slow(network, temporary):
        (tmp_path / "served/1").mkdir()
        (tmp_path / "served/1/saved_model.pb").write_text("the other's")

    monkeypatch.setattr(export, "_write", slow)
    with user_error("1 exists, and a version is never changed"):
        export_saved_model(tmp_path / "n.keras", tmp_path / "served", describe(NAMES, SHAPE))
    assert (tmp_path / "served/1/saved_model.pb").read_text() == "the other's"
    assert [path.name for path in (tmp_path / "served").iterdir()] == ["1"]


def test_it_does_not_matter_where_it_is_called_from(exported, tmp_path, monkeypatch):
    _, folder, _ = exported
    monkeypatch.chdir(tmp_path)
    version = export_saved_model(folder / "network.keras", tmp_path / "s", describe(NAMES, SHAPE))
    assert (version / "saved_model.pb").is_file()


@pytest.mark.multi_backend
def test_a_failed_export_leaves_nothing_and_is_never_seen_as_a_version(tmp_path, monkeypatch):
    from ar3d_keras.serving import export

    seen = []
    write = "_write" if keras.backend.backend() == "tensorflow" else "_write_elsewhere"
    original = getattr(export, write)

    def watch(network, temporary):
        seen.append(temporary.name)
        original(network, temporary)

    monkeypatch.setattr(export, write, watch)
    (tmp_path / "damaged.keras").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"damaged\.keras is not a network that Keras can load"):
        export_saved_model(tmp_path / "damaged.keras", tmp_path / "served", describe(NAMES, SHAPE))
    assert not [path for path in (tmp_path / "served").rglob("*") if path.is_file()]
    # What the server would do with each name while the export runs.
    assert len(seen) == 1
    with pytest.raises(ValueError, match="invalid literal"):
        int(seen[0])


def test_without_tensorflow_serving_api_there_are_no_warmup_requests(
    exported, tmp_path, monkeypatch
):
    from ar3d_keras.serving import warmup

    _, folder, version = exported
    assert (version / warmup.WARMUP).is_file()
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    without = export_saved_model(folder / "network.keras", tmp_path / "s", describe(NAMES, SHAPE))
    assert not (without / warmup.WARMUP).exists()
    assert (without / "saved_model.pb").is_file()


def test_export_of_a_run_without_weights_is_refused(tmp_path, capsys):
    (tmp_path / "begun").mkdir()
    record = {"begun": "2026-11-22T10:30:00+00:00", "config": {}, "data": {}, "split": {}}
    (tmp_path / "begun/run.json").write_text(json.dumps(record | {"classes": NAMES}))
    assert main(["export", "--run", "begun", "--runs-dir", str(tmp_path)]) == 2
    assert "begun has no checkpoints/best.keras" in capsys.readouterr().err
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
    for backend, process in started.items():
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert f"SavedModel  {folder / backend / 'saved_model' / '1'}" in out
    return folder, data


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_run_of_another_backend_is_served_as_it_was_judged(backend, trained_elsewhere, ask):
    """Trained and evaluated by JAX or torch, answered by TensorFlow's C API."""
    folder, data = trained_elsewhere
    run = Run(folder / backend)
    version = run.saved_model / "1"
    description = json.loads((version / DESCRIPTION).read_text())
    assert description["classes"] == run.record()["classes"]
    assert description["about"]["backend"] == backend
    assert description["about"]["network"] == "conv3d-attention"
    assert description["about"]["split"] == "group"

    shape = ClipShape(**description["shape"])
    assert (shape.frames, shape.height, shape.width) == (4, 16, 16)
    dataset = open_dataset(run.split(data, "group"), shape, splits=["test"])
    source = dataset.evaluation("test")
    clips = np.stack([source[place, 0] for place in range(len(source))])
    answer = ask(version, {"all/serving_default/clip": clips})
    with (run.evaluation("test") / "predictions.csv").open() as lines:
        judged = list(csv.DictReader(lines))
    assert [row["path"] for row in judged] == [video.path for video in source.videos]
    for row, probabilities in zip(judged, answer["all/serving_default/probabilities"], strict=True):
        served = dict(zip(description["classes"], probabilities.tolist(), strict=True))
        told = {row[f"top{k}"]: float(row[f"top{k}_probability"]) for k in (1, 2)}
        assert served == pytest.approx(told, abs=2e-6)


FULL_DISK = """
import resource, sys
from pathlib import Path
from ar3d_keras.errors import UserError
from ar3d_keras.inference.classifier import describe
from ar3d_keras.serving.export import export_saved_model
from ar3d_keras.videos.sampling import ClipShape
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    export_saved_model(Path("n.keras"), Path("served"), describe("abc", ClipShape(4, 16, 16, 20, 24)))
except UserError as error:
    print(error)
"""


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path):
    network = Conv3DClassifier(3, frames=4, height=16, width=16, pool=(2, 4, 4))
    network.save(tmp_path / "n.keras")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert "could not be written (File too large)" in done.stdout, done.stderr
    assert not [path for path in (tmp_path / "served").rglob("*") if path.is_file()]
