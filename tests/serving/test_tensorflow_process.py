"""The process whose Keras runs on TensorFlow."""

import pytest

from ar3d_keras import UserError
from ar3d_keras.serving import tensorflow_process
from ar3d_keras.serving.formats import write
from ar3d_keras.serving.tensorflow_process import (
    ExporterNotInstalled,
    run_in_tensorflow_subprocess,
)
from ar3d_keras.videos.catalog import open_catalog


def test_without_tensorflow_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(tensorflow_process.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExporterNotInstalled, match=r"ar3d-keras\[tensorflow\]"):
        run_in_tensorflow_subprocess(write, network="n", file="f", format="litert")


def test_a_tensorflow_that_cannot_be_imported_is_not_installed(tmp_path, monkeypatch):
    text = "raise ModuleNotFoundError(\"No module named 'tensorflow'\")"
    (tmp_path / "tensorflow.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ExporterNotInstalled):
        run_in_tensorflow_subprocess(write, network="n", file="f", format="litert")


def test_a_users_error_there_is_one_here(tmp_path):
    root = tmp_path / "Füße \udcff"
    with pytest.raises(UserError) as error:
        run_in_tensorflow_subprocess(open_catalog, data=root)
    assert str(root) in str(error.value)


def test_a_bug_there_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="unexpected keyword argument 'nonsense'"):
        run_in_tensorflow_subprocess(write, nonsense=1)
