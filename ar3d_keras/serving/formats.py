"""A network as one file of ONNX, OpenVINO or LiteRT, each written by Keras's own export.

As the SavedModel, it is written in a process whose Keras runs on TensorFlow, whatever backend
trained it. There the converters may print, warn and change NumPy as they do.
"""

import importlib.util
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ar3d_keras import atomic
from ar3d_keras.errors import UserError
from ar3d_keras.serving.tensorflow_process import run_in_tensorflow_subprocess

Format = Literal["onnx", "openvino", "litert"]

FILES = {"onnx": "network.onnx", "openvino": "network.xml", "litert": "network.tflite"}
# The package that writes a format, besides TensorFlow.
WRITERS = {"onnx": "tf2onnx", "openvino": "openvino", "litert": "tensorflow"}


def export_file(
    network: Path,
    folder: Path,
    description: Mapping[str, Any],
    format: Format,
    *,
    int8: bool = False,
) -> Path:
    """Writes a folder with a network's file and its description, whole or not at all.

    The file takes `clip` uint8 (batch, T, H, W, C) of the network's size, for any batch, and
    gives `probabilities` float32 (batch, classes). The description beside it, preprocessor.json,
    is that of a SavedModel (`inference.recogniser.DESCRIPTION`).

    Args:
        network: a .keras file.
        folder: to make.
        description: made by `inference.recogniser.describe`.
        format: of the file.
        int8: LiteRT alone: whether weights are int8, with one scale for each output channel.

    Returns:
        The network's file: network.onnx, network.xml (network.bin beside it) or network.tflite.

    Raises:
        UserError: as `check` does, or the network cannot be loaded.
    """
    from ar3d_keras.inference.classifier import DESCRIPTION

    check(folder, format, int8=int8)
    try:
        with atomic.replacing(folder) as temporary:
            atomic.write_json(temporary / Path(DESCRIPTION).name, description)
            run_in_tensorflow_subprocess(
                write, network=network, file=temporary / FILES[format], format=format, int8=int8
            )
    except FileExistsError:  # another export was quicker
        check(folder, format, int8=int8)
        raise
    return folder / FILES[format]


def check(folder: Path, format: Format, *, int8: bool = False) -> None:
    """Refuses an export that cannot be, before Keras starts.

    Raises:
        UserError: int8 of another format than LiteRT, a package is missing, or `folder` exists or
            lies below a file.
    """
    if int8 and format != "litert":
        raise UserError(f"--int8 belongs to --format litert, not to {format}")
    for package, extra in (("tensorflow", "tensorflow"), (WRITERS[format], "export")):
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"--format {format} is written by {package}, which is not installed: "
                f"`pip install ar3d-keras[{extra}]`"
            )
    if there := atomic.in_the_way(folder) or (folder.exists() and folder):
        raise UserError(f"{there} exists: remove it, or name another folder with --to")


def write(network: str | Path, file: str | Path, format: Format, *, int8: bool = False) -> None:
    """Writes a network's file, where Keras runs on TensorFlow.

    Args:
        network: a .keras file.
        file: with the suffix of its format.
        format: of the file.
        int8: LiteRT alone: whether weights are int8.
    """
    import keras

    from ar3d_keras import load_model

    model = load_model(network)
    clip = keras.InputSpec(shape=model.input_shape, dtype="uint8", name="clip")
    model = keras.Model(model.input, {"probabilities": model.output})
    options: dict[str, Any] = {}
    if format == "onnx":
        # Earlier ones make a wrong graph of i3d over few frames.
        options = {"opset_version": 18}
    elif format == "openvino":
        # It would tell Intel that it is imported; without its telemetry it runs as well.
        sys.modules.setdefault("openvino_telemetry", None)
    else:
        import tensorflow as tf

        from ar3d_keras.serving.litert import for_litert

        model = for_litert(model)
        options = {
            "target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},  # Flex: an error
            "optimizations": [tf.lite.Optimize.DEFAULT] if int8 else [],
        }
    with warnings.catch_warnings():
        # keras 3.15 patches tf2onnx for NumPy 2.
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
        model.export(str(file), format=format, input_signature=[clip], verbose=False, **options)
