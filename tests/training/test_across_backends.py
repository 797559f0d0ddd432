"""A run of one backend predicts, is resumed and is fine-tuned on another."""

import json
import shutil

import numpy as np
import pytest
from processes import ROOT, TINY, python  # tests/processes.py

from ar3d_keras import predict
from ar3d_keras.runs import RunFolder, read_history

# Predicts and resumes; without the reports, whose drawing is most of the time.
CONTINUE = """
import json, sys

import ar3d_keras
from ar3d_keras.experiments import train
from ar3d_keras.progress import Reporter

train.evaluate_run = train._export = lambda *_, **__: None
run, epochs, *videos = sys.argv[1:]
predictions = ar3d_keras.predict(videos, run=run)
train.resume(run, epochs=int(epochs), reporter=Reporter())
print(json.dumps([prediction.probabilities.tolist() for prediction in predictions]))
"""
BEGIN = """
import json, sys

from ar3d_keras.experiments import train
from ar3d_keras.progress import Reporter

train.evaluate_run = train._export = lambda *_, **__: None
train.train(**json.loads(sys.argv[1]), reporter=Reporter())
"""


def run_on(backend, script, *arguments):
    done = python(
        "-c", script, *arguments,
        environment={
            "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def record(run):
    return json.loads((run / "run.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_run_of_tensorflow_predicts_and_goes_on_with_torch(trained, tiny_demo, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    videos = sorted((tiny_demo / "Grow").glob("*.avi"))[:3]
    output = run_on("torch", CONTINUE, run, 3, *videos)
    found = np.array(json.loads(output.splitlines()[-1]))
    expected = [prediction.probabilities for prediction in predict(videos, run=trained)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    rows = read_history(run / "history.csv")
    assert rows[:2] == read_history(trained / "history.csv")
    assert len(rows) == 3
    after = record(run)
    assert after["backend"] == "torch" and "torch" in after["versions"]
    assert [before["backend"] for before in after["earlier_backends"]] == ["tensorflow"]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["tensorflow", "jax", "torch"])
def test_weights_and_optimizer_go_on_with_any_backend(first, tiny_demo, tmp_path):
    """Without dropout: three epochs on one backend, and one on it and two on another."""
    options = {
        **TINY, "data": str(tiny_demo), "runs_dir": str(tmp_path), "attention": True, "dropout": 0.0,
        "export": False, "precision": "float32", "learning_rate": 1e-2, "weight_decay_after": 1,
    }  # fmt: skip
    run_on(first, BEGIN, json.dumps({**options, "name": "whole", "epochs": 3}))
    run_on(first, BEGIN, json.dumps({**options, "name": "begun", "epochs": 1}))
    whole = read_history(tmp_path / "whole/history.csv")
    for other in {"tensorflow", "jax", "torch"} - {first}:
        run = shutil.copytree(tmp_path / "begun", tmp_path / other)
        video = next((tiny_demo / "Grow").glob("*.avi"))
        run_on(other, CONTINUE, run, 3, video)
        rows = read_history(run / "history.csv")
        for name in ("loss", "val_loss"):
            np.testing.assert_allclose(
                [row[name] for row in rows], [row[name] for row in whole], rtol=1e-3
            )
        tuned = {**options, "name": f"tuned-{other}", "init_from": str(run), "epochs": 1}
        run_on(first, BEGIN, json.dumps(tuned))
        assert RunFolder(tmp_path / f"tuned-{other}").best.exists()
