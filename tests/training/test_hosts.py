"""Processes that train together: how they find each other, and that they train as one process does."""

import contextlib
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from processes import ROOT, TINY_FLAGS, python  # tests/processes.py

from ar3d_keras import hosts, train
from ar3d_keras.hosts import Job, find_job

SLURM = {
    "SLURM_JOB_ID": "4100", "SLURM_NTASKS": "3", "SLURM_PROCID": "2",
    "SLURM_STEP_NODELIST": "gpu[07-09,12],other1",
}  # fmt: skip


def test_a_job_by_addresses():
    assert find_job(None) is None
    assert find_job("a:1,b:2", 1, 7.0, {}) == Job("a:1", ["a:1", "b:2"], 1, 7.0)
    assert find_job("[::1]:9,b:2", 0, environment={}).coordinator == "[::1]:9"


@pytest.mark.parametrize("variable", ["SLURM_PROCID", "JOB_COMPLETION_INDEX"])
def test_the_number_of_the_process_is_that_of_the_cluster(variable):
    assert find_job("a:1,b:2", environment={variable: "1"}).process == 1


@pytest.mark.parametrize(
    "nodes, first", [("gpu[07-09,12],b", "gpu07"), ("n1", "n1"), ("n1,n2", "n1"), ("n[3,5]", "n3")]
)
def test_a_job_of_slurm(nodes, first):
    job = find_job("slurm", environment={**SLURM, "SLURM_STEP_NODELIST": nodes})
    assert job.coordinator == f"{first}:{61440 + 4}"
    assert (len(job.names), job.process) == (3, 2)


@pytest.mark.parametrize(
    "given, process, parameter",
    [
        ("slurm", None, "hosts"),
        ("a", 0, "hosts"),
        ("a:b,c:1", 0, "hosts"),
        ("a:1,a:1", 0, "hosts"),
        ("a:1,b:1", 2, "process"),
        ("a:1,b:1", -1, "process"),
        ("a:1,b:1", None, "hosts"),
        (None, 0, "process"),
    ],
)
def test_wrong_options_are_a_line(given, process, parameter, user_error):
    with user_error(f"`{parameter}`"):
        find_job(given, process, environment={})


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_processes_meet():
    names = [f"127.0.0.1:{free_port()}", "b:1", "c:1"]
    threads = [
        threading.Thread(target=hosts._meet, args=(Job(names[0], names, number, 30.0),))
        for number in (2, 0, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize("process, missing", [(0, "127.0.0.9:1"), (1, "127.0.0.1")])
def test_a_host_that_does_not_answer_is_named_in_time(process, missing, user_error):
    names = [f"127.0.0.1:{free_port()}", "127.0.0.9:1"]
    begun = time.monotonic()
    with user_error("`hosts`", missing):
        hosts._meet(Job(names[0], names, process, 0.5))
    assert time.monotonic() - begun < 20


def test_strangers_do_not_count(user_error):
    names = [f"127.0.0.1:{free_port()}", "127.0.0.9:1"]
    job = Job(names[0], names, 0, 1.5)
    address, outcome = ("127.0.0.1", int(names[0].split(":")[1])), []

    def wait():
        with contextlib.suppress(ValueError):
            hosts._meet(job)
            outcome.append("met")

    thread = threading.Thread(target=wait)
    thread.start()
    for content in (b"GET / HTTP/1.1\r\n", b"7", b""):
        with contextlib.suppress(OSError), socket.create_connection(address, 5) as call:
            call.sendall(content)
    thread.join(30)
    assert not outcome


def test_a_port_in_use_is_a_line(user_error):
    with socket.create_server(("", 0)) as server:
        name = f"127.0.0.1:{server.getsockname()[1]}"
        with user_error("`hosts`", name):
            hosts._meet(Job(name, [name, "b:1"], 0, 0.5))


def test_other_backends_say_that_jax_does_it(monkeypatch, user_error, tmp_path):
    monkeypatch.setattr("keras.backend.backend", lambda: "torch")
    with user_error("`hosts`"):
        train(hosts="127.0.0.1:1,127.0.0.1:2", process=0, runs_dir=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_mixed_clips_need_one_process(user_error, tmp_path):
    with user_error("`mixup`"):
        train(hosts="a:1,b:1", process=0, mixup=0.2, runs_dir=tmp_path / "runs")


ON_JAX = {"KERAS_BACKEND": "jax", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


def start_two(*arguments):
    """Two processes of one job on this machine."""
    port = free_port()
    return [
        subprocess.Popen(
            [
                sys.executable, "train.py", *map(str, arguments), "--process", str(number),
                "--hosts", f"127.0.0.1:{port},127.0.0.2:{port}", "--wait-seconds", "300",
            ],
            cwd=ROOT,
            env={**os.environ, **ON_JAX},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (0, 1)
    ]  # fmt: skip


def history(run):
    with (run / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name.endswith(("loss", "accuracy", "top5"))]
    return np.array([[float(row[name]) for name in names] for row in rows])


@pytest.mark.slow
def test_two_processes_train_as_one_and_a_killed_one_ends_the_job(tiny_demo, tmp_path):
    """9 training clips in batches of 4: the last batch is one clip, of which a process has none."""
    options = (
        "--attention", "--data", tiny_demo, "--runs-dir", tmp_path, "--no-export",
        "--checkpoint-minutes", 0, *TINY_FLAGS, "--dropout", 0,
    )  # fmt: skip
    one = python("train.py", *options, "--name", "one", environment=ON_JAX)
    assert one.returncode == 0, one.stderr
    processes = start_two(*options, "--name", "two")
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    np.testing.assert_allclose(history(tmp_path / "two"), history(tmp_path / "one"), atol=1e-5)
    record = json.loads((tmp_path / "two/run.json").read_text(encoding="utf-8"))
    assert record["config"]["recipe"]["devices"] == 2
    assert (tmp_path / "two/evaluation/test/report.html").exists()
    assert {path.name for path in tmp_path.iterdir()} - {".cache"} == {
        "evaluations.csv",
        "one",
        "two",
    }

    processes = start_two(*options, "--name", "killed", "--epochs", 50)
    state = tmp_path / "killed/checkpoints/state.npz"
    while not state.exists() and processes[0].poll() is None:
        time.sleep(0.1)
    # The first one is a watcher, which starts the process that trains.
    watcher = processes[1].pid
    (trains,) = Path(f"/proc/{watcher}/task/{watcher}/children").read_text().split()
    os.kill(int(trains), signal.SIGKILL)
    errors = [process.communicate()[1] for process in processes]
    for process, error in zip(processes, errors, strict=True):
        assert process.returncode == 2, errors
        assert error.splitlines()[-1].startswith("error: ") and "--resume" in error
    # On any number of machines: here on one.
    done = python(
        "train.py", "--resume", "killed", "--runs-dir", tmp_path, "--devices", 1, "--epochs", 2,
        environment=ON_JAX,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(history(tmp_path / "killed")) >= 2
