"""Trains on one device and on two virtual ones, in a process of its own; prints what differs.

python two_devices.py DATA FOLDER NETWORK
"""

import json
import os
import sys
from pathlib import Path

import keras
import numpy as np

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from ar3d_keras.config import TrainConfig, from_json
from ar3d_keras.devices import current, number_of, predict_on_batch, using
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import RunFolder, read_history
from ar3d_keras.training.trainer import build_network, train
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.dataset import clip_shape, open_dataset
from ar3d_keras.videos.splits import make_split

# 9 training clips: a batch of 4 and one of 1, which one device has nothing of.
NETWORKS = {
    "conv3d": {
        "model": {"attention": True, "filters": 4, "pool": [4, 4, 4], "dense": 4, "dropout": 0.0},
        "data": {"height": 8, "width": 8, "stride": 1},
    },
    "compact3d": {  # batch norms
        "model": {"model": "compact3d", "dropout": 0.0, "filters": 2, "grid": [2, 2, 2]},
        "data": {"height": 16, "width": 16, "frames": 8, "stride": 1},
    },
    "two_stream3d": {  # each half of a batch trains one stream
        "model": {"model": "two_stream3d", "dropout": 0.0, "filters": 2, "grid": [2, 2, 2]},
        "data": {"height": 16, "width": 16, "frames": 8, "stride": 1, "flow": "dis_fine"},
    },
}
RECIPE = {
    "epochs": 3, "batch_size": 4, "learning_rate": 1e-2, "weight_decay_after": 1, "clip_norm": 0.5,
    "label_smoothing": 0.1,
}  # fmt: skip


def main(data, folder, network):
    config = from_json({**NETWORKS[network], "recipe": RECIPE}, TrainConfig())
    split = make_split(open_catalog(data), "group")
    dataset = open_dataset(split, clip_shape(config.data))
    runs = {}

    def go_on(name, number, until=None):
        run = runs[name] = RunFolder(folder / name)
        run.folder.mkdir(exist_ok=True)
        with using(number_of(number)):
            assert current().count == number
            train(
                run, config, dataset, precision="float32", workers=2, reporter=Reporter(),
                splits=("val",), until=until,
            )  # fmt: skip

    go_on("one", 1)
    go_on("two", 2)
    go_on("changed", 2, until=1)
    go_on("changed", 1)
    clips = np.random.default_rng(0).integers(0, 256, (5, *dataset.shape.array), np.uint8)
    outputs = []
    for number in (1, 2):
        with using(number):
            keras.utils.set_random_seed(0)
            model = build_network(config, dataset.class_names, "float32")
            outputs.append(predict_on_batch(model, clips))
    print(json.dumps({
        "history": {name: difference(runs["one"], run) for name, run in runs.items()},
        "weights": {name: weights(runs["one"], run) for name, run in runs.items()},
        "outputs": float(np.abs(outputs[0] - outputs[1]).max()),
        "shapes": [output.shape for output in outputs],
        "loss": [row["loss"] for row in read_history(runs["one"].history)],
    }))  # fmt: skip


def difference(one, other):
    rows = zip(read_history(one.history), read_history(other.history), strict=True)
    return max(
        abs(a[name] - b[name]) for a, b in rows for name in ("loss", "accuracy", "top5", "val_loss")
    )


def weights(one, other):
    with np.load(one.state) as a, np.load(other.state) as b:
        return max(
            float(np.abs(a[name] - b[name]).max()) for name in a if name.startswith("model.")
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    sys.stdout.flush()
    os._exit(0)
