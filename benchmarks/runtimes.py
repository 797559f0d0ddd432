"""Loads exported files; each runtime becomes a function from clips to probabilities."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

Classify = Callable[[np.ndarray], np.ndarray]


def onnx(file: Path, threads: int) -> Classify:
    """ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Spinning threads would take cores away from the next contender.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda clips: session.run(["probabilities"], {"clip": clips})[0]


def openvino(file: Path, threads: int, precision: str = "f32") -> Classify:
    """OpenVINO on the CPU."""
    sys.modules.setdefault("openvino_telemetry", None)
    from openvino import Core

    hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    model = Core().compile_model(file, "CPU", hints)
    return lambda clips: model({"clip": clips})["probabilities"]


def litert(file: Path, threads: int) -> Classify:
    """LiteRT on the CPU (XNNPACK)."""
    from ai_edge_litert.interpreter import Interpreter

    classify = Interpreter(str(file), num_threads=threads).get_signature_runner()
    return lambda clips: classify(clip=clips)["probabilities"]


def saved_model(folder: Path) -> Classify:
    """TensorFlow, without Keras and this package's layers."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder))
    classify = model.signatures["serving_default"]

    def run(clips: np.ndarray) -> np.ndarray:
        return classify(clip=tf.constant(clips))["probabilities"].numpy()

    run.model = model  # the signature alone does not keep the weights alive
    return run
