"""The guides: their commands run as they are printed, from raw files to a served model."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PREAMBLE = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"
# Takes the place of TensorFlow Serving, which no package index has.
SERVER = f"""#!{sys.executable}
import argparse, http.server, pathlib, sys
sys.path.insert(0, {str(ROOT / "tests" / "serving")!r})
from stand_in import Servable, rest
options = argparse.ArgumentParser()
for name in ("model_name", "model_base_path", "rest_api_port"):
    options.add_argument("--" + name, required=True)
given = options.parse_args()
servable = Servable(pathlib.Path(given.model_base_path), given.model_name)
address = "127.0.0.1", int(given.rest_api_port)
http.server.ThreadingHTTPServer(address, rest(servable)).serve_forever()
"""


def commands(page: Path) -> str:
    """The indented blocks of a page; fenced blocks show output and are not run."""
    lines, fenced = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("    ") and not fenced:
            lines.append(line.removeprefix("    "))
    return "\n".join(lines)


@pytest.fixture
def run_guide(tmp_path):
    """run_guide(name): runs the commands of a guide in a new folder, and returns this folder."""
    if not (shutil.which("bash") and shutil.which("curl")):
        pytest.skip("bash or curl is missing")
    pytest.importorskip("tensorflow_serving.apis")

    def run(name: str) -> Path:
        folder, programs = tmp_path / "user", tmp_path / "bin"
        folder.mkdir()
        programs.mkdir()
        for entry in ("train.py", "evaluate.py", "examples"):
            (folder / entry).symlink_to(ROOT / entry)
        python = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
        scripts = {
            "python": python,
            "ar3d": python.replace('"$@"', '-m ar3d_keras "$@"'),
            "tensorflow_model_server": SERVER,
        }
        for script, text in scripts.items():
            (programs / script).write_text(text)
            (programs / script).chmod(0o755)
        environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        done = subprocess.run(
            ["bash", "-c", PREAMBLE + commands(ROOT / "docs" / f"{name}.md")],
            cwd=folder, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        (tmp_path / "stdout.txt").write_text(done.stdout)
        return folder

    return run


def metrics(folder: Path, run: str, split: str = "test") -> dict:
    return json.loads((folder / "runs" / run / "evaluation" / split / "metrics.json").read_text())
