import json
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
    exact_bound,
    format_interval,
    has_informative_top5,
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


def without_interval(computed):
    return {k: v for k, v in computed.items() if k not in ("top1_interval", "interval_method")}


def test_computed_of_a_case_done_by_hand():
    evaluated = evaluation(
        [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1]], [0, 1, 1, 1]
    )
    computed = metrics(evaluated)
    assert computed["top1"] == pytest.approx(2 / 4)
    assert (computed["top5"], computed["top5_k"]) == (1.0, 3)
    assert computed["mean_class_accuracy"] == pytest.approx((1 + 1 / 3) / 2)  # class2 has no video
    assert computed["loss"] == pytest.approx(-np.log([0.7, 0.4, 0.8, 0.3]).mean(), rel=1e-6)
    assert (computed["videos"], computed["skipped"]) == (4, 0)
    assert "top1_counting_skipped_as_wrong" not in computed
    assert confusion_matrix(evaluated).tolist() == [[1, 0, 0], [2, 1, 0], [0, 0, 0]]
    assert most_confused(evaluated) == [("class1", "class0", 2, pytest.approx(2 / 3))]
    rows = per_class(evaluated)
    assert [row["class"] for row in rows] == ["class0", "class1", "class2"]
    assert [row["videos"] for row in rows] == [1, 3, 0]
    assert [row["precision"] for row in rows] == pytest.approx([1 / 3, 1, 0])
    assert [row["recall"] for row in rows] == pytest.approx([1, 1 / 3, 0])
    assert [row["f1"] for row in rows] == pytest.approx([1 / 2, 1 / 2, 0])


def test_the_loss_of_a_sure_and_wrong_answer_is_clipped_as_keras_does():
    assert metrics(evaluation([[1, 0]], [1]))["loss"] == pytest.approx(-np.log(1e-7))
    assert metrics(evaluation([[1, 0]], [0]))["loss"] == pytest.approx(1e-7, rel=1e-3)


def test_skipped_videos_are_counted_and_named_as_wrong_beside_top1():
    evaluated = evaluation([[0.9, 0.1]] * 3, [0, 0, 1], skipped=[("a.avi", "broken")])
    computed = metrics(evaluated)
    assert computed["skipped"] == 1
    assert computed["top1"] == pytest.approx(2 / 3)
    assert computed["top1_counting_skipped_as_wrong"] == pytest.approx(2 / 4)


def test_equal_probabilities_keep_the_order_of_the_classes():
    assert top_k(np.full((2, 200), 0.005, np.float32), 5).tolist() == [[0, 1, 2, 3, 4]] * 2
    assert top_k(np.array([[0.2, 0.4, 0.4]]), 2).tolist() == [[1, 2]]
    assert top_k(np.array([[0.2, 0.8]]), 5).tolist() == [[1, 0]]


def test_most_confused_lists_the_most_frequent_first_and_no_more_than_asked():
    eye = np.eye(3)
    evaluated = evaluation(eye[[1, 2, 2, 0, 1, 0]], [0, 0, 0, 1, 2, 2])
    assert most_confused(evaluated) == [
        ("class0", "class2", 2, pytest.approx(2 / 3)),
        ("class1", "class0", 1, 1.0),
        ("class2", "class0", 1, 0.5),
        ("class2", "class1", 1, 0.5),
        ("class0", "class1", 1, pytest.approx(1 / 3)),
    ]
    assert most_confused(evaluated, limit=2) == most_confused(evaluated)[:2]
    assert most_confused(evaluation(eye, [0, 1, 2])) == []


