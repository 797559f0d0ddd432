"""Whole commands whose disk is full, fails or becomes read-only; all of them in `full_disk`."""

import errno
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faults import full_disk
from processes import ROOT, TINY_FLAGS

from ar3d_keras.cli import main
from ar3d_keras.training.run_state import position

pytestmark = pytest.mark.usefixtures("all_eagerly", "plain_reports")


@pytest.fixture
def one_line(capsys):
    """Runs a command in this process; it must fail with exit code 2 and one line."""

    def run(*arguments):
        capsys.readouterr()
        assert main(list(map(str, arguments))) == 2
        lines = capsys.readouterr().err.splitlines()
        assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
        assert not [line for line in lines if "Traceback" in line]

    return run


@pytest.mark.parametrize("name", ["evaluate", "pack", "predict", "overlay"])
def test_a_full_disk_is_one_line(name, trained, tiny_demo, tmp_path, one_line):
    run = shutil.copytree(trained, tmp_path / "run")
    before = full_disk.files_in(run)
    (tmp_path / "out").mkdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        one_line(*full_disk.commands(tmp_path, tiny_demo, run)[name])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert full_disk.files_in(run) == before
    assert not any(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_a_run_folder_that_becomes_read_only_keeps_its_last_state(
    tiny_demo, tmp_path, one_line, monkeypatch
):
    replace, state = Path.replace, tmp_path / "run/checkpoints/state.npz"

    def until_the_first_state(self, target):
        if state.exists():
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(target))
        return replace(self, target)

    command = ["train", "--attention", "--data", tiny_demo, "--runs-dir", tmp_path, "--name", "run"]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", until_the_first_state)
        one_line(*command, *TINY_FLAGS)
    assert position(state) == (1, 0)
    assert not list(tmp_path.rglob(".*.part*"))


@pytest.mark.slow
def test_the_whole_campaign():
    done = subprocess.run([sys.executable, "-m", "tests.faults.full_disk"], cwd=ROOT)
    assert done.returncode == 0
