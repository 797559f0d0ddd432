"""The precision of a training: the one asked for, or the fastest one that trains equally well.

mixed_bfloat16 trains the gated network 2.9 times as fast as float32 on a CPU with AMX (docs/paper.md,
"Precision"). On a CPU with other bfloat16 units the gain depends on the CPU and on the network, so
two steps of this network are timed there, once for each machine and network.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ar3d_keras.atomic import write_json
from ar3d_keras.config import TrainConfig
from ar3d_keras.models import network
from ar3d_keras.models.costs import gflops
from ar3d_keras.models.precision import MARGIN
from ar3d_keras.training import hardware
from ar3d_keras.training.trainer import build_network, compile_network
from ar3d_keras.videos.cache import cache_folder
from ar3d_keras.videos.reader import cores

FLOAT32, BFLOAT16 = "float32", "mixed_bfloat16"
# A smaller network is not worth a measurement: other work than its arithmetic takes the time.
LEAST_GFLOPS = 1.0
CLIPS, ROUNDS = 2, 3
CLEAR = 1.5  # a ratio this far from MARGIN needs no further round
NEVER = 1e9  # seconds: longer than any step

_measured: dict[str, dict[str, float]] = {}  # where there is no cache folder


class Choice(NamedTuple):
    """The precision of a training.

    Attributes:
        precision: a dtype policy.
        reason: why `auto` chose it, for the record; None if it was asked for.
    """

    precision: str
    reason: str | None = None


def choose_precision(config: TrainConfig) -> Choice:
    """The dtype policy of a training.

    Args:
        config: resolved; its `precision` is auto, float32, mixed_bfloat16 or mixed_float16.

    Raises:
        UserError: the backend cannot compute in this precision.
    """
    precision = config.recipe.precision
    if precision != "auto":
        hardware.check_precision(precision)
        return Choice(precision)
    if hardware.gpu_name() is not None:
        if hardware.gpu_has_bfloat16():
            return Choice(BFLOAT16, "the GPU has bfloat16 units")
        return Choice(FLOAT32, "the GPU has no bfloat16 units")
    units = hardware.bfloat16_units()
    if hardware.backend() != "tensorflow" or not units:
        return Choice(FLOAT32, f"{hardware.backend()} has no fast bfloat16 on this CPU")
    if not network(config.model.model).trains_in_bfloat16:
        return Choice(FLOAT32, f"{config.model.model} does not train reliably in bfloat16")
    if gflops(build_network(config, ("0", "1"), FLOAT32)) < LEAST_GFLOPS:
        return Choice(FLOAT32, "the network is small")
    if "amx_bf16" in units:
        return Choice(BFLOAT16, "the CPU has AMX")
    return _fastest(_seconds(config))


def _fastest(seconds: Mapping[str, float]) -> Choice:
    ratio = _ratio(seconds)
    return Choice(
        BFLOAT16 if ratio >= MARGIN else FLOAT32,
        f"measured: a step takes {ratio:.2f} times as long in float32 as in mixed_bfloat16",
    )


def _ratio(seconds: Mapping[str, float]) -> float:
    return seconds[FLOAT32] / seconds[BFLOAT16]


def _seconds(config: TrainConfig) -> dict[str, float]:
    """The CPU time of a training step by precision, measured now or on this machine before."""
    key, file = _key(config), _cache_file()
    known = {**_load(file), **_measured}
    if key not in known:
        known[key] = _measured[key] = measure(config)
        if file:
            with contextlib.suppress(OSError):
                write_json(file, known)
    return known[key]


def measure(config: TrainConfig) -> dict[str, float]:
    """Times training steps on a small batch, in turns; NEVER where the loss is not finite.

    It stops as soon as one precision is clearly faster.
    """
    models, seconds = {}, {FLOAT32: NEVER, BFLOAT16: NEVER}
    for precision in seconds:
        models[precision] = model = build_network(config, ("0", "1"), precision)
        compile_network(model, config.recipe, steps=1, precision=precision)
    failed: set[str] = set()
    shape = CLIPS, *models[FLOAT32].input_shape[1:]
    clips = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    batch = clips, np.arange(CLIPS) % 2, np.ones(CLIPS, np.float32)
    for number in range(1 + ROUNDS):
        for precision, model in models.items():
            begun = time.process_time()
            loss = np.asarray(model.train_on_batch(*batch)[0])
            passed = time.process_time() - begun
            if not np.isfinite(loss):
                failed.add(precision)
            elif number > 0:  # the first step is traced and compiled
                seconds[precision] = min(seconds[precision], passed)
        if number > 0 and not 1 / CLEAR < _ratio(seconds) / MARGIN < CLEAR:
            break
    return {name: NEVER if name in failed else value for name, value in seconds.items()}


def _key(config: TrainConfig) -> str:
    """This machine and this network: a result of another machine is not used."""
    data = config.data
    facts: Mapping[str, Any] = {
        "cpu": hardware.cpu_model(),
        "cores": cores(),
        "units": hardware.bfloat16_units(),
        "versions": hardware.versions(),
        "clip": (data.frames, data.height, data.width),
        "network": (config.model.model, config.model.given()),
    }
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _cache_file() -> Path | None:
    folder = cache_folder()
    return folder and folder / "precision.json"


def _load(file: Path | None) -> dict[str, dict[str, float]]:
    """The cached measurements; empty if there are none, or the file is damaged."""
    try:
        content = json.loads(file.read_text()) if file else {}
        return {
            key: {name: float(values[name]) for name in (FLOAT32, BFLOAT16)}
            for key, values in content.items()
            if min(float(values[name]) for name in (FLOAT32, BFLOAT16)) > 0
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
