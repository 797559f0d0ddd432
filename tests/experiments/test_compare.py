"""Results that write_report left, read back and compared: no network is needed for that."""

import json

import numpy as np
import pytest

from ar3d_keras import Evaluation, write_report
from ar3d_keras.atomic import write_csv, write_json
from ar3d_keras.evaluation.results import find_result, read_result
from ar3d_keras.experiments.comparison import check_comparable, differences, paired
from ar3d_keras.experiments.crossval_summary import mean_interval, summarize
from ar3d_keras.runs import RunFolder

CLASSES = ("a", "b", "c")
PROTOCOL = "1 centre clip"


def make_run(folder, right, *, first=0, scheme="group", protocol=PROTOCOL, data="same", group=2):
    """A run folder that judged len(right) videos on test, right where `right` says so."""
    labels = np.arange(len(right)) % 3
    answers = np.where(right, labels, (labels + 1) % 3)
    evaluation = Evaluation(
        class_names=CLASSES,
        paths=tuple(f"v{first + n}.avi" for n in range(len(right))),
        labels=labels,
        probabilities=np.eye(3)[answers] * 0.7 + 0.1,
        groups=tuple(f"g{(first + n) // group}" for n in range(len(right))),
    )
    run = RunFolder(folder)
    about = {"protocol": protocol, "dataset": f"somewhere ({data})", "precision": "float32",
             "network": "net"}  # fmt: skip
    write_report(run.evaluation("test"), evaluation, about=about, title="t")
    leak = {"val_train": 0, "test_train": 0, "sizes": {"test": len(right)}}
    run.write_record(
        {
            "begun": "2026-01-01T00:00:00+00:00",
            "config": {"recipe": {"seed": 0, "epochs": 2}, "data": {"split_scheme": scheme.split()[0]}},
            "data": {"fingerprint": data},
            "split": {"scheme": scheme, "has_leakage": False, "leak": ["No leak."], "notes": [],
                      "leak_counts": leak},
            "classes": list(CLASSES),
            "backend": "tensorflow", "device": "CPU", "versions": {}, "git_commit": None,
        }
    )  # fmt: skip
    write_csv(
        folder / "split.csv", ["path", "split"], [[path, "test"] for path in evaluation.paths]
    )
    names = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "clips_per_s"]
    rows = [
        [1, 2.0, 0.2, 2.0, 0.3, 1.0],
        [2, 1.0, 0.4, 1.5, 0.5, 20.0],
        [3, 1.0, 0.4, 1.5, 0.4, 22.0],
    ]
    write_csv(run.history, names, rows)
    return run


def result(folder, right, **options):
    return read_result(folder.name, [make_run(folder, np.array(right, bool), **options)], "test")


def test_what_was_reported_is_read_back(tmp_path):
    one = result(tmp_path / "one", [1, 0, 1, 1])
    metrics = one.metrics[0]
    assert (one.top1, one.top5) == (metrics["top1"], metrics["top5"]) == (0.75, 1.0)
    assert one.interval[0] == metrics["top1_interval"]
    assert one.loss == pytest.approx(metrics["loss"])
    assert one.groups == ("g0", "g0", "g1", "g1")
    assert one.training_rate == 21.0  # the first epoch compiles
    assert find_result("one", tmp_path, "test").top1 == 0.75


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, None),
        ({"scheme": "random"}, "differ in split (one: group; other: random)"),
        ({"protocol": "10 clips"}, "differ in protocol (one: 1 centre clip; other: 10 clips)"),
        ({"data": "changed"}, "differ in data (one: same; other: changed)"),
        ({"first": 2}, "one was evaluated on 4 videos, other on 4; 2 are the same"),
    ],
)
def test_what_does_not_belong_into_one_table_is_refused(change, told, tmp_path, user_error):
    results = [
        result(tmp_path / "one", [1, 0, 1, 1]),
        result(tmp_path / "other", [1, 1, 0, 0], **change),
    ]
    if told is None:
        assert differences(results) == []
        check_comparable(results)
    else:
        with user_error(told, "`allow_different`"):
            check_comparable(results)


def test_runs_that_trained_on_other_videos_are_told_apart(tmp_path):
    results = [result(tmp_path / name, [1, 0, 1, 1]) for name in ("one", "other")]
    rows = [[path, "val"] for path in results[0].paths]
    write_csv(tmp_path / "other/split.csv", ["path", "split"], rows)
    assert differences(results) == ["one and other were trained on different videos."]


