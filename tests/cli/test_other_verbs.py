"""ar3d demo, check, export and the help."""

import json
import shutil
import subprocess
import sys

import pytest
from processes import ROOT  # tests/cli/processes.py

from ar3d_keras.cli import VERBS, main


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_that_shows_commands(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("usage") for line in lines)
    # Each command on a line of its own, as it is typed.
    assert sum(line.startswith((f"ar3d {verb}", f"python {verb}.py")) for line in lines) >= 1


def test_help_needs_no_backend():
    code = (
        "import sys; sys.argv=['train.py']; from ar3d_keras.cli import main\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'sklearn', 'cv2', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_demo_is_made_once(tmp_path, capsys, monkeypatch):
    assert main(["demo", "--to", str(tmp_path / "demo")]) == 0
    assert "made the demo set, 600 videos" in capsys.readouterr().out
    assert main(["demo", "--to", str(tmp_path / "demo")]) == 0
    assert "made the" not in capsys.readouterr().out


def test_check_names_what_cannot_be_decoded(tiny_demo, tmp_path, capsys):
    for name in ("MoveUp", "MoveDown"):
        (tmp_path / name).mkdir()
        video = next((tiny_demo / name).iterdir())
        (tmp_path / name / video.name).symlink_to(video)
    assert main(["check", "--data", str(tmp_path)]) == 0
    assert "2 videos, 2 classes" in capsys.readouterr().out
    (tmp_path / "MoveUp/broken.avi").write_bytes(b"RIFF")
    assert main(["check", "--data", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert "'MoveUp/broken.avi'" in captured.out
    assert "1 of 3 videos" in captured.err


def test_export_writes_the_next_version(trained, tmp_path, capsys):
    for version in ("1", "2"):
        assert main(["export", "--run", str(trained), "--to", str(tmp_path)]) == 0
        assert (tmp_path / version / "saved_model.pb").is_file()


def test_export_never_changes_a_version(trained, tmp_path, refused):
    to = "--run", trained, "--to", tmp_path
    assert main(["export", *map(str, to), "--version", "3"]) == 0
    before = (tmp_path / "3/saved_model.pb").read_bytes()
    error = refused("export", *to, "--version", "3")
    assert "3 exists, and a version is never changed" in error
    assert "leave --version out for 4" in error
    assert (tmp_path / "3/saved_model.pb").read_bytes() == before
    assert "--version 0 must be at least 1" in refused("export", *to, "--version", "0")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()].count("3") == 1


def test_export_writes_other_formats(trained, tmp_path, capsys, refused):
    run = shutil.copytree(trained, tmp_path / "run")
    litert = "export", "--run", str(run), "--format", "litert"
    assert main([*litert, "--int8"]) == 0
    file = run / "export/litert-int8/network.tflite"
    assert f"litert  {file}" in capsys.readouterr().out
    assert file.is_file()
    classes = json.loads((run / "run.json").read_text())["classes"]
    assert json.loads(file.with_name("preprocessor.json").read_text())["class_names"] == classes
    assert f"{file.parent} exists: remove it" in refused(*litert, "--int8")
    below = tmp_path / "file/onnx"
    below.parent.write_text("")
    assert f"{below.parent} exists: remove it" in refused(*litert, "--to", below)
    for arguments, reason in (
        (["--format", "onnx", "--int8"], "--int8 belongs to --format litert, not to onnx"),
        (["--int8"], "--int8 belongs to --format litert, not to savedmodel"),
        (["--format", "onnx", "--version", "2"], "--version belongs to --format savedmodel"),
    ):
        assert reason in refused("export", "--run", run, *arguments)
