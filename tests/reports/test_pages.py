"""Pages of cross-validations and comparisons whose intervals cannot be estimated."""

import types

import pytest

from ar3d_keras.reports import compare_page, crossval_page, page

ABOUT = {"dataset": "<b>data</b>", "split": "test", "seed": 0, "protocol": "1 clip"}


def crossval_metrics(num_classes, interval):
    fold = {
        "run": "fold-1", "videos": 6, "skipped": 0, "top1": 0.5, "top1_interval": interval,
        "top5": 1.0, "loss": 1.0, "epoch": None,
    }  # fmt: skip
    return {
        "name": "cv", "top1": 0.5, "top1_interval": interval, "interval_method": "<how>",
        "top1_mean": 0.5, "top1_mean_interval": interval, "mean_interval_method": "how",
        "top5": 1.0, "top5_k": min(5, num_classes), "num_classes": num_classes, "loss": 1.0,
        "videos": 6, "skipped": 0, "folds": [fold], "leak": ["No leak."], "has_leakage": False,
    }  # fmt: skip


def row(name, num_classes, interval):
    return {
        "name": name, "network": "net", "parameters": 1000, "gflops": 1.0, "folds": 1,
        "training_clips_per_s": None, "inference_clips_per_s": 2.0, "top1": 0.5,
        "top1_interval": interval, "interval_method": "how", "top5": 1.0, "loss": 1.0,
        "top5_k": min(5, num_classes), "num_classes": num_classes, "videos": 6, "skipped": 0,
        "split": "test", "split_scheme": "group", "has_leakage": False, "dataset": "d",
        "protocol": "p", "trained_in": "float32", "trained_on": "CPU", "epochs": 1, "seed": 0,
        "command": "train",
    }  # fmt: skip


@pytest.mark.parametrize(("num_classes", "top5"), [(2, "top-2"), (5, "top-5"), (9, "top-5")])
@pytest.mark.parametrize("interval", [None, [0.25, 0.75]])
def test_a_cross_validation(num_classes, top5, interval):
    names = [f"class {n}" for n in range(num_classes)]
    metrics = crossval_metrics(num_classes, interval)
    text = crossval_page.build(metrics, ABOUT, names, {"confusion": b"png"})
    assert ("25.0 to 75.0" in text) is (interval is not None)
    assert (">no interval<" in text) is (interval is None)
    assert (top5 in text) is (num_classes > 5)
    assert "&lt;b&gt;data" in text and "&lt;how&gt;" in text
    assert "seed <b>0</b>" in text


@pytest.mark.parametrize(("num_classes", "top5"), [(2, "top-2"), (9, "top-5")])
@pytest.mark.parametrize("interval", [None, [-0.25, 0.75]])
def test_a_comparison(num_classes, top5, interval):
    pair = {
        "one": "a", "other": "b", "videos": 6, "only_one": 1, "only_other": 2, "p": 1e-5,
        "p_holm": 1e-5, "difference": -0.1, "interval": interval, "interval_method": "how",
    }  # fmt: skip
    written = {
        "table": [row("a", num_classes, interval), row("b", num_classes, interval)],
        "not_comparable": [], "pairs": [pair], "device": "CPU", "backend": "jax", "command": "c",
    }  # fmt: skip
    results = [types.SimpleNamespace(name="a"), types.SimpleNamespace(name="b")]
    text = compare_page.build(results, written, {"figure1": b"png"})
    assert ("25.0 to +75.0" in text) is (interval is not None)
    assert (">no interval<" in text) is (interval is None)
    assert (top5 in text) is (num_classes > 5)
    assert "\N{MINUS SIGN}10.0" in text and "1e-05" in text


def test_classes_without_a_font_are_explained_by_number():
    text = crossval_page.build(
        crossval_metrics(2, None), ABOUT, ["go", "걷기"], {"confusion": b"p"}
    )
    assert "<b>#2</b> 걷기" in text


def test_unseen_characters_are_shown_as_escapes():
    assert page.visible("a\nb\u202e\udcff") == r"a\nb\u202e\udcff"
    assert page.visible(0) == "0"
