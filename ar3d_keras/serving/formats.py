"""Exports a network as an ONNX, OpenVINO or LiteRT file with Keras's own export.

A process whose Keras runs on TensorFlow writes the file, whatever backend trained the network. The
converters print, warn and patch NumPy, and do that in a process of their own.
"""

import importlib.util
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ar3d_keras import atomic
from ar3d_keras.errors import UserError
from ar3d_keras.inference.classifier import DESCRIPTION
from ar3d_keras.serving.full_disk import writing
from ar3d_keras.serving.tensorflow_process import (
    ExporterNotInstalled,
    run_in_tensorflow_subprocess,
)

Format = Literal["onnx", "openvino", "litert"]

FILES = {"onnx": "network.onnx", "openvino": "network.xml", "litert": "network.tflite"}
# The package that writes a format, in addition to TensorFlow.
WRITERS = {"onnx": "tf2onnx", "openvino": "openvino", "litert": "tensorflow"}
# The precision of OpenVINO's computation is no part of its file: a client gives it when it compiles.
OPENVINO_HINTS = {
    "float32": {"INFERENCE_PRECISION_HINT": "f32"},
    "bfloat16": {"INFERENCE_PRECISION_HINT": "bf16"},
}


def export_file(
    network: Path,
    folder: Path,
    description: Mapping[str, Any],
    format: Format,
    *,
    int8: bool = False,
    documents: Mapping[str, str] | None = None,
) -> Path:
    """Writes a folder with the network and its description atomically.

    The network maps `clip`, uint8 (batch, T, H, W, C) with any batch size, to `probabilities`,
    float32 (batch, classes). The description, preprocessor.json, is that of a SavedModel.

    Args:
        network: a .keras file.
        folder: to create.
        description: made by `inference.classifier.describe`.
        format: of the file.
        int8: LiteRT only: whether weights are int8, with one scale for each output channel.
        documents: file name -> text, written beside the description.

    Returns:
        The network's file: network.onnx, network.xml (with network.bin) or network.tflite.

    Raises:
        ExporterNotInstalled: a package that writes the format is not installed.
        UserError: see `check`; or the network cannot be loaded, or the disk is full.
    """
    check(folder, format, int8=int8)
    try:
        with atomic.replacing(folder) as temporary:
            atomic.write_json(temporary / Path(DESCRIPTION).name, description)
            for name, text in (documents or {}).items():
                atomic.write_text(temporary / name, text)
            run_in_tensorflow_subprocess(
                write, network=network, file=temporary / FILES[format], format=format, int8=int8
            )
    except FileExistsError:  # another process wrote the same folder meanwhile
        check(folder, format, int8=int8)
        raise
    return folder / FILES[format]


def check(folder: Path, format: Format, *, int8: bool = False) -> None:
    """Checks an export before Keras starts.

    Raises:
        ExporterNotInstalled: a package that writes the format is not installed.
        UserError: `int8` is given for another format than LiteRT, or `folder` exists or lies below
            a file.
    """
    if int8 and format != "litert":
        raise UserError(f"`int8` needs the `format` litert, not {format}")
    for package, extra in (("tensorflow", "tensorflow"), (WRITERS[format], "export")):
        if importlib.util.find_spec(package) is None:
            raise ExporterNotInstalled(
                f"{package} writes the `format` {format}, and is not installed: "
                f"`pip install ar3d-keras[{extra}]`"
            )
    if there := atomic.in_the_way(folder) or (folder.exists() and folder):
        raise UserError(f"{there} exists: remove it, or choose another folder with `to`")


def write(network: str | Path, file: str | Path, format: Format, *, int8: bool = False) -> None:
    """Writes the network's file; Keras must run on TensorFlow.

    Args:
        network: a .keras file.
        file: with the suffix of its format.
        format: of the file.
        int8: LiteRT only: whether weights are int8.
    """
    import keras

    from ar3d_keras import load_model

    model = load_model(network)
    clip = keras.InputSpec(shape=model.input_shape, dtype="uint8", name="clip")
    model = keras.Model(model.input, {"probabilities": model.output})
    options: dict[str, Any] = {}
    if format == "onnx":
        # Earlier opsets make a wrong graph of i3d over few frames.
        options = {"opset_version": 18}
    elif format == "openvino":
        # Keeps OpenVINO from reporting its import to Intel.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    else:
        import tensorflow as tf

        from ar3d_keras.serving.litert import for_litert

        model = for_litert(model)
        options = {
            "target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},  # Flex: an error
            "optimizations": [tf.lite.Optimize.DEFAULT] if int8 else [],
        }
    with warnings.catch_warnings(), writing(f"the `format` {format}"):
        # Keras 3.15 patches tf2onnx for NumPy 2.
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
        model.export(str(file), format=format, input_signature=[clip], verbose=False, **options)
