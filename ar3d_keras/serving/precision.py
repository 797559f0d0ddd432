"""The precision of an exported network: measures how much faster bfloat16 is, and what it changes."""

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from ar3d_keras import atomic
from ar3d_keras.errors import UserError
from ar3d_keras.models.loading import load_model
from ar3d_keras.models.precision import BFLOAT16, FLOAT32, changes, is_faster
from ar3d_keras.serving.formats import OPENVINO_HINTS
from ar3d_keras.serving.formats import write as write_file
from ar3d_keras.serving.tensorflow_process import run_in_tensorflow_subprocess

Precision = Literal["auto", "float32", "bfloat16"]
Classify = Callable[[np.ndarray], np.ndarray]
ROUNDS = 3


def choose(
    network: Path,
    clips: np.ndarray,
    format: str,
    precision: Precision,
) -> dict[str, Any]:
    """Compares a network in bfloat16 with itself in float32, in the runtime of its export.

    Args:
        network: a .keras file.
        clips: uint8 (n, T, H, W, C), at least one.
        format: savedmodel is computed by TensorFlow, openvino by OpenVINO.
        precision: auto is the faster one on this machine, float32 if bfloat16 is not clearly faster.

    Returns:
        `precision`, and `bfloat16`: the result of `models.precision.changes`, and `speedup`, the CPU
        time of a clip in float32 divided by that in bfloat16.

    Raises:
        ExporterNotInstalled: TensorFlow is not installed.
        UserError: bfloat16 is wanted, and gives numbers that are not finite.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = {"clips": Path(folder) / "clips.npy", "result": Path(folder) / "result.json"}
        np.save(files["clips"], clips)
        if format == "savedmodel" and keras.backend.backend() == "tensorflow":
            measure(network, **files, format=format)
        else:
            run_in_tensorflow_subprocess(measure, network=network, **files, format=format)
        measured = json.loads(files["result"].read_text())
    finite = measured.pop("finite")
    if precision == BFLOAT16 and not finite:
        raise UserError(
            "`precision` bfloat16 gives probabilities that are not finite: export in float32"
        )
    seconds = measured.pop("seconds")
    if precision == "auto":
        precision = BFLOAT16 if finite and is_faster(seconds) else FLOAT32
    measured["speedup"] = round(seconds[FLOAT32] / seconds[BFLOAT16], 3)
    return {"precision": precision, "bfloat16": measured}


def measure(network: str | Path, clips: str | Path, result: str | Path, format: str) -> None:
    """Writes what `choose` needs as JSON; Keras must run on TensorFlow."""
    batches = np.load(clips)[:, None]
    found = _in_openvino(Path(network)) if format == "openvino" else _in_tensorflow(Path(network))
    outputs = {
        name: np.concatenate([classify(batch) for batch in batches])
        for name, classify in found.items()
    }
    finite = bool(np.isfinite(outputs[BFLOAT16]).all())
    content = {"finite": finite, "seconds": _seconds(found, batches[0])}
    if finite:
        content |= changes(outputs[FLOAT32], outputs[BFLOAT16])
    atomic.write_json(Path(result), content)


def _seconds(contenders: Mapping[str, Classify], batch: np.ndarray) -> dict[str, float]:
    """The CPU time of a batch, the least of a few rounds in turns."""
    seconds = dict.fromkeys(contenders, float("inf"))
    for _ in range(ROUNDS):
        for name, classify in contenders.items():
            begun = time.process_time()
            classify(batch)
            seconds[name] = min(seconds[name], time.process_time() - begun)
    return seconds


def _in_tensorflow(network: Path) -> dict[str, Classify]:
    model = load_model(network)
    return {
        FLOAT32: model.in_precision(FLOAT32).predict_on_batch,
        BFLOAT16: model.in_precision(BFLOAT16).predict_on_batch,
    }


def _in_openvino(network: Path) -> dict[str, Classify]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.xml"
        write_file(network, file, "openvino")
        from openvino import Core

        core = Core()
        compiled = {
            name: core.compile_model(str(file), "CPU", hints)
            for name, hints in OPENVINO_HINTS.items()
        }
    return {name: partial(_with_openvino, model) for name, model in compiled.items()}


def _with_openvino(model: Any, clips: np.ndarray) -> np.ndarray:
    return model({"clip": clips})["probabilities"]
