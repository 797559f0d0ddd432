"""The process whose Keras runs on TensorFlow."""

import pytest

from ar3d_keras import UserError
from ar3d_keras.serving.formats import write
from ar3d_keras.serving.tensorflow_process import run_in_tensorflow_subprocess


def test_without_tensorflow_the_extra_is_named(tmp_path, monkeypatch):
    text = "raise ModuleNotFoundError(\"No module named 'tensorflow'\")"
    (tmp_path / "tensorflow.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UserError, match=r"pip install ar3d-keras\[tensorflow\]"):
        run_in_tensorflow_subprocess(write, network="n", file="f", format="litert")


def test_a_users_error_there_is_one_here(tmp_path):
    network = tmp_path / "Füße \udcff.keras"
    with pytest.raises(UserError) as error:
        run_in_tensorflow_subprocess(write, network=network, file="f", format="litert")
    assert str(error.value) == f"no network at {network}: name a .keras file"


def test_a_bug_there_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="unexpected keyword argument 'nonsense'"):
        run_in_tensorflow_subprocess(write, nonsense=1)
