"""Event scores on intervals made by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.evaluation.events import Event, event_scores, match, mean_f1, overlap, right_seconds


def test_overlap():
    assert overlap(Event("v", "a", 0, 10), Event("v", "a", 5, 15)) == pytest.approx(1 / 3)
    assert overlap(Event("v", "a", 0, 1), Event("v", "a", 1, 2)) == 0


def test_scores_by_hand():
    labeled = [Event("v", "a", 0, 10), Event("v", "b", 20, 30), Event("w", "a", 0, 10)]
    predicted = [
        Event("v", "a", 0, 8, 0.9),  # 0.8
        Event("v", "b", 20, 34, 0.8),  # 10/14 = 0.71
        Event("w", "a", 5, 12, 0.7),  # 5/12 = 0.42
        Event("w", "b", 0, 10, 0.6),  # another class
    ]
    scores = event_scores(predicted, labeled)
    assert [scores[iou]["true_positives"] for iou in ("0.3", "0.5", "0.7")] == [3, 2, 2]
    assert scores["0.3"]["precision"] == 0.75
    assert scores["0.3"]["recall"] == 1
    assert scores["0.5"]["f1"] == pytest.approx(4 / 7)
    assert mean_f1(scores) == pytest.approx((6 / 7 + 4 / 7 + 4 / 7) / 3)


def test_an_event_is_matched_once_and_the_most_confident_prediction_chooses_first():
    labeled = [Event("v", "a", 0, 10)]
    predicted = [Event("v", "a", 0, 10, 0.1), Event("v", "a", 0, 9, 0.9)]
    assert match(predicted, labeled, 0.5) == (1, 1, 0)
    # The confident one takes the event with the larger overlap and leaves the other.
    labeled = [Event("v", "a", 0, 10), Event("v", "a", 8, 20)]
    predicted = [Event("v", "a", 6, 20, 0.9), Event("v", "a", 0, 10, 0.1)]
    assert match(predicted, labeled, 0.5) == (2, 0, 0)


def test_scores_of_nothing():
    scores = event_scores([], [])
    assert scores["0.5"]["precision"] is scores["0.5"]["recall"] is scores["0.5"]["f1"] is None
    assert event_scores([], [Event("v", "a", 0, 1)])["0.5"]["f1"] == 0


def test_right_seconds_by_hand():
    predicted = [Event("v", "a", 0, 4), Event("v", "b", 4, 6)]
    labeled = [Event("v", "a", 1, 5), Event("v", "b", 5, 7)]
    # Right: 1-4 a, 5-6 b, 8-10 nothing. 7-8 is not covered, nor is anything after 10.
    covered = [(0, 7), (8, 10)]
    assert right_seconds(predicted, labeled, covered) == pytest.approx((6, 9))
    assert right_seconds([], [], [(0, 2)]) == (2, 2)
    # Where labels overlap, either is right.
    both = [Event("v", "a", 0, 2), Event("v", "b", 0, 2)]
    assert right_seconds([Event("v", "b", 0, 2)], both, [(0, 2)]) == (2, 2)


events = st.lists(
    st.builds(
        lambda label, start, length, score: Event("v", label, start, start + length, score),
        st.sampled_from("ab"), st.integers(0, 20), st.integers(1, 9), st.floats(0, 1),
    ),
    max_size=8,
)  # fmt: skip


@given(events, events)
def test_a_stricter_overlap_matches_no_more(predicted, labeled):
    counts = [match(predicted, labeled, iou).true_positives for iou in (0.1, 0.5, 0.9)]
    assert counts[0] <= min(len(predicted), len(labeled))
    assert counts[2] <= counts[0]


@given(events)
def test_labels_as_predictions_are_perfect(labeled):
    scores = event_scores(labeled, labeled)
    assert all(each["f1"] in (None, 1.0) for each in scores.values())
