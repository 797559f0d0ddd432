"""`test_clips`: the test report of a training averages several clips of each video."""

import json

import pytest
from processes import TINY  # tests/processes.py

from ar3d_keras import Reporter, crossval
from ar3d_keras.evaluation.results import find_result
from ar3d_keras.runs import RunFolder


@pytest.mark.slow  # three folds with their reports
def test_the_summary_of_a_cross_validation_has_the_clips_of_its_test_reports(tiny_demo, tmp_path):
    metrics = crossval(
        data=tiny_demo,
        **{**TINY, "epochs": 1},
        folds=3,
        test_clips=2,
        clips_per_epoch=20,
        sampling="uniform",
        name="cv",
        runs_dir=tmp_path,
        reporter=Reporter(),
    )
    run = RunFolder(tmp_path / "cv" / "fold-1")
    assert run.test_clips == 2
    assert run.evaluation("test").name == "test-2x1"
    assert run.evaluation("val").name == "val"
    stored = json.loads((run.evaluation("test") / "metrics.json").read_text())
    assert metrics["folds"][0]["top1"] == stored["top1"]
    assert stored["protocol"].startswith("2 clip(s) x 1 crop(s)")
    result = find_result("cv", tmp_path, "test")
    assert result.protocol == stored["protocol"]
    assert len(result.paths) == metrics["videos"]
