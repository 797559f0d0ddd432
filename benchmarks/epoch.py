"""How much longer does an epoch of train.py take than its steps on data in memory?

python -m benchmarks.epoch [--videos ../shared/realdata/ucf101] [--repeats 2] [--clips 96]

The paper's gated network trains on 16 frames of 112x112 with `trainer.train`, which train.py calls.
The seconds of an epoch are those of history.csv, from the start of the epoch to the end of its last
step; they include decoding, shuffling and the callbacks. After every epoch the same compiled step
runs equally often on one batch in memory. The data are links to the .avi files under --videos, in
two classes and 18 groups, with 96 of 108 videos for training (or 64 of 72, or 32 of 36, where the
training would take more than two and a half minutes), and then a raw pack of them. The
first epoch is not counted, because it waits for its first batch. One more epoch is planned than
trained, so that every counted epoch begins with a few batches that were decoded ahead, and decodes
as many for the next.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ar3d_keras.config import DataConfig, ModelConfig, RecipeConfig, TrainConfig
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import create_run, read_history
from ar3d_keras.training import hardware
from ar3d_keras.training.precision import choose_precision
from ar3d_keras.training.trainer import build_network, compile_network, train
from ar3d_keras.videos.dataset import clip_shape, open_data, open_dataset
from ar3d_keras.videos.pack_index import PackSettings
from ar3d_keras.videos.packing import make_pack
from ar3d_keras.videos.reader import cores
from ar3d_keras.videos.splits import make_split
from benchmarks import bench
from benchmarks.memory import link

GROUPS = (5, 9, *range(10, 26))  # split scheme `group`: 1 for test, 1 for val, 16 for training
CLIPS = 96, 64, 32  # of an epoch: 3, 2 or 1 of each group
LIMIT_SECONDS = 150.0


class StepsInMemory(keras.callbacks.Callback):
    """Repeats the steps of each epoch on one batch in memory, and times them.

    Args:
        steps: the number of steps in an epoch.
        batch: clips, labels and weights.
        repeats: the number of epochs to count after the first one; then the training ends.

    Attributes:
        seconds: one entry per counted epoch.
    """

    def __init__(self, steps: int, batch: tuple, repeats: int) -> None:
        super().__init__()
        self.steps, self.batch, self.repeats = steps, batch, repeats
        self.seconds: list[float] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.model.train_on_batch(*self.batch)  # traced and compiled before the first epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        def steps() -> None:
            for _ in range(self.steps):
                self.model.train_on_batch(*self.batch)

        if epoch > 0:
            self.seconds.append(bench.seconds(steps))
        self.model.stop_training = epoch == self.repeats


def clips_for_this_machine(options: argparse.Namespace, precision: str) -> int:
    """The largest of CLIPS with which all epochs take up to LIMIT_SECONDS."""
    config = paper_config(options)
    model = build_network(config, ("0", "1"), precision)
    compile_network(model, config.recipe, steps=1, precision=precision)
    clips = np.zeros((4, *model.input_shape[1:]), np.uint8)
    batch = clips, np.array([0, 1, 0, 1]), np.ones(4, np.float32)
    model.train_on_batch(*batch)
    seconds = bench.seconds(lambda: model.train_on_batch(*batch)) / len(clips)
    # Videos and pack, each fed and in memory, and a first epoch that does not count.
    epochs = 2 * 2 * (options.repeats + 1)
    return next((count for count in CLIPS if count * epochs * seconds <= LIMIT_SECONDS), CLIPS[-1])


def make_videos(root: Path, originals: Path, clips: int) -> Path:
    """Makes class folders with links to real videos, one video per class."""
    files = sorted(originals.glob("*/*.avi"))[:2]
    if len(files) < 2:
        sys.exit(f"{originals} needs two class folders with an .avi: give --videos UCF-101")
    for file in files:
        label = file.parent.name
        (root / label).mkdir(parents=True)
        for group in GROUPS:
            for clip in range(clips // CLIPS[-1]):
                link(file, root / label / f"v_{label}_g{group:02d}_c{clip + 1:02d}.avi")
    return root


def paper_config(options: argparse.Namespace, data: Path | None = None) -> TrainConfig:
    """The paper's gated network."""
    return TrainConfig(
        data=DataConfig(data=data),
        model=ModelConfig(attention=True),
        recipe=RecipeConfig(epochs=options.repeats + 2, batch_size=options.batch_size),
    )