def test_pairs_are_of_the_videos_that_both_judged(tmp_path):
    one = result(tmp_path / "one", [1, 1, 1, 0, 1, 1])
    other = result(tmp_path / "other", [0, 1, 1, 1], first=2)  # on v2 ... v5
    (pair,) = paired([one, other])
    assert (pair["videos"], pair["only_one"], pair["only_other"]) == (4, 1, 1)
    assert (pair["difference"], pair["p"], pair["p_holm"]) == (0, 1, 1)
    assert paired([one, result(tmp_path / "apart", [1, 0, 1, 0], first=90)]) == []


def test_folds_are_pooled_and_summed_up(tmp_path):
    folder = tmp_path / "cv"
    runs = [
        make_run(folder / "fold-1", np.array([1, 1, 1, 0], bool), scheme="kfold 1 of 2"),
        make_run(folder / "fold-2", np.array([1, 0], bool), scheme="kfold 2 of 2", first=4),
    ]
    pooled = read_result("cv", runs, "test")
    figures = summarize(folder, pooled, {"command": "ar3d crossval <b>"})
    assert figures["top1"] == pytest.approx(4 / 6)  # every video alike
    assert figures["top1_mean"] == pytest.approx((0.75 + 0.5) / 2)  # every fold alike
    assert [fold["top1"] for fold in figures["folds"]] == [0.75, 0.5]
    assert [fold["epoch"] for fold in figures["folds"]] == [2, 2]
    page = (folder / "crossval.html").read_text()
    assert "66.7 %" in page and "62.5 %" in page and "&lt;b&gt;" in page
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        "crossval.html", "crossval.json", "curves.png", "confusion.png",
    }  # fmt: skip
    again = find_result("cv", tmp_path, "test")
    assert (again.name, again.top1, len(again.runs)) == ("cv", pooled.top1, 2)
    assert (
        json.loads((folder / "crossval.json").read_text())["split_scheme"] == "kfold, all 2 folds"
    )


def test_the_interval_over_folds_by_hand():
    # mean 0.6, deviation 0.1, t(0.975, 2) = 4.303: 0.6 +- 4.303 * 0.1 / sqrt(3).
    assert mean_interval(np.array([0.5, 0.6, 0.7])) == pytest.approx([0.3516, 0.8484], abs=1e-4)
    assert mean_interval(np.array([0.9, 1.0])) == [pytest.approx(0.3147, abs=1e-4), 1.0]


@pytest.mark.parametrize("change", [{"protocol": "10 clips"}, {"data": "changed"}])
def test_folds_of_other_data_or_protocol_raise(change, tmp_path, user_error):
    right = np.ones(4, bool)
    runs = [make_run(tmp_path / "a", right), make_run(tmp_path / "b", right, first=4, **change)]
    with user_error("cv", "evaluate.py", "`name`"):
        read_result("cv", runs, "test")


def test_videos_in_several_folds_raise(tmp_path, user_error):
    runs = [make_run(tmp_path / name, np.ones(4, bool)) for name in "ab"]
    with user_error("cv", "`split`"):
        read_result("cv", runs, "test")


def test_reports_that_are_missing_or_damaged(tmp_path, user_error):
    run = make_run(tmp_path / "one", np.ones(4, bool))
    with user_error("has no report on val", "evaluate.py --run", "--split val"):
        find_result("one", tmp_path, "val")
    with user_error("no run at nothing"):
        find_result("nothing", tmp_path, "test")
    predictions = run.evaluation("test") / "predictions.csv"
    lines = predictions.read_text().splitlines(keepends=True)
    for text in ("", "".join(lines[:-1]), "a,b\n1,2\n" * 4, lines[0] + '"'):
        predictions.write_text(text)
        with user_error("is damaged", "make it again"):
            find_result("one", tmp_path, "test")
    predictions.unlink()
    with user_error("is damaged"):
        find_result("one", tmp_path, "test")


@pytest.mark.parametrize("text", ["{", "[]", '{"folds": [{}]}', "7"])
def test_a_summary_that_is_none(text, tmp_path, user_error):
    (tmp_path / "cv").mkdir()
    (tmp_path / "cv/crossval.json").write_text(text)
    with user_error("crossval.json cannot be read"):
        find_result("cv", tmp_path, "test")


def test_a_summary_whose_fold_is_gone(tmp_path, user_error):
    write_json(tmp_path / "cv/crossval.json", {"folds": [{"run": "fold-1"}]})
    with user_error("is not a run"):
        find_result("cv", tmp_path, "test")
