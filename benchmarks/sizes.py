"""How do the sizes that the paper leaves open change the time of a training step?

python -m benchmarks.sizes [--repeats 3]

Each row changes one size of the default network: gate kernel, pool, dense units or batch. Seconds
are medians over repeats that visit all rows in turn, so that a slow minute of the machine affects
all of them. Compare ratios.
"""

import time
from collections.abc import Callable

import numpy as np

from ar3d_keras import Conv3DClassifier
from ar3d_keras.config import ModelConfig, TrainConfig
from ar3d_keras.models.costs import gflops
from ar3d_keras.training import hardware
from ar3d_keras.training.precision import choose_precision
from benchmarks import bench

CLASSES = 101
BASE = {"attention": True}
ROWS = {
    "default": {},
    "float32": {"dtype": "float32"},
    "no gate": {"attention": False},
    "gate kernel 1 1 1": {"gate_kernel": 1},
    "gate kernel 3 1 1": {"gate_kernel": (3, 1, 1)},
    "gate kernel 1 3 3": {"gate_kernel": (1, 3, 3)},
    "pool 4 8 8": {"pool": (4, 8, 8)},
    "pool 8 16 16": {"pool": (8, 16, 16)},
    "pool 4 28 28": {"pool": (4, 28, 28)},
    "dense 128": {"dense": 128},
    "dense 1024": {"dense": 1024},
}
BATCHES = (1, 4, 8, 16)


def main() -> None:
    """Prints a Markdown table."""
    options = bench.parser(__doc__, repeats=3).parse_args()
    precision = choose_precision(TrainConfig(model=ModelConfig(attention=True))).precision
    cases = {name: (sizes, 4) for name, sizes in ROWS.items()}
    cases |= {f"batch {size}": ({}, size) for size in BATCHES if size != 4}
    steps = {name: step(sizes, batch, precision) for name, (sizes, batch) in cases.items()}
    seconds = {name: [] for name in cases}
    for _ in range(options.repeats):
        for name, (_, train) in steps.items():
            begun = time.perf_counter()
            train()
            seconds[name].append((time.perf_counter() - begun) / cases[name][1])
    base = np.median(seconds["default"])
    rows = [
        [
            name,
            f"{model.count_params():,}",
            f"{gflops(model):.1f}",
            f"{1e3 * np.median(seconds[name]):.0f}",
            f"{np.median(seconds[name]) / base:.2f}",
        ]
        for name, (model, _) in steps.items()
    ]
    header = ["network", "parameters", "GFLOP forward", "training step, ms a clip", "ratio"]
    # Only counted, because a head of this size does not fit into the memory of a laptop.
    features = 8 * 56 * 56 * 64
    note = f"pool 2 2 2 leaves {features:,} features: dense 512 over them has {features * 512:,} weights"
    bench.report(
        options,
        bench.table(header, rows) + f"\n\n{precision}; batch 4 unless stated. {note}",
        {f"sizes.{name.replace(' ', '_')}": np.median(seconds[name]) / base for name in steps},
        packages=["keras", "tensorflow", "numpy"],
    )


def step(sizes: dict, batch: int, precision: str) -> tuple[Conv3DClassifier, Callable[[], object]]:
    """Returns a network and a function that trains it on one batch, compiled and warm."""
    model = Conv3DClassifier(CLASSES, **{**BASE, "dtype": precision, **sizes})
    model.compile("adam", "sparse_categorical_crossentropy", **hardware.compile_options())
    clips = np.random.default_rng(0).integers(0, 256, (batch, 16, 112, 112, 3), np.uint8)
    labels = np.zeros(batch, np.int64)
    model.train_on_batch(clips, labels)
    return model, lambda: model.train_on_batch(clips, labels)


if __name__ == "__main__":
    main()