def measure(
    data: Path, folder: Path, options: argparse.Namespace, precision: str
) -> dict[str, list[float]]:
    """The seconds of every epoch, fed and in memory, and the share of waiting for data."""
    config = paper_config(options, data)
    dataset = open_dataset(make_split(open_data(data), "group"), clip_shape(config.data))
    run = create_run(folder / "runs", data.name, "conv3d-attention")
    source = dataset.training(seed=0, flip=True)
    clips = np.stack([source[index, 0] for index in range(options.batch_size)])
    batch = clips, source.labels[: len(clips)], np.ones(len(clips), np.float32)
    alone = StepsInMemory(len(source) // len(clips), batch, options.repeats)
    train(
        run, config, dataset, precision=precision, workers=cores(), reporter=Reporter(),
        callbacks=[alone],
    )  # fmt: skip
    rows = read_history(run.history)[1:]
    return {
        "fed": [row["seconds"] for row in rows],
        "in memory": alone.seconds,
        "waiting": [row["wait_share"] for row in rows],
        "clips/s": [row["clips_per_s"] for row in rows],
    }


def main() -> None:
    """Prints a Markdown table."""
    parser = bench.parser(__doc__, repeats=2)
    parser.add_argument("--videos", type=Path, default=Path("../shared/realdata/ucf101"))
    parser.add_argument("--batch-size", type=int, default=16, help="a divisor of 32")
    parser.add_argument("--clips", type=int, choices=CLIPS, help="of an epoch; default: by speed")
    options = parser.parse_args()
    if CLIPS[-1] % options.batch_size:
        parser.error(f"--batch-size {options.batch_size} does not divide {CLIPS[-1]}")
    precision = choose_precision(paper_config(options)).precision
    options.clips = options.clips or clips_for_this_machine(options, precision)
    measured = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = {
            "videos": make_videos(folder / "videos", options.videos, options.clips),
            "pack": folder / "pack",
        }
        settings = PackSettings("raw", 128, 171)
        catalog = open_data(data["videos"])
        make_pack(catalog, data["pack"], settings, workers=cores(), reporter=Reporter())
        for name, at in data.items():
            measured[name] = measure(at, folder, options, precision)
            print(f"{name}: {measured[name]}", file=sys.stderr)
    rows = [
        [
            f"from {name}",
            bench.spread(epochs["in memory"], 2),
            bench.spread(epochs["fed"], 2),
            f"{bench.ratio(epochs, 'fed', 'in memory'):.3f}",
            f"{statistics.median(epochs['waiting']):.1%}",
            bench.spread(epochs["clips/s"], 2),
        ]
        for name, epochs in measured.items()
    ]
    header = [
        f"an epoch of {options.clips} clips",
        "in memory, s",
        "train, s",
        "ratio",
        "waiting",
        "clips/s",
    ]
    ratios = {
        f"epoch.{name}_over_compute": bench.ratio(epochs, "fed", "in memory")
        for name, epochs in measured.items()
    } | {
        f"epoch.{name}_wait_share": statistics.median(epochs["waiting"])
        for name, epochs in measured.items()
    }
    packages = [hardware.backend(), "keras", "opencv-python", "numpy"]
    config = {"network": "conv3d --attention", "clip": "16x112x112", "precision": precision}
    bench.report(options, bench.table(header, rows), ratios, packages=packages, config=config)


if __name__ == "__main__":
    main()
