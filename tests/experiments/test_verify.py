"""ar3d verify: the predictions of a report again, and what has changed since."""

import json
import shutil

import pytest

from ar3d_keras import Reporter, UserError, load_model, verify
from ar3d_keras.cli import main
from ar3d_keras.evaluation.journal import count_evaluations, note_evaluation
from ar3d_keras.experiments.fingerprints import PROTOCOL_VERSION, check_same_classes
from ar3d_keras.experiments.tuning.results import count_trials
from ar3d_keras.runs import RunFolder


class Told(Reporter):
    def __init__(self):
        super().__init__()
        self.text = ""

    def show(self, line):
        self.text += line + "\n"


@pytest.fixture
def run(trained, tmp_path):
    return RunFolder(shutil.copytree(trained, tmp_path / "run"))


def metrics(run, split="test"):
    return json.loads((run.folder / f"evaluation/{split}/metrics.json").read_text())


def test_the_same_machine_gives_the_same_bits(run, tmp_path):
    for place in (["run"], ["--run", "run"]):
        assert main(["verify", *place, "--runs-dir", str(tmp_path)]) == 0
    assert main(["verify", "run", "--run", "run", "--runs-dir", str(tmp_path)]) == 2
    found = verify(run, reporter=Reporter())
    assert found.keys() == {"val", "test"}
    for name, videos in (("val", 12), ("test", 15)):
        assert (found[name]["equal"], found[name]["videos"]) == (True, videos)
        assert found[name]["difference"] < 1e-6  # predictions.csv has six decimals
        assert found[name]["changed"] == {}


def test_what_changed_is_named(run):
    file = run.folder / "evaluation/test/metrics.json"
    file.write_text(json.dumps({**metrics(run), "device": "abacus", "evaluated_with": "keras 1"}))
    network = load_model(run.best)
    network.set_weights([weights * (1 + 1e-6) for weights in network.get_weights()])
    network.save(run.best)
    told = Told()
    found = verify(run, reporter=told)["test"]
    assert not found["equal"] and found["difference"] < 1e-3
    assert found["changed"].keys() == {"weights", "device", "versions"}
    assert found["changed"]["device"][0] == "abacus" and "abacus" in told.text
    network.set_weights([weights * 1.5 for weights in network.get_weights()])
    network.save(run.best)
    with pytest.raises(UserError):
        verify(run, reporter=told)
    # A report of other videos.
    shutil.copy(run.folder / "evaluation/val/predictions.csv", run.folder / "evaluation/test")
    with pytest.raises(UserError, match="test"):
        verify(run, reporter=told)


def test_a_run_without_reports(run):
    shutil.rmtree(run.folder / "evaluation")
    with pytest.raises(UserError):
        verify(run, reporter=Reporter())


def test_other_classes_are_refused_and_named(run):
    record = run.record()
    record["class_names"][0] = "Shrink"
    run.write_record(record)
    with pytest.raises(UserError) as caught:
        verify(run, reporter=Reporter())
    assert "'Grow'" in str(caught.value) and "'Shrink'" in str(caught.value)
    with pytest.raises(UserError, match="order"):
        check_same_classes("", ["a", "b"], ["b", "a"])


def test_a_report_counts_the_choices_on_val_and_the_looks_at_test(trained, run):
    found = metrics(run)
    assert found["protocol_version"] == PROTOCOL_VERSION
    assert found["test_opened"] == "evaluations: 1, networks: 1"
    assert "2 epochs" in found["chosen_on_val"]
    lines = (trained.parent / "evaluations.csv").read_text().splitlines()
    assert len(lines) == 3  # a header, val and test


def test_the_journal_counts_each_network_once(tmp_path):
    where = {"data": "d", "split_digest": "s", "split": "test"}
    for name, weights in (("a", "1"), ("a", "1"), ("b", "2")):
        note_evaluation(RunFolder(tmp_path / name), **where, protocol="p, q", weights=weights)
    note_evaluation(RunFolder(tmp_path / "c"), **{**where, "data": "e"}, protocol="", weights="3")
    run = RunFolder(tmp_path / "new")
    assert count_evaluations(run, **where) == {"evaluations": 3, "networks": 2}
    assert count_evaluations(run, **{**where, "split": "val"}) == {"evaluations": 0, "networks": 0}


def test_the_trials_of_searches_on_the_same_data(tmp_path):
    for name, data, trials in (("t", "d", 2), ("u", "d", 1), ("v", "e", 4)):
        for trial in range(trials):
            (tmp_path / name / f"trial_{trial}").mkdir(parents=True)
            (tmp_path / name / f"trial_{trial}/result.json").write_text("{}")
        (tmp_path / name / "search.json").write_text(json.dumps({"fingerprint": data}))
    (tmp_path / "v/trial_9").mkdir()
    assert count_trials(tmp_path, "d") == 3