@given(evaluations())
@settings(max_examples=60, deadline=None)
def test_properties_of_every_evaluation(evaluated):
    computed, matrix, videos = metrics(evaluated), confusion_matrix(evaluated), len(evaluated.paths)
    assert 0 <= computed["top1"] <= computed["top5"] <= 1
    if computed["top1_interval"] is not None:
        low, high = computed["top1_interval"]
        assert 0 <= low <= computed["top1"] + 1e-9 and computed["top1"] - 1e-9 <= high <= 1
        assert low < high
    assert has_informative_top5(computed) or computed["top5"] == 1
    assert computed["loss"] >= 0
    assert matrix.shape == (len(evaluated.class_names),) * 2
    assert matrix.sum() == videos
    assert np.trace(matrix) == round(computed["top1"] * videos)
    assert matrix.sum(axis=1).tolist() == np.bincount(
        evaluated.labels, minlength=len(evaluated.class_names)
    ).tolist() == [row["videos"] for row in per_class(evaluated)]  # fmt: skip
    recalls = [row["recall"] for row in per_class(evaluated) if row["videos"]]
    assert computed["mean_class_accuracy"] == pytest.approx(np.mean(recalls))
    assert sum(count for *_, count, _ in most_confused(evaluated, 100)) == videos - np.trace(matrix)
    assert scores(evaluated).items() <= computed.items()
    assert json.loads(json.dumps(computed)) == computed


