"""Several devices train as one does: the same batches, losses and weights."""

import json

import numpy as np
import pytest
from processes import ROOT, TINY_FLAGS, python  # tests/processes.py

from ar3d_keras.devices import PADDING, Devices
from ar3d_keras.videos.pipeline import padded


@pytest.mark.parametrize("clips, batch_size, rows", [(16, 16, 18), (4, 16, 6), (16, 18, 21)])
def test_rows_are_a_multiple_of_the_devices_and_tell_how_many_are_clips(clips, batch_size, rows):
    assert Devices(3).rows(clips, batch_size) == rows
    assert Devices(1).rows(clips, batch_size) == clips


def test_the_parts_of_processes_are_the_batch():
    rows = list(range(12))
    parts = [rows[Devices(4, process, 2).part(12)] for process in (0, 1)]
    assert parts == [rows[:6], rows[6:]]


@pytest.mark.parametrize("clips", [0, 2, 3])
def test_padding_repeats_clips_and_is_marked(clips):
    batch = np.arange(clips, dtype=np.uint8), np.arange(clips), np.ones(clips, np.float32)
    more, labels, weights = padded(batch, 5)
    assert (more % max(clips, 1) == np.arange(5) % clips if clips else more == 0).all()
    assert more.dtype == np.uint8
    assert (labels == more).all()
    assert (weights == [1] * clips + [PADDING] * (5 - clips)).all()


def compared(backend, network, tiny_demo, folder):
    """What tests/training/two_devices.py prints."""
    done = python(
        "tests/training/two_devices.py", tiny_demo, folder, network,
        environment={
            "KERAS_BACKEND": backend,
            "PYTHONPATH": str(ROOT),
            "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "backend, network",
    [
        pytest.param("tensorflow", "conv3d", marks=pytest.mark.slow),
        pytest.param("jax", "conv3d", marks=pytest.mark.slow),
        pytest.param("jax", "compact3d", marks=pytest.mark.slow),  # batch norms too
        pytest.param("jax", "two_stream3d", marks=pytest.mark.slow),  # halves of a batch
    ],
)
def test_two_devices_train_as_one_does(backend, network, tiny_demo, tmp_path):
    """Dropout is 0; the last batch is smaller than the number of devices, and gradients are clipped."""
    found = compared(backend, network, tiny_demo, tmp_path)
    assert max(found["history"].values()) < 1e-5
    assert max(found["weights"].values()) < 1e-4
    assert found["outputs"] < 1e-6
    assert found["shapes"][0] == found["shapes"][1]
    assert len(set(found["loss"])) == 3  # it learns something


@pytest.mark.parametrize("value", ["0", "-1", "some"])
def test_a_number_of_devices_that_cannot_be_is_refused(value):
    done = python("train.py", "--devices", value, *TINY_FLAGS)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_more_devices_than_there_are_is_a_line_and_nothing_is_written(
    backend, monkeypatch, user_error, tmp_path
):
    from ar3d_keras import devices, train

    monkeypatch.setattr(devices, "_backend", lambda: backend)
    with user_error("`devices` 64"):
        train(devices=64, runs_dir=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_more_devices_than_clips_of_a_batch_is_refused(monkeypatch, user_error):
    from ar3d_keras import devices

    monkeypatch.setattr(devices, "_names", lambda: ["CPU:0", "CPU:1", "CPU:2"])
    monkeypatch.setattr(devices, "_backend", lambda: "tensorflow")
    assert devices.number_of("all") == 3
    with user_error("`batch_size` 2"):
        devices.number_of(3, 2)
