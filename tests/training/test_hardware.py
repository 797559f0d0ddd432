import contextlib

import keras
import numpy as np
import pytest

from ar3d_keras import Conv3DClassifier, UserError
from ar3d_keras.training import hardware

pytestmark = pytest.mark.multi_backend


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_a_precision_trains_or_is_refused_at_the_door(precision):
    try:
        hardware.check_precision(precision)
    except UserError as error:
        assert error.parameter == "precision" and precision in str(error)
        assert hardware.gpu_name() is None
        return
    model = Conv3DClassifier(
        2, attention=True, frames=2, height=4, width=4, filters=2, pool=2, dense=3, dtype=precision
    )
    model.compile("adam", "sparse_categorical_crossentropy", **hardware.compile_options())
    loss = model.train_on_batch(np.zeros((2, 2, 4, 4, 3), np.uint8), np.array([0, 1]))
    assert np.isfinite(float(np.asarray(loss)))


def test_tf32_is_off_inside_and_as_it_was_after():
    """A fold that trains after an evaluation computes as the first fold did."""
    read = {
        "tensorflow": lambda: _tf().config.experimental.tensor_float_32_execution_enabled(),
        "jax": lambda: __import__("jax").config.jax_default_matmul_precision,
        "torch": lambda: __import__("torch").backends.cudnn.allow_tf32,
    }[hardware.backend()]
    before = read()
    for _ in range(2):
        with contextlib.suppress(ZeroDivisionError), hardware.disable_tf32():
            assert read() == {"jax": "highest"}.get(hardware.backend(), False)
            raise ZeroDivisionError
        assert read() == before


def _tf():
    import tensorflow as tf

    return tf


def test_xla_is_off_on_tensorflows_cpu():
    expected = hardware.backend() == "tensorflow" and hardware.gpu_name() is None
    assert hardware.compile_options() == ({"jit_compile": False} if expected else {})


def test_the_record_names_machine_and_versions():
    assert hardware.environment_info() == {
        "backend": keras.backend.backend(),
        "device": hardware.device_name(),
    }
    assert {"python", "keras", "numpy", "opencv", hardware.backend()} == set(hardware.versions())
