import subprocess

import pytest
from processes import TINY, python  # tests/cli/processes.py

from ar3d_keras.cli import main
from ar3d_keras.videos.demo import make_demo


@pytest.fixture(scope="session")
def tiny_demo(tmp_path_factory):
    """The demo set with 12 groups of one clip: 24 train, 32 val, 40 test videos."""
    return make_demo(tmp_path_factory.mktemp("data") / "demo", groups=12, clips=1)


@pytest.fixture(scope="session")
def trained(tiny_demo, tmp_path_factory):
    """The run folder of `python train.py --attention` in a process of its own."""
    runs = tmp_path_factory.mktemp("runs")
    done = python(
        "train.py",
        "--attention",
        "--data",
        tiny_demo,
        "--name",
        "tiny",
        "--runs-dir",
        runs,
        "--profile",
        "--tensorboard",
        *TINY,
    )
    assert done.returncode == 0, done.stderr
    (runs / "tiny" / "stdout.txt").write_text(done.stdout)
    (runs / "tiny" / "stderr.txt").write_text(done.stderr)
    return runs / "tiny"


@pytest.fixture
def refused(capsys):
    """Runs a command in this process; it must fail with exit code 2 and one sentence."""

    def run(*arguments):
        assert main([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert len(error.splitlines()) == 1
        return error

    return run


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)
