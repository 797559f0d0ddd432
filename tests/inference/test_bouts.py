"""Windows to stretches: by hand, and what always holds."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.inference.bouts import NOTHING, Bout, BoutOptions, find_bouts

SECONDS = np.array([(n, n + 1) for n in range(8)], float)


def shares(*first):
    """Probabilities of two classes."""
    first = np.array(first, np.float64)
    return np.stack([first, 1 - first], axis=1)


def stretches(times, probabilities, **options):
    found = find_bouts(times, probabilities, BoutOptions(**options))
    return [(bout.start, bout.end, bout.place) for bout in found]


def test_without_options_windows_of_one_class_are_joined():
    found = find_bouts(SECONDS[:4], shares(0.75, 1, 0.25, 0.75))
    assert found == [Bout(0, 2, 0, 0.875), Bout(2, 3, 1, 0.75), Bout(3, 4, 0, 0.75)]
    assert find_bouts(np.empty((0, 2)), np.empty((0, 2))) == []


def test_smoothing_by_hand():
    probabilities = shares(0.9, 0.9, 0.3, 0.9, 0.9, 0.1, 0.1, 0.1)
    # Over 3 seconds: 0.9, 0.7, 0.7, 0.7, 0.63, 0.37, 0.1, 0.1
    assert stretches(SECONDS, probabilities, smooth_seconds=2) == [(0, 5, 0), (5, 8, 1)]
    first = find_bouts(SECONDS[:2], shares(1, 0.7), BoutOptions(smooth_seconds=2))[0]
    assert first.probability == pytest.approx(0.85)


def test_nothing_crosses_a_gap():
    times = np.array([(0, 1), (1, 2), (100, 101), (101, 102)], float)
    probabilities = shares(0.9, 0.9, 0.2, 0.2)
    expected = [(0, 2, 0), (100, 102, 1)]
    assert stretches(times, probabilities) == expected
    assert stretches(times, probabilities, smooth_seconds=1000) == expected
    # A piece of its own that is too short has no neighbor to belong to.
    assert stretches(times, probabilities, min_seconds=3) == [(0, 2, -1), (100, 102, -1)]


def test_a_short_stretch_belongs_to_its_longer_neighbor():
    # a: 3 s, b: 1 s, a: 1 s, b: 3 s. The first short one joins the left, then both are a.
    probabilities = shares(1, 1, 1, 0, 1, 0, 0, 0)
    assert stretches(SECONDS, probabilities, min_seconds=2) == [(0, 5, 0), (5, 8, 1)]
    assert stretches(SECONDS, probabilities, min_seconds=1) == [
        (0, 3, 0), (3, 4, 1), (4, 5, 0), (5, 8, 1),
    ]  # fmt: skip


def test_hysteresis_by_hand():
    probabilities = np.array([0.2, 0.5, 0.8, 0.5, 0.2, 0.5, 0.5, 0.1])[:, None]
    found = stretches(SECONDS, probabilities, high=0.7, low=0.4)
    assert found == [(0, 1, NOTHING), (1, 4, 0), (4, 8, NOTHING)]
    assert stretches(SECONDS, probabilities, high=0.7) == [
        (0, 2, NOTHING), (2, 3, 0), (3, 8, NOTHING),
    ]  # fmt: skip
    both = np.array([[0.9, 0.1], [0.45, 0.55], [0.1, 0.9]])  # the likelier of two possible ones
    assert stretches(SECONDS[:3], both, high=0.8, low=0.4) == [(0, 1, 0), (1, 3, 1)]


def test_overlapping_windows_meet_in_the_middle():
    times = np.array([(0, 4), (2, 6), (4, 8)], float)
    assert stretches(times, shares(1, 0, 1)) == [(0, 3, 0), (3, 5, 1), (5, 8, 0)]


def test_rejected_windows_have_no_class():
    found = find_bouts(
        SECONDS[:3], shares(0.9, 0.6, 0.1), accept=lambda each: each.max(axis=1) > 0.7
    )
    assert [bout.place for bout in found] == [0, NOTHING, 1]
    assert found[1].probability == 0.6


windows = st.lists(st.tuples(st.sampled_from([0.25, 1]), st.booleans()), min_size=1, max_size=30)


@given(
    windows,
    st.integers(0, 999),
    st.sampled_from([0, 0.5, 3]),
    st.sampled_from([0, 1, 2.5]),
    st.sampled_from([None, 0.5]),
)
def test_every_second_has_exactly_one_stretch(lengths, seed, smooth_seconds, min_seconds, high):
    times, time = [], 0.0
    for length, gap in lengths:
        time += 10 * gap
        times.append((time, time + length))
        time += length
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(3), len(times))
    options = BoutOptions(smooth_seconds, min_seconds, high, high and 0.3)
    found = find_bouts(np.array(times), probabilities, options)
    total = sum(length for length, _ in lengths)
    assert sum(bout.end - bout.start for bout in found) == pytest.approx(total)
    for one, other in pairwise(found):
        assert one.end <= other.start
        assert one.end < other.start or one.place != other.place
        # Two adjoining stretches are both long enough.
        if one.end == other.start:
            assert min(b.end - b.start for b in (one, other)) >= min_seconds - 0.001


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"smooth_seconds": -1}, "smooth_seconds"),
        ({"min_seconds": float("nan")}, "min_seconds"),
        ({"high": 0}, "high_threshold"),
        ({"high": 0.5, "low": 0.6}, "low_threshold"),
        ({"low": 0.6}, "low_threshold"),
    ],
)
def test_values_out_of_range_are_one_line(options, name, user_error):
    with user_error(f"`{name}`"):
        BoutOptions(**options).validate()
