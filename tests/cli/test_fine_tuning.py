"""python train.py with augmentation, --init-from and --freeze: what is recorded, what resumes."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
from processes import ROOT, TINY, python  # tests/cli/processes.py

import ar3d_keras
from ar3d_keras.cli import main
from ar3d_keras.training.warm_start import weighted_layers

AUGMENTED = (
    "--crop-scale 0.4 1 --stride-jitter 1 --brightness 0.4 --contrast 0.4 --saturation 0.4 "
    "--hue 0.1 --erase 0.3 --mixup 0.4 --cutmix 1.0"
).split()


def state(folder):
    with np.load(folder / "checkpoints/state.npz") as saved:
        return {name: saved[name] for name in saved.files}


def weights(file):
    network = ar3d_keras.load_model(file)
    return {name: layer.get_weights() for name, layer in weighted_layers(network).items()}


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_fine_tuned_run_with_everything_killed_and_resumed(trained, tiny_demo, tmp_path):
    """Bit for bit as one that was not, its frozen layers as they were in the first run."""
    command = [
        "train.py", "--attention", "--data", tiny_demo, "--runs-dir", tmp_path, *TINY, *AUGMENTED,
        "--epochs", "3", "--init-from", trained, "--freeze", "features", "gat*",
    ]  # fmt: skip
    whole = python(*command, "--name", "whole", "--workers", "1")
    assert whole.returncode == 0, whole.stderr
    taken = f"weights of features, gate, dense, output from {trained / 'checkpoints/best.keras'}"
    assert taken + "; new: none" in whole.stdout
    assert "frozen: features, gate; trained: dense, output" in whole.stdout
    record = json.loads((tmp_path / "whole/run.json").read_text())
    assert record["config"]["recipe"]["freeze"] == ["features", "gat*"]
    assert record["config"]["data"]["crop_scale"] == [0.4, 1.0]
    assert record["init_from"]["file"] == str(trained / "checkpoints/best.keras")
    first, tuned = (
        weights(run / "checkpoints/best.keras") for run in (trained, tmp_path / "whole")
    )
    for name in first:
        assert same(first[name], tuned[name]) == (name in ("features", "gate")), name

    killed = subprocess.Popen(
        [sys.executable, *map(str, command), "--name", "killed", "--workers", "3"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    for line in killed.stdout:
        if line.startswith("epoch 1/3"):
            break
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    resumed = python("train.py", "--resume", "killed", "--runs-dir", tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    one, other = state(tmp_path / "whole"), state(tmp_path / "killed")
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)

    # A run whose first epoch never ended begins with the same weights again.
    (tmp_path / "killed/checkpoints/state.npz").unlink()
    assert main(["train", "--resume", str(tmp_path / "killed")]) == 0
    again = state(tmp_path / "killed")
    for name in one:
        np.testing.assert_array_equal(one[name], again[name], err_msg=name)


def test_what_cannot_be_fine_tuned_is_refused_at_the_door(trained, tiny_demo, tmp_path, refused):
    def told(*flags):
        error = refused(
            "train", "--attention", "--data", tiny_demo, "--runs-dir", tmp_path / "runs", *TINY,
            *flags,
        )  # fmt: skip
        assert not (tmp_path / "runs").exists()
        return error

    assert "no run at nowhere" in told("--init-from", "nowhere")
    assert "nowhere.keras cannot be read" in told("--init-from", "nowhere.keras")
    assert "names no layer with weights" in told("--freeze", "convolution")
    assert "leaves no layer to train" in told("--freeze", "*")
    assert "--mixup -1.0 must be 0 to 100" in told("--mixup", -1)
