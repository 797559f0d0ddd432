"""What twice the videos would bring: known curves, and what is no curve."""

import numpy as np
import pytest

from ar3d_keras.evaluation.data_curve import data_curve

GROUPS = [f"g{n // 10}" for n in range(400)]


def drawn(errors, seed=0, groups=GROUPS):
    """Which test videos are right at each point; a video that is once right stays right."""
    difficulty = np.random.default_rng(seed).permutation(
        (np.arange(len(groups)) + 0.5) / len(groups)
    )
    return np.stack([difficulty > error for error in errors])


def test_a_power_law_is_continued():
    videos = [50, 100, 200]
    errors = [0.8 * (n / 50) ** -0.5 for n in videos]
    curve = data_curve(videos, drawn(errors), GROUPS)
    assert curve.justified
    assert curve.gain == pytest.approx(0.4 - 0.4 * 2**-0.5, abs=0.03)
    low, high = curve.gain_interval
    assert 0 < low < curve.gain < high
    assert f"{curve.gain:+.3f}" in curve.sentence and "400 instead of 200" in curve.sentence
    assert curve.top1 == pytest.approx([0.2, 0.434, 0.6], abs=0.003)


def test_the_interval_holds_what_twice_the_videos_bring():
    """Over 40 test sets, at least 85 % of the intervals; of videos that are drawn anew."""
    videos, hits = [50, 100, 200, 400], 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        errors = [0.7 * (n / 50) ** -0.4 for n in videos]
        correct = np.stack([draw.random(400) > error for error in errors])
        low, high = data_curve(videos[:3], correct[:3], GROUPS).gain_interval
        hits += low <= errors[2] - errors[3] <= high
    assert hits >= 34


@pytest.mark.parametrize(
    ("videos", "errors", "groups"),
    [
        ([100, 200], [0.6, 0.4], GROUPS),  # two points
        ([50, 100, 200], [0.4, 0.4, 0.4], GROUPS),  # flat
        ([50, 100, 200], [0.3, 0.35, 0.4], GROUPS),  # falling
        ([50, 100, 200], [0.6, 0.4, 0.0], GROUPS),  # nothing left to gain
        ([50, 100, 200], [0.6, 0.4, 0.2], ["a", "b", "c", "d"] * 100),  # four groups
    ],
)
def test_where_nothing_can_be_said_it_says_so(videos, errors, groups):
    curve = data_curve(videos, drawn(errors), groups)
    assert not curve.justified
    assert curve.sentence
    assert (curve.gain is None) == (len(videos) == 2)
