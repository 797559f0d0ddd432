"""The guides: their commands run as they are printed, from raw files to a served model."""

import json
import os
import re
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
    """run_guide(name): runs the commands of a guide; returns its folder and what it printed."""
    if not (shutil.which("bash") and shutil.which("curl")):
        pytest.skip("bash or curl is missing")
    pytest.importorskip("tensorflow_serving.apis")

    def run(name: str) -> tuple[Path, str]:
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
        return folder, done.stdout

    return run


def metrics(folder: Path, run: str, split: str = "test") -> dict:
    return json.loads((folder / "runs" / run / "evaluation" / split / "metrics.json").read_text())


def served(printed: str) -> list[str]:
    """The classes that the REST client printed, the likeliest first."""
    # The answer of the server to curl before it need not end with a new line.
    return re.findall(r"[\d.]+ %  (\S+)$", printed, re.MULTILINE)


@pytest.mark.slow
def test_behavior_lab(run_guide):
    folder, printed = run_guide("guide-behavior-lab")
    assert metrics(folder, "lab")["top1"] > 0.6  # four classes; 1.0 on the machine of the page
    events = json.loads((folder / "runs/lab/evaluation/events/events.json").read_text())
    assert events["test"]["iou"]["0.3"]["f1"] > 0.5
    labels = (folder / "data/lab/labels-2.csv").read_text().splitlines()
    assert sum(line.startswith("new/mouse9.mp4") for line in labels) > 5
    assert metrics(folder, "lab-2")["top1"] > 0.6
    assert sorted(served(printed)) == ["groom", "rear", "rest", "walk"]
    assert len((folder / "timeline.csv").read_text().splitlines()) > 500


@pytest.mark.slow
def test_surveillance_camera(run_guide):
    folder, printed = run_guide("guide-surveillance-camera")
    found = metrics(folder, "yard")
    assert found["top1"] > 0.6
    assert found["rejection"]["reject_error"] == 0.1
    split = (folder / "runs/yard/split.csv").read_text().splitlines()
    assert all(",test," in line for line in split if line.startswith("day8.mp4"))
    assert re.search(r"^\d\d:\d\d:\d\d .*frames/s", printed, re.MULTILINE)  # the camera
    assert set(served(printed)) == {"climb", "nothing", "person", "vehicle"}


@pytest.mark.slow
def test_sign_gestures(run_guide):
    folder, printed = run_guide("guide-sign-gestures")
    for name in ("gated", "plain"):
        found = json.loads((folder / "runs" / name / "crossval.json").read_text())
        assert found["videos"] == 100
        assert found["top1"] > 0.5
    assert (folder / "runs/signs/export/onnx/network.onnx").exists()
    assert served(printed)[0] == "wave"
