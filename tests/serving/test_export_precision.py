"""Networks that compute in bfloat16: exported, measured, and loaded without Keras."""

import dataclasses
import json

import numpy as np
import pytest
import tiny  # tests/serving/tiny.py

from ar3d_keras import predict
from ar3d_keras.experiments.export import export
from ar3d_keras.experiments.load import open_classifier
from ar3d_keras.inference.classifier import DESCRIPTION
from ar3d_keras.models.precision import changes, is_faster
from ar3d_keras.serving import precision
from ar3d_keras.serving.precision import choose
from ar3d_keras.videos.sampling import ClipShape


@pytest.fixture(scope="module")
def network(exported, tmp_path_factory):
    """The .keras file of the tiny network, which knows its classes and its clips."""
    file = tmp_path_factory.mktemp("network") / "network.keras"
    exported.model.class_names = tiny.CLASS_NAMES
    exported.model.clip_shape = dataclasses.asdict(tiny.SHAPE)
    exported.model.save(file)
    return file


@pytest.fixture(scope="module")
def served(network, tmp_path_factory):
    """A SavedModel of it in bfloat16."""
    return export(network, precision="bfloat16", to=tmp_path_factory.mktemp("served"))


def test_a_saved_model_in_bfloat16_takes_uint8_and_gives_float32(exported, served, ask):
    clips = tiny.random_clips(3, exported.model)
    questions = {f"x/{name}/clip": clips for name in ("serving_default", "attention")}
    outputs = ask(served, questions)  # the C library of TensorFlow, without Keras
    expected = exported.model.predict_on_batch(clips)
    for name in ("serving_default", "attention"):
        found = outputs[f"x/{name}/probabilities"]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=0.1)
        assert np.abs(found - expected).max() > 1e-5  # it is not float32
    inference = json.loads((served / DESCRIPTION).read_text())["inference"]
    assert inference["precision"] == "bfloat16"
    measured = inference["bfloat16"]
    assert measured["of"] == "random" and measured["clips"] == 4 and measured["speedup"] > 0
    assert 0 < measured["mean_change"] < measured["largest_change"] < 0.2


def test_predictions_name_their_precision(network, served, write_video, tmp_path, user_error):
    video = write_video(tmp_path / "video.avi", frames=12)
    exact, rough, of_saved_model = (
        predict(video, **given)[0].probabilities
        for given in (
            {"run": network},
            {"run": network, "precision": "bfloat16"},
            {"saved_model": served},
        )
    )
    assert np.abs(rough - exact).max() > 1e-5
    np.testing.assert_allclose(rough, of_saved_model, atol=1e-2)
    assert open_classifier(None, served, tmp_path).precision == "bfloat16"
    assert open_classifier(None, served, tmp_path, "bfloat16").precision == "bfloat16"
    with user_error("`precision`"):
        open_classifier(None, served, tmp_path, "float32")
    journal = tmp_path / "journal"
    predict(video, run=network, precision="bfloat16", journal=journal)
    with user_error("`journal`", "precision"):
        predict(video, run=network, journal=journal)


def test_the_faster_precision_is_chosen(network, monkeypatch):
    clips = np.zeros((2, *ClipShape(**dataclasses.asdict(tiny.SHAPE)).array), np.uint8)
    for seconds, chosen in ((1.0, "bfloat16"), (2.0, "float32")):
        monkeypatch.setattr(
            precision, "_seconds", lambda *_, s=seconds: {"float32": 2.0, "bfloat16": s}
        )
        found = choose(network, clips, "savedmodel", "auto")
        assert found["precision"] == chosen
        assert found["bfloat16"]["speedup"] == 2.0 / seconds
    assert not is_faster({"float32": 1.1, "bfloat16": 1.0})  # noise decides nothing


def test_changes():
    exact = np.array([[0.6, 0.4], [0.5, 0.5]], np.float32)
    rough = np.array([[0.4, 0.6], [0.5, 0.5]], np.float32)
    found = changes(exact, rough)
    assert (found["clips"], found["changed_classes"]) == (2, 1)
    assert found["largest_change"] == pytest.approx(0.2)
    assert found["mean_change"] == pytest.approx(0.1)


@pytest.mark.slow  # a conversion in a process of its own
def test_openvino_is_measured_in_openvino(network, tmp_path):
    file = export(network, "openvino", precision="bfloat16", to=tmp_path / "openvino")
    inference = json.loads((file.parent / "preprocessor.json").read_text())["inference"]
    assert inference["openvino"] == {"INFERENCE_PRECISION_HINT": "bf16"}
    assert inference["bfloat16"]["largest_change"] > 0


def test_what_cannot_compute_in_bfloat16_is_refused(network, tmp_path, user_error):
    for format in ("onnx", "litert"):
        with user_error("`precision`", format):
            export(network, format, precision="bfloat16", to=tmp_path / format)
    with user_error("`precision`"):
        export(network, precision="float16", to=tmp_path / "m")
    assert not list(tmp_path.iterdir())
