"""A SavedModel in place of its run."""

import json
import shutil
import sys

import numpy as np
import pytest

from ar3d_keras import predict
from ar3d_keras.experiments.load import describe_run
from ar3d_keras.inference.classifier import DESCRIPTION, OLD_DESCRIPTION, read_description
from ar3d_keras.inference.saved_model import find_version, from_saved_model
from ar3d_keras.serving.export import export_saved_model


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """A folder of versions."""
    folder = tmp_path_factory.mktemp("exported")
    export_saved_model(run.best, folder, describe_run(run))
    return folder


def test_its_predictions_are_those_of_its_run(run, classifier, exported, write_video, tmp_path):
    loaded = from_saved_model(exported)
    assert (loaded.class_names, loaded.shape) == (classifier.class_names, classifier.shape)
    assert loaded.origin == str(exported / "1")
    video = write_video(tmp_path / "video.avi", frames=30)
    for windows in ({}, {"window_seconds": 0.5}):
        [expected] = predict(video, run=run.folder, **windows)
        [served] = predict(video, saved_model=exported / "1", **windows)
        np.testing.assert_allclose(served.probabilities, expected.probabilities, atol=1e-6)


def test_the_highest_version_is_loaded(tmp_path):
    for version in ("2", "10", "9", "newest"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "saved_model.pb").touch()
    (tmp_path / "11").mkdir()  # being copied
    assert find_version(tmp_path) == tmp_path / "10"
    assert find_version(tmp_path / "2") == tmp_path / "2"


def test_folders_without_a_saved_model(tmp_path, user_error):
    for folder in (tmp_path, tmp_path / "gone"):
        with user_error(str(folder), "`ar3d export`"):
            from_saved_model(folder)


def test_a_saved_model_of_another_program(exported, tmp_path, user_error):
    (tmp_path / DESCRIPTION).parent.mkdir()
    shutil.copy(exported / "1/saved_model.pb", tmp_path)
    empty = '{"class_names": [], "clip_shape": {"frames": 4}}'
    for content in (None, "nothing", "{}", empty, "[]"):
        (tmp_path / DESCRIPTION).unlink(missing_ok=True)
        if content:
            (tmp_path / DESCRIPTION).write_text(content)
        with user_error("preprocessor.json", "`ar3d export`"):
            from_saved_model(tmp_path)


def test_a_description_of_version_0_1_is_read(classifier, exported, tmp_path):
    content = json.loads((exported / "1" / DESCRIPTION).read_text())
    old = {"classes": content["class_names"], "shape": content["clip_shape"]}
    for name in (OLD_DESCRIPTION, DESCRIPTION):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(old))
        assert read_description(tmp_path) == (
            classifier.class_names,
            classifier.shape,
            None,
            "float32",
        )
        (tmp_path / name).unlink()


def test_a_damaged_saved_model(exported, tmp_path, user_error):
    version = shutil.copytree(exported / "1", tmp_path / "1")
    (version / "saved_model.pb").write_bytes(b"nothing")
    with user_error(str(version)):
        from_saved_model(version)
    shutil.copy(exported / "1/saved_model.pb", version)
    shutil.rmtree(version / "variables")
    with user_error(str(version)):
        from_saved_model(version)


def test_without_tensorflow(exported, monkeypatch, user_error):
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # as if it were not installed
    with user_error("pip install ar3d-keras[tensorflow]", "`run`"):
        from_saved_model(exported)
