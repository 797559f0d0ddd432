"""ar3d demo, check, export and the help."""

import functools
import json
import shutil

import pytest
from processes import python  # tests/processes.py

import ar3d_keras
from ar3d_keras.cli import VERBS, main, verb_module
from ar3d_keras.cli.options import _helps, option_names, parse, typed_names
from ar3d_keras.cli.train import TrainOptions
from ar3d_keras.videos import demo


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_that_shows_commands(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("usage") for line in lines)
    # Each command on a line of its own, as it is typed.
    assert sum(line.startswith((f"ar3d {verb}", f"python {verb}.py")) for line in lines) >= 1


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_has_a_help_text(verb, capsys):
    """--help is short where --help-all has more; no value is shown as {None}."""
    texts = []
    for flag in ("--help", "--help-all"):
        with pytest.raises(SystemExit) as stop:
            main([verb, flag])
        assert stop.value.code == 0
        texts.append(capsys.readouterr().out)
    short, whole = texts
    assert "{None}" not in whole and "None|" not in whole and "|None" not in whole
    options = verb_module(verb).OPTIONS
    for name in option_names(options):
        if name not in ("paths", "runs", "files", "place"):  # positional
            assert f"--{name.replace('_', '-')} " in whole.replace(",", " ").replace("\n", " "), (
                name
            )
    if verb in ("train", "crossval", "tune", "show-clips"):
        assert len(short.splitlines()) < 60 < len(whole.splitlines())
        assert "--data" in short and "--hue" not in short
    helps = _helps(options)
    assert all(helps[name] for name in option_names(options))


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert ar3d_keras.__version__ in capsys.readouterr().out


def test_a_verb_that_does_not_exist(refused):
    assert "dance" in refused("dance")


OLD_FLAGS = [
    (["--shrink", "2"], "spatial_downsample", 2),
    (["--log-features"], "log_pooling", True),
    (["--no-log-features"], "log_pooling", False),
    (["--erase=0.5"], "random_erasing", 0.5),
    (["--frames-network", "MobileNet"], "backbone", "MobileNet"),
    (["--frames-weights", "imagenet"], "backbone_weights", "imagenet"),
]


@pytest.mark.parametrize(("flags", "option", "value"), OLD_FLAGS)
def test_old_flags_work_and_name_the_new_one(flags, option, value, capsys):
    given = parse(TrainOptions, flags, verb="train", text="")
    assert {**vars(given.data), **vars(given.model)}[option] == value
    assert "--" + option.replace("_", "-") in capsys.readouterr().err.replace("--no-", "--")
    assert option in typed_names(flags)


def test_help_needs_no_backend():
    code = (
        "import sys; sys.argv=['train.py']; from ar3d_keras.cli import main\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'sklearn', 'cv2', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    assert python("-c", code).returncode == 0


def test_demo_is_made_once(tmp_path, monkeypatch, done):
    small = functools.partial(demo.make_demo, groups=5, clips=1)
    monkeypatch.setattr(demo, "make_demo", small)
    done("demo", "--to", tmp_path / "demo")
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "demo").rglob("*.avi")}
    assert len(made) == 40
    done("demo", "--to", tmp_path / "demo")
    assert made == {path: path.stat().st_mtime_ns for path in made}


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


def test_export_never_changes_a_version(trained, tmp_path, refused, done):
    to = "--run", trained, "--to", tmp_path
    done("export", *to, "--version", 3)
    before = (tmp_path / "3/saved_model.pb").read_bytes()
    error = refused("export", *to, "--version", "3")
    assert str(tmp_path / "3") in error and "--version" in error
    assert (tmp_path / "3/saved_model.pb").read_bytes() == before
    error = refused("export", *to, "--version", "0")
    assert "--version" in error and "0" in error
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()].count("3") == 1


@pytest.mark.slow  # tests/serving tests the formats
def test_export_writes_other_formats(trained, tmp_path, refused, done):
    run = shutil.copytree(trained, tmp_path / "run")
    litert = "export", "--run", run, "--format", "litert"
    done(*litert, "--int8")
    file = run / "export/litert-int8/network.tflite"
    assert file.is_file()
    description = json.loads(file.with_name("preprocessor.json").read_text())
    assert list(description["class_names"]) == ["Grow", "MoveDown", "MoveUp"]
    assert str(file.parent) in refused(*litert, "--int8")
    below = tmp_path / "file/onnx"
    below.parent.write_text("")
    assert str(below.parent) in refused(*litert, "--to", below)
    for arguments, parts in (
        (["--format", "onnx", "--int8"], ("--int8", "--format")),
        (["--int8"], ("--int8", "--format")),
        (["--format", "onnx", "--version", "2"], ("--version", "--format")),
    ):
        error = refused("export", "--run", run, *arguments)
        assert all(part in error for part in parts), error