@given(evaluations(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_videos_changes_nothing(evaluated, random):
    order = list(range(len(evaluated.paths)))
    random.shuffle(order)
    groups = [evaluated.groups[i] for i in order]
    shuffled = evaluation(evaluated.probabilities[order], evaluated.labels[order], groups)
    before, after = metrics(evaluated), metrics(shuffled)
    assert before["top1_interval"] == after["top1_interval"]
    assert before["interval_method"] == after["interval_method"]
    assert without_interval(before) == pytest.approx(without_interval(after))


def test_videos_that_are_right_or_wrong_together_make_the_interval_wider():
    correct = np.repeat(np.arange(50) % 2 == 0, 6)
    alone, by_video = top1_interval(correct, (None,) * 300)
    together, by_group = top1_interval(correct, tuple(f"g{i // 6}" for i in range(300)))
    widths = [high - low for low, high in (alone, together)]
    assert widths[1] == pytest.approx(widths[0] * np.sqrt(6), rel=0.15)
    assert "300 videos" in by_video and "2000" in by_video
    assert "50 groups" in by_group


def test_the_interval_of_independent_videos_is_that_of_the_binomial():
    correct = np.arange(1000) < 300
    (low, high), _ = top1_interval(correct, (None,) * 1000)
    half = 1.96 * np.sqrt(0.3 * 0.7 / 1000)
    assert (low, high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.003)


def test_a_video_without_a_group_is_a_group_of_its_own():
    correct = np.array([True, False] * 20)
    mixed = tuple("one" if i < 10 else None for i in range(40))
    assert "over 31 groups" in top1_interval(correct, mixed)[1]


@pytest.mark.parametrize(
    ("correct", "groups"),
    [
        ([1, 0, 1], "aaa"),  # one group
        ([1, 1, 1], "aaa"),
        ([1], [None]),
        ([1, 0, 1, 0], "aabb"),  # every resample of the groups is 0.5
    ],
)
def test_an_interval_that_cannot_be_estimated_is_none(correct, groups):
    interval, method = top1_interval(np.array(correct, bool), tuple(groups))
    assert interval is None
    assert "cannot be estimated" in method


@pytest.mark.parametrize(
    ("options", "text", "missing"),
    [
        ({}, "[0.250, 0.500]", "[no interval]"),
        ({"percent": True}, "25.0 to 50.0", "no interval"),
        ({"signed": True}, "[+0.250, +0.500]", "[no interval]"),
        ({"percent": True, "signed": True}, "+25.0 to +50.0", "no interval"),
    ],
)
def test_how_an_interval_is_written(options, text, missing):
    assert format_interval([0.25, 0.5], **options) == text
    assert format_interval(None, **options) == missing


def test_top_k_of_many_rows_is_sorted_in_blocks(monkeypatch):
    probabilities = np.random.default_rng(0).integers(0, 5, (50, 9))
    whole = top_k(probabilities, 3)
    monkeypatch.setattr("ar3d_keras.evaluation.metrics.SORTED_BLOCK", 70)
    np.testing.assert_array_equal(top_k(probabilities, 3), whole)
    np.testing.assert_array_equal(whole, np.argsort(-probabilities, 1, kind="stable")[:, :3])


def test_blocks_of_resamples_do_not_change_their_number(monkeypatch):
    correct = np.arange(40) % 3 == 0
    whole = top1_interval(correct, (None,) * 40)
    monkeypatch.setattr("ar3d_keras.evaluation.metrics.BLOCK", 999)
    np.testing.assert_allclose(top1_interval(correct, (None,) * 40)[0], whole[0], atol=0.03)


def test_an_evaluation_without_videos_raises():
    empty = evaluation(np.empty((0, 3)), np.empty(0))
    with pytest.raises(UserError, match="`split`"):
        metrics(empty)
    with pytest.raises(UserError, match=r"'a.avi': broken"):
        metrics(evaluation(np.empty((0, 3)), np.empty(0), skipped=[("a.avi", "broken")]))
    assert confusion_matrix(empty).tolist() == np.zeros((3, 3)).tolist()
    assert most_confused(empty) == []


def test_probabilities_that_are_not_finite_raise():
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
def test_an_inconsistent_evaluation_raises(change, message):
    fields = {
        "class_names": ("a", "b"),
        "paths": ("x", "y"),
        "labels": np.array([0, 1]),
        "probabilities": np.full((2, 2), 0.5),
        "groups": (None, None),
    }
    with pytest.raises(ValueError, match=message):
        Evaluation(**(fields | change))


def test_metrics_are_imported_without_the_heavy_libraries():
    heavy = "keras", "tensorflow", "torch", "jax", "sklearn", "matplotlib", "scipy"
    code = f"import ar3d_keras.evaluation.significance, sys; print([m for m in {heavy} if m in sys.modules])"
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


def test_the_exact_bound_is_that_of_clopper_and_pearson():
    from scipy.stats import binomtest

    for trials in (1, 2, 6, 40, 3000):
        low = binomtest(trials, trials).proportion_ci(0.95, method="exact").low
        assert exact_bound(trials) == pytest.approx(low, rel=1e-13)


def of_class(right, wrong, groups=None):
    videos = right + wrong + 1
    labels = np.array([0] * (right + wrong) + [1])
    predicted = np.array([0] * right + [1] * (wrong + 1))
    return Evaluation(
        ("a", "b", "c"), tuple(map(str, range(videos))), labels, np.eye(3)[predicted],
        (*(groups or [None] * (right + wrong)), None),
    )  # fmt: skip


def interval_of(evaluation, label=0):
    row = per_class(evaluation)[label]
    return row["recall_low"], row["recall_high"]


def test_recall_has_wilsons_interval_without_groups():
    # Newcombe (Stat. Med. 1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for right, of, low, high in (
        (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):  # fmt: skip
        assert interval_of(of_class(right, of - right)) == pytest.approx((low, high), abs=6e-5)


def test_a_class_without_videos_has_no_interval():
    assert interval_of(of_class(3, 1), label=2) == (None, None)
    assert interval_of(of_class(3, 1), label=1)[1] == pytest.approx(1)


def test_recall_resamples_groups_where_they_are_known():
    groups = ["r1", "r1", "r2", "r2", "r3", "r3"]
    evaluation = of_class(4, 2, groups)
    expected = top1_interval(np.array([True] * 4 + [False] * 2), tuple(groups))[0]
    assert list(interval_of(evaluation)) == expected
    assert interval_of(of_class(4, 2, ["r1"] * 6)) == (None, None)
    all_right = interval_of(of_class(6, 0, groups))
    assert all_right == pytest.approx((0.025 ** (1 / 3), 1))
