"""A SavedModel, asked in place of its run."""

import shutil
import sys

import numpy as np
import pytest

from ar3d_keras import predict
from ar3d_keras.cli import main
from ar3d_keras.inference.classifier import DESCRIPTION
from ar3d_keras.inference.saved_model import find_version, from_saved_model


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """A folder of versions."""
    folder = tmp_path_factory.mktemp("exported")
    assert main(["export", "--run", str(run.folder), "--to", str(folder)]) == 0
    return folder


def test_it_says_what_its_run_says(run, classifier, exported, write_video, tmp_path):
    loaded = from_saved_model(exported)
    assert (loaded.class_names, loaded.shape) == (classifier.class_names, classifier.shape)
    assert loaded.origin == str(exported / "1")
    video = write_video(tmp_path / "video.avi", frames=30)
    for windows in ({}, {"window_seconds": 0.5}):
        [asked] = predict(video, run=run.folder, **windows)
        [served] = predict(video, saved_model=exported / "1", **windows)
        np.testing.assert_allclose(served.probabilities, asked.probabilities, atol=1e-6)


def test_the_highest_version_is_taken(tmp_path):
    for version in ("2", "10", "9", "newest"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "saved_model.pb").touch()
    (tmp_path / "11").mkdir()  # being copied
    assert find_version(tmp_path) == tmp_path / "10"
    assert find_version(tmp_path / "2") == tmp_path / "2"


def test_folders_that_hold_none(tmp_path, user_error):
    for folder in (tmp_path, tmp_path / "gone"):
        with user_error(f"no SavedModel at {folder}", "ar3d export"):
            from_saved_model(folder)


def test_a_saved_model_of_somebody_else(exported, tmp_path, user_error):
    version = shutil.copytree(exported / "1", tmp_path / "1")
    for content in (None, "nothing", "{}", '{"classes": [], "shape": {"frames": 4}}', "[]"):
        (version / DESCRIPTION).unlink(missing_ok=True)
        if content:
            (version / DESCRIPTION).write_text(content)
        with user_error("preprocessor.json cannot be used", "ar3d export"):
            from_saved_model(version)


def test_a_damaged_saved_model(exported, tmp_path, user_error):
    version = shutil.copytree(exported / "1", tmp_path / "1")
    (version / "saved_model.pb").write_bytes(b"nothing")
    with user_error(f"{version} cannot be loaded", "export the run again"):
        from_saved_model(version)
    shutil.copy(exported / "1/saved_model.pb", version)
    shutil.rmtree(version / "variables")
    with user_error(f"{version} cannot be loaded", "export the run again"):
        from_saved_model(version)


def test_without_tensorflow(exported, monkeypatch, user_error):
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # as if it were not installed
    with user_error("pip install ar3d-keras[tensorflow]", "--run"):
        from_saved_model(exported)
