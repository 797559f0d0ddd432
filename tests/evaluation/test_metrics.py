import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.metrics import (
    Evaluation,
    confusion_matrix,
    metrics,
    most_confused,
    per_class,
    scores,
    top1_interval,
    top_k,
)


def evaluation(probabilities, labels, groups=None, skipped=(), classes=None):
    probabilities = np.asarray(probabilities, np.float32)
    videos, count = probabilities.shape
    return Evaluation(
        class_names=tuple(classes or (f"class{c}" for c in range(count))),
        paths=tuple(f"v{i}.avi" for i in range(videos)),
        labels=np.asarray(labels, np.int64),
        probabilities=probabilities,
        groups=tuple(groups or [None] * videos),
        skipped=tuple(skipped),
    )


@st.composite
def evaluations(draw):
    """Any evaluation: few or many classes, ties, classes without videos, groups or none."""
    videos, count = draw(st.integers(1, 30)), draw(st.integers(1, 9))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = random.integers(0, 4, (videos, count)) * draw(st.sampled_from([0.0, 0.5, 40.0]))
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    groups = [None if g == 0 else f"g{g}" for g in random.integers(0, 6, videos)]
    known = draw(st.booleans())
    return evaluation(probabilities, random.integers(0, count, videos), groups if known else None)


def without_interval(figures):
    return {k: v for k, v in figures.items() if k not in ("top1_interval", "interval_method")}


def test_figures_of_a_case_done_by_hand():
    judged = evaluation(
        [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1]], [0, 1, 1, 1]
    )
    figures = metrics(judged)
    assert figures["top1"] == pytest.approx(2 / 4)
    assert (figures["top5"], figures["top5_k"]) == (1.0, 3)
    assert figures["mean_class_accuracy"] == pytest.approx((1 + 1 / 3) / 2)  # class2 has no video
    assert figures["loss"] == pytest.approx(-np.log([0.7, 0.4, 0.8, 0.3]).mean(), rel=1e-6)
    assert (figures["videos"], figures["skipped"]) == (4, 0)
    assert "top1_counting_skipped_as_wrong" not in figures
    assert confusion_matrix(judged).tolist() == [[1, 0, 0], [2, 1, 0], [0, 0, 0]]
    assert most_confused(judged) == [("class1", "class0", 2, pytest.approx(2 / 3))]
    rows = per_class(judged)
    assert [row["class"] for row in rows] == ["class0", "class1", "class2"]
    assert [row["videos"] for row in rows] == [1, 3, 0]
    assert [row["precision"] for row in rows] == pytest.approx([1 / 3, 1, 0])
    assert [row["recall"] for row in rows] == pytest.approx([1, 1 / 3, 0])
    assert [row["f1"] for row in rows] == pytest.approx([1 / 2, 1 / 2, 0])


def test_the_loss_of_a_sure_and_wrong_answer_is_clipped_as_keras_does():
    assert metrics(evaluation([[1, 0]], [1]))["loss"] == pytest.approx(-np.log(1e-7))
    assert metrics(evaluation([[1, 0]], [0]))["loss"] == pytest.approx(1e-7, rel=1e-3)


def test_skipped_videos_are_counted_and_named_as_wrong_beside_top1():
    judged = evaluation([[0.9, 0.1]] * 3, [0, 0, 1], skipped=[("a.avi", "broken")])
    figures = metrics(judged)
    assert figures["skipped"] == 1
    assert figures["top1"] == pytest.approx(2 / 3)
    assert figures["top1_counting_skipped_as_wrong"] == pytest.approx(2 / 4)


def test_equal_probabilities_keep_the_order_of_the_classes():
    assert top_k(np.full((2, 200), 0.005, np.float32), 5).tolist() == [[0, 1, 2, 3, 4]] * 2
    assert top_k(np.array([[0.2, 0.4, 0.4]]), 2).tolist() == [[1, 2]]
    assert top_k(np.array([[0.2, 0.8]]), 5).tolist() == [[1, 0]]


def test_most_confused_lists_the_most_frequent_first_and_no_more_than_asked():
    eye = np.eye(3)
    judged = evaluation(eye[[1, 2, 2, 0, 1, 0]], [0, 0, 0, 1, 2, 2])
    assert most_confused(judged) == [
        ("class0", "class2", 2, pytest.approx(2 / 3)),
        ("class1", "class0", 1, 1.0),
        ("class2", "class0", 1, 0.5),
        ("class2", "class1", 1, 0.5),
        ("class0", "class1", 1, pytest.approx(1 / 3)),
    ]
    assert most_confused(judged, limit=2) == most_confused(judged)[:2]
    assert most_confused(evaluation(eye, [0, 1, 2])) == []


