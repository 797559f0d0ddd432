"""How long does one clip take in each runtime to which a network can be exported?

python -m benchmarks.latency [--repeats 5] [--threads 2] [--json FILE]

One clip of the paper's size (16 frames of 112x112) through the gated network with its default
sizes and 101 classes, batch 1, from uint8 in memory to probabilities: Keras's predict_on_batch, the
SavedModel called without Keras (also exported in bfloat16), ONNX Runtime, OpenVINO, LiteRT (also with convolutions over time
and space, as they are before `serving/litert.py`), and the same network in plain PyTorch. All have
the same weights, and their outputs must be equal. In each round a runtime predicts the clip six
times; its figure is the median of the last five.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import bench, plain_torch, runtimes

if TYPE_CHECKING:
    from ar3d_keras import Conv3DClassifier

CLASSES = 101
PACKAGES = "keras tensorflow onnxruntime openvino ai-edge-litert torch numpy".split()
# Largest difference to the probabilities of Keras, in float32 and with fewer bits.
PRECISE, ROUGH = 1e-5, 1e-3
REDUCED = ("SavedModel, bfloat16", "OpenVINO, bfloat16", "LiteRT, int8 weights")


def main() -> None:
    """Prints a Markdown table."""
    parser = bench.parser(__doc__, repeats=5)
    parser.add_argument("--threads", type=int, default=2, help="of each runtime")
    options = parser.parse_args()
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    clip = np.random.default_rng(0).integers(0, 256, (1, 16, 112, 112, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        contenders = build(Path(folder), options.threads)
        expected = contenders["Keras predict_on_batch"](clip)
        for name, classify in contenders.items():
            error = np.abs(classify(clip) - expected).max()
            if error > (ROUGH if name in REDUCED else PRECISE):
                raise SystemExit(f"{name} differs from Keras by {error}")
        seconds = bench.take_turns(
            {name: lambda run=run: median_seconds(run, clip) for name, run in contenders.items()},
            options.repeats,
        )
    first = next(iter(contenders))
    ratios = {name: bench.ratio(seconds, name, first) for name in contenders}
    rows = [
        [name, bench.spread([1e3 * s for s in seconds[name]]), f"{ratios[name]:.2f}"]
        for name in contenders
    ]
    header = ["", "ms a clip", f"/ {first}"]
    found = {f"latency.{name}": ratio for name, ratio in ratios.items()}
    rough = [name for name in contenders if name.endswith("bfloat16")]
    exact = [name for name in contenders if name not in REDUCED]
    for served, group in (("SavedModel", exact), ("SavedModel, bfloat16", rough)):
        fastest = min(group, key=lambda name: statistics.median(seconds[name]))
        found[f"latency.{served}_over_fastest"] = bench.ratio(seconds, served, fastest)
    bench.report(
        options,
        bench.table(header, rows),
        found,
        packages=PACKAGES,
        config={"clip": [16, 112, 112, 3], "classes": CLASSES, "attention": True, "batch": 1},
    )


def median_seconds(classify: Callable, clip: np.ndarray) -> float:
    """Returns the median of five runs after a first one that is not counted."""
    time.sleep(0.3)  # OpenMP threads spin for 0.2 s after their last work
    return statistics.median([bench.seconds(lambda: classify(clip)) for _ in range(6)][1:])


def build(folder: Path, threads: int) -> dict[str, runtimes.Classify]:
    """Returns every runtime by its name, with the same network."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    import keras

    from ar3d_keras import Conv3DClassifier
    from ar3d_keras.inference.classifier import describe
    from ar3d_keras.serving import formats
    from ar3d_keras.serving.export import export_saved_model
    from ar3d_keras.videos.sampling import ClipShape

    keras.utils.set_random_seed(0)
    network = Conv3DClassifier(CLASSES, attention=True)
    file = folder / "network.keras"
    network.save(file)
    description = describe([str(number) for number in range(CLASSES)], ClipShape())
    served = export_saved_model(file, folder / "saved_model", description)
    rough = export_saved_model(
        file, folder / "bfloat16", {**description, "inference": {"precision": "bfloat16"}}
    )
    made = {
        name: formats.export_file(file, folder / name, description, format, int8="int8" in name)
        for name, format in (
            ("onnx", "onnx"),
            ("openvino", "openvino"),
            ("litert", "litert"),
            ("litert-int8", "litert"),
        )
    }
    return {
        "Keras predict_on_batch": lambda clip: network.predict_on_batch(clip),
        "SavedModel": runtimes.saved_model(served),
        "SavedModel, bfloat16": runtimes.saved_model(rough),
        "ONNX Runtime": runtimes.onnx(made["onnx"], threads),
        "OpenVINO, float32": runtimes.openvino(made["openvino"], threads),
        "OpenVINO, bfloat16": runtimes.openvino(made["openvino"], threads, "bf16"),
        "LiteRT": runtimes.litert(made["litert"], threads),
        "LiteRT, int8 weights": runtimes.litert(made["litert-int8"], threads),
        "LiteRT, its own CONV_3D": runtimes.litert(
            in_three_dimensions(network, folder / "conv3d.tflite"), threads
        ),
        "PyTorch": plain_pytorch(network, threads, compiled=False),
        "PyTorch, compiled": plain_pytorch(network, threads, compiled=True),
    }


def in_three_dimensions(network: "Conv3DClassifier", file: Path) -> Path:
    """Writes a LiteRT file that keeps 3D convolutions; only its pooling is 2D, to avoid Flex."""
    import keras

    from ar3d_keras.serving.litert import Pooling

    def replaced(layer: keras.Layer) -> keras.Layer:
        return Pooling(layer) if isinstance(layer, keras.layers.AveragePooling3D) else layer

    clip = keras.InputSpec(shape=network.input_shape, dtype="uint8", name="clip")
    model = keras.Model(network.input, {"probabilities": network.output})
    model = keras.models.clone_model(model, clone_function=replaced)
    model.export(str(file), format="litert", input_signature=[clip], verbose=False)
    return file


def plain_pytorch(
    network: "Conv3DClassifier", threads: int, *, compiled: bool
) -> runtimes.Classify:
    """Returns the same network in PyTorch, with the same weights."""
    import torch

    torch.set_num_threads(threads)
    module = plain_torch.gated(CLASSES).eval()
    plain_torch.copy_weights(network, module)
    run = torch.compile(module) if compiled else module

    def classify(clip: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return run(torch.from_numpy(clip)).softmax(1).numpy()

    return classify


if __name__ == "__main__":
    main()
