import json

import keras
import pytest

from ar3d_keras.config import ModelConfig, RecipeConfig, TrainConfig
from ar3d_keras.models import network
from ar3d_keras.training import hardware, precision
from ar3d_keras.training.precision import choose_precision

PAPER = TrainConfig(model=ModelConfig(attention=True))
TINY = TrainConfig(model=ModelConfig(attention=True, filters=2, gate_kernel=(1, 1, 1)))
FAST = {"float32": 2.0, "mixed_bfloat16": 1.0}

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends compute in float32 on a CPU"
)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A CPU with AVX512-BF16 and without AMX; counts the measurements."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(precision, "_measured", {})
    monkeypatch.setattr(hardware, "gpu_name", lambda: None)
    monkeypatch.setattr(hardware, "bfloat16_units", lambda: ("avx512_bf16",))
    monkeypatch.setattr(hardware, "cpu_model", lambda: "one")
    calls = []

    def measure(config):
        calls.append(config)
        return dict(FAST)

    monkeypatch.setattr(precision, "measure", measure)
    return calls


@on_tensorflow
def test_it_is_measured_once_for_each_machine_and_network(machine, monkeypatch, tmp_path):
    for _ in range(2):
        assert choose_precision(PAPER).precision == "mixed_bfloat16"
    assert len(machine) == 1
    monkeypatch.setattr(precision, "_measured", {})  # another process reads the cache
    assert choose_precision(PAPER).reason and len(machine) == 1
    monkeypatch.setattr(hardware, "cpu_model", lambda: "another")
    choose_precision(PAPER)
    assert len(machine) == 2
    choose_precision(TrainConfig(model=ModelConfig(attention=True, filters=32)))
    assert len(machine) == 3
    (tmp_path / "ar3d_keras/precision.json").write_text('{"x": [1]}')
    monkeypatch.setattr(precision, "_measured", {})
    assert choose_precision(PAPER).precision == "mixed_bfloat16" and len(machine) == 4
    assert all(values == FAST for values in json.loads(
        (tmp_path / "ar3d_keras/precision.json").read_text()
    ).values())  # fmt: skip


@on_tensorflow
@pytest.mark.parametrize(
    ("seconds", "expected"), [(1.1, "float32"), (1.2, "mixed_bfloat16"), (1e-9, "float32")]
)
def test_bfloat16_must_be_clearly_faster(machine, monkeypatch, seconds, expected):
    slow = {"float32": seconds, "mixed_bfloat16": 1.0}
    monkeypatch.setattr(precision, "measure", lambda config: slow)
    assert choose_precision(PAPER).precision == expected


@on_tensorflow
def test_what_is_known_is_not_measured(machine, monkeypatch):
    assert not network("i3d").trains_in_bfloat16
    assert choose_precision(TINY).precision == "float32"
    assert choose_precision(TrainConfig(model=ModelConfig(model="i3d"))).precision == "float32"
    asked = TrainConfig(recipe=RecipeConfig(precision="mixed_bfloat16"))
    assert choose_precision(asked) == ("mixed_bfloat16", None)
    monkeypatch.setattr(hardware, "bfloat16_units", lambda: ("amx_bf16", "avx512_bf16"))
    assert choose_precision(PAPER).precision == "mixed_bfloat16"
    monkeypatch.setattr(hardware, "bfloat16_units", tuple)
    assert choose_precision(PAPER).precision == "float32"
    assert not machine


@pytest.mark.multi_backend
def test_other_backends_and_small_networks_train_in_float32_on_a_cpu():
    if hardware.gpu_name() is None:
        assert choose_precision(TINY).precision == "float32"


@on_tensorflow
def test_both_precisions_are_timed():
    seconds = precision.measure(TINY)
    assert set(seconds) == set(FAST) and all(
        0 < value < precision.NEVER for value in seconds.values()
    )
