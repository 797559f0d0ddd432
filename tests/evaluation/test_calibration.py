"""Calibration by hand: small arrays whose numbers can be worked out on paper."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from ar3d_keras import Evaluation
from ar3d_keras.evaluation.calibration import (
    calibration_metrics,
    check_reject_error,
    confidence_of,
    fit_calibration,
    fit_temperature,
    fit_threshold,
    least_videos,
    negative_log_likelihood,
    reliability,
)
from ar3d_keras.inference.calibration import Calibration


def test_expected_calibration_error_by_hand():
    # Four bins: (0, .25], (.25, .5], (.5, .75], (.75, 1]. An edge belongs to the bin below it.
    confidence = np.array([0.5, 0.4, 0.6, 0.9, 1.0])
    bins = reliability(confidence, np.array([True, False, True, True, False]), bins=4)
    assert bins.counts.tolist() == [0, 2, 1, 2]
    assert bins.confidence[1:] == pytest.approx([0.45, 0.6, 0.95])
    assert bins.accuracy[1:] == pytest.approx([0.5, 1, 0.5])
    # 2/5 * 0.05 + 1/5 * 0.4 + 2/5 * 0.45
    assert bins.error == pytest.approx(0.28)


def test_zero_confidence_is_in_the_first_bin():
    assert reliability(np.zeros(3), np.zeros(3, bool)).counts[0] == 3


def test_the_temperature_of_logits_is_found_again():
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (20_000, 5))
    labels = np.array([random.choice(5, p=p) for p in softmax(logits, axis=1)])
    temperature, note = fit_temperature(softmax(logits * 3, axis=1), labels)
    assert temperature == pytest.approx(3, rel=0.05)
    assert note is None


def test_temperature_one_is_kept_where_val_has_no_error():
    assert fit_temperature(np.array([[0.6, 0.4]] * 9), np.zeros(9, int))[0] == 1
    temperature, note = fit_temperature(np.array([[0.9, 0.1]] * 9), np.arange(9).clip(0, 1))
    assert temperature > 5
    assert note  # worse than chance at its confidence: the highest temperature


probabilities = arrays(
    np.float32, st.tuples(st.integers(2, 30), st.integers(2, 6)), elements=st.floats(0, 1, width=32)
).map(
    lambda values: (values + np.float32(1e-6)) / (values + np.float32(1e-6)).sum(1, keepdims=True)
)


@given(probabilities, st.floats(0.1, 10))
def test_temperature_never_changes_the_likeliest_class(given_probabilities, temperature):
    calibrated = Calibration(temperature).calibrate(given_probabilities)
    best = given_probabilities.argmax(axis=1)
    assert (calibrated[np.arange(len(best)), best] == calibrated.max(axis=1)).all()
    np.testing.assert_allclose(calibrated.sum(axis=1), 1, atol=1e-5)


@given(probabilities, st.integers(0, 99), st.sampled_from([0.05, 0.1, 0.2, 0.34, 0.5, 0.9]))
def test_the_accepted_val_videos_never_have_more_errors(given_probabilities, seed, error):
    videos, classes = given_probabilities.shape
    labels = np.random.default_rng(seed).integers(0, classes, videos)
    made = _evaluation(given_probabilities, labels)
    calibration, _ = fit_calibration(made, error)
    accepted = calibration.accept(made.probabilities, made.class_names)
    for number in range(classes):
        of_class = made.predicted == number
        if of_class.sum() >= least_videos(error) and (accepted & of_class).any():
            assert (~made.correct)[accepted & of_class].mean() <= error
    if accepted.any():
        assert accepted.sum() >= least_videos(error)
        assert (~made.correct)[accepted].mean() <= error


@given(probabilities, st.integers(0, 99))
def test_the_fitted_temperature_is_no_worse_than_none(given_probabilities, seed):
    videos, classes = given_probabilities.shape
    labels = np.random.default_rng(seed).integers(0, classes, videos)
    calibrated = Calibration(fit_temperature(given_probabilities, labels)[0])
    before = negative_log_likelihood(given_probabilities, labels)
    after = negative_log_likelihood(calibrated.calibrate(given_probabilities), labels)
    assert after <= before + 1e-4


def _evaluation(shares, labels, groups=None):
    videos, classes = np.shape(shares)
    return Evaluation(
        class_names=tuple("abcdef"[:classes]),
        paths=tuple(f"{n}.avi" for n in range(videos)),
        labels=np.asarray(labels),
        probabilities=np.asarray(shares, np.float32),
        groups=groups or (None,) * videos,
    )


@pytest.mark.parametrize(
    ("confidence", "correct", "error", "expected"),
    [
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0], 0.5, 0.6),  # all: 2 of 4
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0], 0.34, 0.7),  # 1 of 3
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0], 0.25, None),  # it needs 4 videos
        ([0.6, 0.9, 0.9, 0.9], [1, 1, 0, 0], 0.5, 0.6),  # equal ones are accepted together
        ([0.9, 0.9, 0.9], [1, 0, 0], 0.5, None),
        ([0.9, 0.8], [0, 0], 0.5, None),
        ([], [], 0.5, None),
    ],
)
def test_threshold_by_hand(confidence, correct, error, expected):
    found = fit_threshold(np.float32(confidence), np.array(correct, bool), error)
    assert found == (expected if expected is None else pytest.approx(expected, abs=2e-6))
    if found is not None:
        assert found < min(c for c in np.float32(confidence) if c >= expected - 1e-3)


def test_classes_with_few_val_videos_share_a_threshold_and_unseen_ones_are_rejected():
    # Error 0.5 needs 2 videos. a: 3 predicted, with its own; b and c: 1 each; d: none.
    shares = np.full((5, 4), 0.05)
    for row, (place, share) in enumerate([(0, 0.9), (0, 0.8), (0, 0.6), (1, 0.7), (2, 0.75)]):
        shares[row, place] = share
    shares /= shares.sum(axis=1, keepdims=True)
    made = _evaluation(shares, [0, 3, 3, 1, 3])
    calibration, notes = fit_calibration(made, 0.5)
    confidence = confidence_of(made, calibration)
    assert calibration.thresholds == {
        "a": pytest.approx(confidence[1], abs=2e-6),
        "b": pytest.approx(confidence[3], abs=2e-6),
        "c": pytest.approx(confidence[3], abs=2e-6),
        "d": None,
    }
    assert len(notes) == 2
    accepted = calibration.accept(made.probabilities, made.class_names)
    assert accepted.tolist() == [True, True, False, True, True]
    assert not calibration.accept(np.float32([0, 0, 0, 1]), made.class_names)


def test_rejection_on_test_with_its_interval():
    shares = np.array([[0.9, 0.1]] * 8 + [[0.6, 0.4]] * 4)
    made = _evaluation(shares, [0] * 6 + [1] * 2 + [1] * 4, groups=tuple("wwxxyyzzuuvv"))
    computed = calibration_metrics(made, Calibration(1.0, {"a": 0.8, "b": None}, 0.1))
    rejection = computed["rejection"]
    assert (rejection["accepted_videos"], rejection["error"]) == (8, 0.25)
    assert rejection["accepted"] == pytest.approx(2 / 3)
    low, high = rejection["error_interval"]
    assert low <= 0.25 <= high
    assert computed["calibrated"]["expected_calibration_error"] == pytest.approx(
        computed["expected_calibration_error"]
    )
    assert computed["expected_calibration_error"] == pytest.approx((8 * 0.15 + 4 * 0.6) / 12)
    nothing = calibration_metrics(made, Calibration(1.0, {"a": None, "b": None}, 0.1))["rejection"]
    assert (nothing["accepted"], nothing["error"], nothing["error_interval"]) == (0, None, None)
    assert calibration_metrics(made, None).keys() == {"expected_calibration_error"}


@pytest.mark.parametrize("error", [0, 1, -0.1, 2, float("nan")])
def test_an_error_outside_of_0_to_1_is_no_option(error, user_error):
    with user_error("`reject_error`"):
        check_reject_error(error, 1000)


def test_a_small_val_split_supports_no_small_error(user_error):
    with user_error("`reject_error`", "20", "19"):
        check_reject_error(0.05, 19)
    check_reject_error(0.05, 20)
    check_reject_error(None, 0)
