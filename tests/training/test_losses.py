import keras
import numpy as np
import pytest

from ar3d_keras.training.losses import crossentropy

pytestmark = pytest.mark.multi_backend
LABELS = np.array([2, 0, 1])
PROBABILITIES = np.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25], [0.3, 0.3, 0.4]], np.float32)


def value(loss, weights=None):
    return float(keras.ops.convert_to_numpy(loss(LABELS, PROBABILITIES, sample_weight=weights)))


def test_without_smoothing_it_is_the_log_of_the_labels_probability():
    assert value(crossentropy()) == pytest.approx(-np.log([0.7, 0.5, 0.3]).mean(), rel=1e-5)


def test_smoothing_leaves_a_share_to_every_class():
    target = 0.7 * np.eye(3)[LABELS] + 0.3 / 3
    expected = -(target * np.log(PROBABILITIES)).sum(1).mean()
    assert value(crossentropy(0.3)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_shares_of_classes_are_smoothed_as_integers_are(smoothing):
    shares = np.eye(3, dtype=np.float32)[LABELS]
    soft = crossentropy(smoothing, soft_labels=True)(shares, PROBABILITIES)
    expected = pytest.approx(value(crossentropy(smoothing)), rel=1e-5)
    assert float(keras.ops.convert_to_numpy(soft)) == expected


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_a_clip_of_weight_zero_counts_nowhere(smoothing):
    loss = crossentropy(smoothing)
    weighted = value(loss, np.array([1.0, 1.0, 0.0], np.float32))
    kept = loss(LABELS[:2], PROBABILITIES[:2])
    assert weighted == pytest.approx(float(keras.ops.convert_to_numpy(kept)), rel=1e-5)


def test_config_round_trip():
    loss = crossentropy(0.2)
    float32_model = keras.losses.deserialize(keras.losses.serialize(loss))
    assert value(float32_model) == value(loss)


@pytest.mark.multi_backend
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("soft", [False, True])
def test_class_weights_are_not_cancelled_within_a_batch(smoothing, soft):
    probabilities = np.array([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]], np.float32)
    labels, weights = np.array([0, 1, 1]), np.array([0.5, 2.0, 2.0], np.float32)
    targets = np.eye(2)[labels] * (1 - smoothing) + smoothing / 2
    losses = -(targets * np.log(probabilities)).sum(axis=1)
    loss = crossentropy(smoothing, soft_labels=soft, class_weighted=True)
    given = np.eye(2, dtype=np.float32)[labels] if soft else labels
    assert float(loss(given, probabilities, weights)) == pytest.approx((losses * weights).sum() / 3)
    plain = crossentropy(smoothing, soft_labels=soft)
    expected = (losses * weights).sum() / weights.sum()
    assert float(plain(given, probabilities, weights)) == pytest.approx(expected)
