"""Do the exported files of a run predict its videos as Keras does?

python -m benchmarks.agreement [--run NAME] [--split test] [--data DIR]

Evaluates every format of a trained run on one split, each file in its own runtime, and prints the
accuracy, the mean and the largest difference of its probabilities to those of Keras, the number of
videos whose class changes, and the size of the file.
"""

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import bench, runtimes

if TYPE_CHECKING:
    from ar3d_keras.evaluation.metrics import Evaluation

PACKAGES = "keras tensorflow onnxruntime openvino ai-edge-litert numpy".split()
# name -> (format, int8, function that loads the file)
FILES = {
    "ONNX Runtime": ("onnx", False, runtimes.onnx),
    "OpenVINO, float32": ("openvino", False, runtimes.openvino),
    "OpenVINO, bfloat16": ("openvino", False, lambda *given: runtimes.openvino(*given, "bf16")),
    "LiteRT": ("litert", False, runtimes.litert),
    "LiteRT, int8 weights": ("litert", True, runtimes.litert),
}


def main() -> None:
    """Prints a Markdown table."""
    parser = bench.parser(__doc__, repeats=1)
    parser.add_argument("--run", help="a run folder, or a name under runs; default: the latest")
    parser.add_argument("--split", default="test", help="train, val or test")
    parser.add_argument("--data", type=Path, help="where the run's videos are, if they moved")
    options = parser.parse_args()
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    from ar3d_keras.evaluation.evaluator import evaluate
    from ar3d_keras.experiments.load import describe_run
    from ar3d_keras.models.loading import load_model
    from ar3d_keras.runs import find_run
    from ar3d_keras.serving import formats
    from ar3d_keras.videos.dataset import clip_shape, open_dataset
    from ar3d_keras.videos.reader import cores
    from ar3d_keras.videos.sampling import protocol

    run = find_run(options.run, Path("runs"), needs=["split.csv", "checkpoints/best.keras"])
    record = run.record()
    split = run.split(run.data_root(options.data), record["split"]["scheme"])
    shape = clip_shape(run.config().data)
    dataset = open_dataset(split, shape, workers=cores(), splits=[options.split])

    def evaluated(predict_on_batch: runtimes.Classify) -> "Evaluation":
        network = SimpleNamespace(predict_on_batch=predict_on_batch)
        source = dataset.evaluation(options.split)
        return evaluate(network, source, dataset.class_names, batch_size=8, workers=cores())

    network = load_model(run.best)
    exact = evaluated(network.predict_on_batch)
    rows = [row("Keras", exact, exact, run.best)]
    with tempfile.TemporaryDirectory() as folder:
        for name, (format, int8, load) in FILES.items():
            target = Path(folder) / name
            file = formats.export_file(run.best, target, describe_run(run), format, int8=int8)
            rows.append(row(name, evaluated(load(file, cores())), exact, file))
    header = ["", "top-1", "mean difference", "largest", "other class", "MB"]
    text = (
        f"{run.name} ({network.name}, {network.count_params():,} parameters), {options.split}: "
        f"{len(exact.paths)} videos of {split.catalog.root}, split scheme {split.scheme}; "
        f"{protocol(shape, clips=1, crops=1)}."
    )
    largest = {f"agreement.{row[0]}.largest": float(row[3]) for row in rows}
    bench.report(options, bench.table(header, rows) + "\n\n" + text, largest, packages=PACKAGES)


def row(name: str, found: "Evaluation", exact: "Evaluation", file: Path) -> list:
    """Returns a line of the table."""
    difference = np.abs(found.probabilities - exact.probabilities)
    files = [path for path in file.parent.iterdir() if path.stem == file.stem]
    return [
        name,
        f"{found.correct.mean():.3f}",
        f"{difference.mean():.1e}",
        f"{difference.max():.1e}",
        int((found.predicted != exact.predicted).sum()),
        f"{sum(path.stat().st_size for path in files) / 1e6:.2f}",
    ]


if __name__ == "__main__":
    main()