@given(evaluations())
@settings(max_examples=60, deadline=None)
def test_what_holds_for_every_evaluation(judged):
    figures, matrix, videos = metrics(judged), confusion_matrix(judged), len(judged.paths)
    low, high = figures["top1_interval"]
    assert 0 <= figures["top1"] <= figures["top5"] <= 1
    assert 0 <= low <= figures["top1"] + 1e-9 and figures["top1"] - 1e-9 <= high <= 1
    assert figures["loss"] >= 0
    assert matrix.shape == (len(judged.class_names),) * 2
    assert matrix.sum() == videos
    assert np.trace(matrix) == round(figures["top1"] * videos)
    assert matrix.sum(axis=1).tolist() == np.bincount(
        judged.labels, minlength=len(judged.class_names)
    ).tolist() == [row["videos"] for row in per_class(judged)]  # fmt: skip
    recalls = [row["recall"] for row in per_class(judged) if row["videos"]]
    assert figures["mean_class_accuracy"] == pytest.approx(np.mean(recalls))
    assert sum(count for *_, count, _ in most_confused(judged, 100)) == videos - np.trace(matrix)
    assert scores(judged).items() <= figures.items()
    assert all(type(v) in (int, float, str, list) for v in figures.values())


@given(evaluations(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_videos_changes_nothing(judged, random):
    order = list(range(len(judged.paths)))
    random.shuffle(order)
    groups = [judged.groups[i] for i in order]
    shuffled = evaluation(judged.probabilities[order], judged.labels[order], groups)
    before, after = metrics(judged), metrics(shuffled)
    assert before["top1_interval"] == after["top1_interval"]
    assert before["interval_method"] == after["interval_method"]
    assert without_interval(before) == pytest.approx(without_interval(after))


def test_videos_that_are_right_or_wrong_together_make_the_interval_wider():
    correct = np.repeat(np.arange(50) % 2 == 0, 6)
    alone, by_video = top1_interval(correct, (None,) * 300)
    together, by_group = top1_interval(correct, tuple(f"g{i // 6}" for i in range(300)))
    widths = [high - low for low, high in (alone, together)]
    assert widths[1] == pytest.approx(widths[0] * np.sqrt(6), rel=0.15)
    assert by_video == "95 % percentile bootstrap over 300 videos, 2000 resamples."
    assert by_group == (
        "95 % percentile bootstrap over 50 groups (source recordings), 2000 resamples."
    )


def test_the_interval_of_independent_videos_is_that_of_the_binomial():
    correct = np.arange(1000) < 300
    (low, high), _ = top1_interval(correct, (None,) * 1000)
    half = 1.96 * np.sqrt(0.3 * 0.7 / 1000)
    assert (low, high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.003)


def test_a_video_without_a_group_is_a_group_of_its_own():
    correct = np.array([True, False] * 20)
    mixed = tuple("one" if i < 10 else None for i in range(40))
    assert "over 31 groups" in top1_interval(correct, mixed)[1]


def test_an_interval_over_few_groups_says_that_it_is_a_rough_guide():
    assert top1_interval(np.array([True, False]), ("a", "b"))[1].endswith("a rough guide only.")


def test_blocks_of_resamples_do_not_change_their_number(monkeypatch):
    correct = np.arange(40) % 3 == 0
    whole = top1_interval(correct, (None,) * 40)
    monkeypatch.setattr("ar3d_keras.evaluation.metrics.BLOCK", 999)
    np.testing.assert_allclose(top1_interval(correct, (None,) * 40)[0], whole[0], atol=0.03)


def test_nothing_to_judge_is_the_users_error_and_says_why():
    empty = evaluation(np.empty((0, 3)), np.empty(0))
    with pytest.raises(UserError, match="no video to judge"):
        metrics(empty)
    with pytest.raises(UserError, match=r"None of the 1 videos .*'a.avi': broken"):
        metrics(evaluation(np.empty((0, 3)), np.empty(0), skipped=[("a.avi", "broken")]))
    assert confusion_matrix(empty).tolist() == np.zeros((3, 3)).tolist()
    assert most_confused(empty) == []


def test_answers_that_are_not_numbers_are_refused():
    with pytest.raises(UserError, match=r"1 of 2 videos \(first: 'v1.avi'\)"):
        metrics(evaluation([[0.5, 0.5], [np.nan, 0.5]], [0, 1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros(3, int)}, "labels has shape"),
        ({"probabilities": np.zeros((2, 4))}, "probabilities has shape"),
        ({"groups": (None,)}, "groups has shape"),
        ({"labels": np.array([0, 2])}, "labels run from 0 to 2"),
        ({"labels": np.array([-1, 0])}, "labels run from -1 to 0"),
        ({"labels": np.array([0.0, 1.0])}, "whole numbers"),
    ],
)
def test_an_evaluation_that_does_not_fit_together_is_refused(change, message):
    fields = {
        "classes": ("a", "b"),
        "paths": ("x", "y"),
        "labels": np.array([0, 1]),
        "probabilities": np.full((2, 2), 0.5),
        "groups": (None, None),
    }
    with pytest.raises(ValueError, match=message):
        Evaluation(**(fields | change))


def test_the_package_is_imported_without_the_heavy_libraries():
    heavy = "keras", "tensorflow", "torch", "jax", "sklearn", "matplotlib", "scipy"
    code = f"import ar3d_keras.evaluation, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_right_or_all_wrong_is_no_certainty():
    groups = tuple(f"g{i // 3}" for i in range(120))
    (low, high), method = top1_interval(np.ones(120, bool), groups)
    assert high == 1
    assert low**40 == pytest.approx(0.025)  # were it the rate, all 40 would be right so seldom
    assert "exact binomial bound over 40 groups" in method
    (low, high), _ = top1_interval(np.zeros(120, bool), groups)
    assert low == 0
    assert (1 - high) ** 40 == pytest.approx(0.025)
