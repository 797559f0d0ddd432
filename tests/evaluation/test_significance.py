from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.evaluation.significance import difference, holm, mcnemar

ANSWERS = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 5)), min_size=1)


def test_mcnemar_of_a_case_done_by_hand():
    # Only the first had 7 right, only the second 1: p = 2 (C(8,0) + C(8,1)) / 2^8 = 18 / 256.
    one = np.array([True] * 7 + [False] + [True] * 4 + [False] * 3)
    other = np.array([False] * 7 + [True] + [True] * 4 + [False] * 3)
    assert mcnemar(one, other) == (7, 1, 18 / 256)
    assert mcnemar(other, one) == (1, 7, 18 / 256)


def test_mcnemar_without_a_difference():
    assert mcnemar([True, False], [True, False]) == (0, 0, 1.0)
    assert mcnemar([True, False], [False, True]) == (1, 1, 1.0)


def test_mcnemar_of_more_videos_than_a_float_can_count():
    one = np.arange(4000) < 2100
    p = mcnemar(one, ~one)[2]
    assert p == pytest.approx(0.00166, abs=5e-5)  # the normal approximation, z = 199 / sqrt(4000)


@given(ANSWERS)
def test_mcnemar_agrees_with_the_sum_of_binomials(answers):
    one, other, _ = map(np.array, zip(*answers, strict=True))
    first, second, p = mcnemar(one, other)
    tail = sum(comb(first + second, k) for k in range(min(first, second) + 1))
    assert p == pytest.approx(min(1, 2 * tail / 2 ** (first + second)), rel=1e-12)


@given(ANSWERS)
def test_a_difference_is_turned_by_turning_the_two(answers):
    one, other, numbers = map(np.array, zip(*answers, strict=True))
    groups = tuple(f"g{n}" if n else None for n in numbers)
    gap, interval, _ = difference(one, other, groups)
    assert gap == pytest.approx(one.mean() - other.mean())
    assert interval is None or -1 <= interval[0] < interval[1] <= 1
    turned, _, _ = difference(other, one, groups)
    assert turned == -gap


def test_groups_widen_the_interval():
    """Twenty recordings of ten videos that are right or wrong together are twenty facts."""
    one = np.repeat(np.arange(20) < 8, 10)
    other = np.zeros(200, bool)
    _, alone, of_videos = difference(one, other, (None,) * 200)
    _, grouped, of_groups = difference(one, other, tuple(f"g{n // 10}" for n in range(200)))
    assert grouped[1] - grouped[0] > 2.5 * (alone[1] - alone[0])
    assert "200 videos" in of_videos and "20 groups" in of_groups


def test_two_that_never_differ_are_not_called_equal_for_certain():
    right = np.ones(30, bool)
    gap, interval, method = difference(right, right, (None,) * 30)
    assert gap == 0.0
    assert interval == pytest.approx([-0.116, 0.116], abs=1e-3)  # 1 - 0.025^(1/30)
    assert "exact binomial bound over 30 videos" in method


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("one", "other"), [([1, 1], [0, 0]), ([1, 0], [1, 0])])
def test_a_difference_over_one_group_has_no_interval(one, other):
    gap, interval, method = difference(np.array(one, bool), np.array(other, bool), ("a", "a"))
    assert gap == (sum(one) - sum(other)) / 2
    assert interval is None and "cannot be estimated" in method
