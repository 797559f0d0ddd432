"""The signatures of a network with a calibration say what they accept, and clients of files get the same."""

import json
import re

import cv2
import numpy as np
import pytest
import tensorflow as tf
import tiny  # tests/serving/tiny.py
from processes import ROOT  # tests/processes.py

from ar3d_keras.inference.calibration import Calibration
from ar3d_keras.inference.classifier import describe
from ar3d_keras.serving.signatures import signatures

EXTRA = {"calibrated_probabilities", "accepted"}


@pytest.fixture(scope="module")
def model():
    return tiny.network()


def test_outputs_equal_the_calibration(model):
    clips = tiny.random_clips(6, model)
    clips //= np.arange(1, 7, dtype=np.uint8)[:, None, None, None, None]
    probabilities = model.predict_on_batch(clips)
    middle = float(np.median(Calibration(1.7).calibrate(probabilities).max(axis=1)))
    thresholds = dict.fromkeys(tiny.CLASS_NAMES, middle + 1e-4)
    calibration = Calibration(1.7, thresholds, 0.1)
    found = signatures(model, describe(tiny.CLASS_NAMES, tiny.SHAPE, {}, calibration))
    outputs = found["serving_default"].function(tf.constant(clips))
    np.testing.assert_allclose(
        outputs["calibrated_probabilities"], calibration.calibrate(probabilities), atol=1e-5
    )
    accepted = calibration.accept(probabilities, tiny.CLASS_NAMES)
    assert outputs["accepted"].numpy().tolist() == accepted.tolist()
    assert 0 < accepted.sum() < 6
    frames = found["frames"].function(tf.constant(np.zeros((2, 9, 12, 16, 3), np.uint8)))
    assert frames["accepted"].shape == (2,)
    assert frames["calibrated_probabilities"].shape == (2, len(tiny.CLASS_NAMES))


@pytest.mark.parametrize("never", [False, True])
def test_the_documented_client_of_a_file_gets_the_same(model, never):
    """The code of docs/formats.md, with preprocessor.json and the probabilities of a file."""
    text = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "calibrated" in c)
    names = tiny.CLASS_NAMES
    clips = tiny.random_clips(6, model)
    clips //= np.arange(1, 7, dtype=np.uint8)[:, None, None, None, None]
    probabilities = model.predict_on_batch(clips)
    middle = float(np.median(Calibration(0.6).calibrate(probabilities).max(axis=1)))
    thresholds = dict.fromkeys(names, None if never else middle + 1e-4)
    description = describe(names, tiny.SHAPE, {}, Calibration(0.6, thresholds, 0.1))
    outputs = signatures(model, description)["serving_default"].function(tf.constant(clips))
    client = {"np": np, "class_names": names, "probabilities": probabilities}
    exec(code, client | {"description": {}})  # without a calibration
    exec(code, client := client | {"description": json.loads(json.dumps(description))})
    np.testing.assert_allclose(client["calibrated"], outputs["calibrated_probabilities"], atol=1e-6)
    assert client["accepted"].tolist() == outputs["accepted"].numpy().tolist()
    assert client["accepted"].any() != never


def test_an_image_that_cannot_be_decoded_is_not_accepted(model):
    # Everything would be accepted.
    calibration = Calibration(1.0, dict.fromkeys(tiny.CLASS_NAMES, 0.0), 0.1)
    found = signatures(model, describe(tiny.CLASS_NAMES, tiny.SHAPE, {}, calibration))
    image = cv2.imencode(".jpg", np.zeros((12, 16, 3), np.uint8))[1].tobytes()
    outputs = found["jpeg"].function(tf.constant([[image] * 4, [b"no image"] * 4]))
    assert outputs["accepted"].numpy().tolist() == [True, False]
    assert not outputs["calibrated_probabilities"].numpy()[1].any()


def test_without_thresholds_and_without_a_calibration(model):
    clips = tf.constant(tiny.random_clips(1, model))
    for calibration, extra in ((Calibration(2.0), {"calibrated_probabilities"}), (None, set())):
        description = describe(tiny.CLASS_NAMES, tiny.SHAPE, {}, calibration)
        assert ("calibration" in description) == bool(extra)
        outputs = signatures(model, description)["serving_default"].function(clips)
        assert outputs.keys() & EXTRA == extra
