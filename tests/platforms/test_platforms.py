"""The package where the modules of Linux are not: simulated, as no other system is at hand."""

import os
import re
import tomllib
from pathlib import Path

from processes import ROOT, python  # tests/processes.py

HERE = Path(__file__).parent


def test_everything_is_imported_and_runs_without_what_linux_has(make_ucf, tmp_path):
    videos = make_ucf(tmp_path / "videos", groups=1, clips=2)
    done = python(
        "-X", "warn_default_encoding", HERE / "units.py", tmp_path / "out", videos,
        environment={
            "PYTHONPATH": os.pathsep.join(map(str, (HERE, ROOT))),
            "PYTHONIOENCODING": "cp1252",
        },
        encoding="cp1252",
        errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all units passed" in done.stdout
    # Text that a file of ours reads or writes in the encoding of the machine is a mistake.
    assert not re.search(r"ar3d_keras/\S+ EncodingWarning", done.stderr), done.stderr


def test_cuda_is_required_on_linux_only():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line for extra in extras["optional-dependencies"].values() for line in extra]
    lines += extras["dependencies"] + (ROOT / "requirements.txt").read_text().splitlines()
    with_cuda = [line for line in lines if "cuda" in line]
    assert len(with_cuda) == 2
    assert all(line.endswith("sys_platform == 'linux'") for line in with_cuda)
