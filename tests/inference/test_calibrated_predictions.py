"""A calibration in the network's file, in predictions and in their documents."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from ar3d_keras import Conv3DClassifier, load_model
from ar3d_keras.inference.calibration import Calibration, read_calibration
from ar3d_keras.inference.formatting import as_csv, as_json
from ar3d_keras.inference.predictor import Prediction
from ar3d_keras.inference.timeline import SegmentPrediction
from ar3d_keras.serving.signatures import calibrated_outputs

NAMES = ("a", "b", "c")
CALIBRATION = Calibration(2.0, {"a": 0.5, "b": 0.45, "c": None}, 0.05)
SHARES = np.float32([[0.64, 0.32, 0.04], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [1, 0, 0]])


def test_calibrated_probabilities_by_hand():
    # A temperature of 2 takes square roots.
    roots = np.sqrt([0.64, 0.32, 0.04])
    np.testing.assert_allclose(CALIBRATION.calibrate(SHARES)[0], roots / roots.sum(), rtol=1e-6)
    np.testing.assert_allclose(Calibration(1.0).calibrate(SHARES), SHARES, rtol=1e-6, atol=1e-30)
    assert CALIBRATION.accept(SHARES, NAMES).tolist() == [True, True, False, True]
    assert Calibration(2.0).accept(SHARES, NAMES).all()


def test_tensorflow_computes_the_same():
    import tensorflow as tf

    outputs = calibrated_outputs(CALIBRATION, NAMES, tf.constant(SHARES))
    np.testing.assert_allclose(
        outputs["calibrated_probabilities"], CALIBRATION.calibrate(SHARES), atol=1e-6
    )
    assert outputs["accepted"].numpy().tolist() == [True, True, False, True]
    assert calibrated_outputs(Calibration(2.0), NAMES, SHARES).keys() == {
        "calibrated_probabilities"
    }


@pytest.mark.multi_backend
def test_the_file_of_a_network_keeps_it(tmp_path):
    network = Conv3DClassifier(
        3, frames=2, height=4, width=4, filters=2, pool=2, dense=3, class_names=NAMES
    )
    assert "calibration" not in network.get_config()
    network.calibration = CALIBRATION
    network.save(tmp_path / "n.keras")
    loaded = load_model(tmp_path / "n.keras")
    assert loaded.calibration == CALIBRATION
    for one, other in zip(network.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "damaged",
    [
        {"temperature": 0},
        {"temperature": "warm"},
        {},
        {"temperature": 1, "thresholds": {"a": 0.5}},
        {"temperature": 1, "thresholds": {"a": 0.5, "b": 1.5, "c": None}},
        {"temperature": 1, "colour": 2},
    ],
)
def test_a_damaged_calibration_is_one_line(damaged, user_error):
    with user_error("`calibration`"):
        read_calibration(damaged, NAMES)


def test_documents_add_to_what_they_said_before(classifier):
    names = classifier.class_names
    calibration = Calibration(2.0, dict(zip(names, (0.5, 0.45, None), strict=True)), 0.05)
    segments = tuple(SegmentPrediction(n, n + 1, shares) for n, shares in enumerate(SHARES[:3]))
    plain = [Prediction("v", names, SHARES[2]), Prediction("w", names, SHARES[0], segments)]
    calibrated = [dataclasses.replace(p, calibration=calibration) for p in plain]
    before = json.loads(as_json(classifier, plain, settings={}))
    after = json.loads(
        as_json(dataclasses.replace(classifier, calibration=calibration), calibrated, settings={})
    )
    assert after.pop("calibration")["thresholds"] == calibration.thresholds
    assert [video["accepted"] for video in after["videos"]] == [False, True]
    assert [video["label"] for video in after["videos"]] == ["none of these", names[0]]
    assert [w["accepted"] for w in after["videos"][1]["windows"]] == [True, True, False]
    for entry in (*after["videos"], *after["videos"][1]["windows"]):
        assert np.float32(entry.pop("calibrated")).sum() == pytest.approx(1)
        del entry["accepted"], entry["label"]
    before["videos"][1].pop("timeline")
    assert [stretch["class"] for stretch in after["videos"][1].pop("timeline")] == [
        names[0],
        names[1],
        "none of these",
    ]
    assert after == before
    old, new = (list(csv.reader(as_csv(p).decode().splitlines())) for p in (plain, calibrated))
    assert [row[:6] for row in new] == old
    assert new[0][6:] == ["calibrated", "accepted"]
    assert [row[7] for row in new[1:]] == ["0"] * 3 + ["1"] * 6 + ["0"] * 3
    assert float(new[1][6]) == CALIBRATION.calibrate(SHARES[2]).max()
