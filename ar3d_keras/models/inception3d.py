"""What the two Inception networks share: the sizes of the trunk, its modules, and the head.

Source: Carreira, Zisserman: *Quo Vadis, Action Recognition? A New Model and the Kinetics
Dataset*, CVPR 2017, figure 3; sizes and layer names from the authors' code,
github.com/google-deepmind/kinetics-i3d, i3d.py.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from keras import layers, ops

from ar3d_keras.models.classifier import seeded_dropout
from ar3d_keras.models.preparation import log_pooled

# Channels of a module's four branches: 1x1x1; 1x1x1 and 3x3x3; again 1x1x1 and 3x3x3; pooling and
# 1x1x1. Poolings between the modules: (name, window, strides).
TRUNK: tuple[tuple[Any, ...], ...] = (
    ("Mixed_3b", 64, (96, 128), (16, 32), 32),
    ("Mixed_3c", 128, (128, 192), (32, 96), 64),
    ("MaxPool3d_4a_3x3", (3, 3, 3), (2, 2, 2)),
    ("Mixed_4b", 192, (96, 208), (16, 48), 64),
    ("Mixed_4c", 160, (112, 224), (24, 64), 64),
    ("Mixed_4d", 128, (128, 256), (24, 64), 64),
    ("Mixed_4e", 112, (144, 288), (32, 64), 64),
    ("Mixed_4f", 256, (160, 320), (32, 128), 128),
    ("MaxPool3d_5a_2x2", (2, 2, 2), (2, 2, 2)),
    ("Mixed_5b", 256, (160, 320), (32, 128), 128),
    ("Mixed_5c", 384, (192, 384), (48, 128), 128),
)

WINDOW = 7  # height and width of the average pooling

# (x, channels, kernel, name) -> x, and (x, window, strides, name) -> x
Unit = Callable[[Any, int, int, str], Any]
Pool = Callable[[Any, tuple[int, int, int], tuple[int, int, int], str], Any]


def trunk(x: Any, unit: Unit, pool: Pool, dtype: Any) -> Any:
    """The layers after Conv3d_1a_7x7.

    Args:
        x: its output.
        unit: a convolution with batch norm and ReLU, of stride 1.
        pool: the maximum over windows.
        dtype: of the concatenations.
    """
    x = pool(x, (1, 3, 3), (1, 2, 2), "MaxPool3d_2a_3x3")
    x = unit(x, 64, 1, "Conv3d_2b_1x1")
    x = unit(x, 192, 3, "Conv3d_2c_3x3")
    x = pool(x, (1, 3, 3), (1, 2, 2), "MaxPool3d_3a_3x3")
    for name, *parts in TRUNK:
        if len(parts) == 4:
            x = _mixed(x, tuple(parts), name, unit, pool, dtype)
        else:
            window, strides = parts
            x = pool(x, window, strides, name)
    return x


def _mixed(x: Any, channels: tuple[Any, ...], name: str, unit: Unit, pool: Pool, dtype: Any) -> Any:
    """An Inception module: four branches over the same input, their channels concatenated."""
    narrow, middle, thin, pooled = channels
    branches = [
        unit(x, narrow, 1, f"{name}_0_1x1"),
        unit(unit(x, middle[0], 1, f"{name}_1_1x1"), middle[1], 3, f"{name}_1_3x3"),
        unit(unit(x, thin[0], 1, f"{name}_2_1x1"), thin[1], 3, f"{name}_2_3x3"),
        unit(pool(x, (3, 3, 3), (1, 1, 1), f"{name}_3_pool"), pooled, 1, f"{name}_3_1x1"),
    ]
    return layers.Concatenate(axis=-1, dtype=dtype, name=name)(branches)


def head(x: Any, sizes: Mapping[str, Any]) -> Any:
    """Averages over windows of 2x7x7 at stride 1, a score for each, and softmax of their mean.

    A map smaller than the window is averaged as it is. The scores are linear, so their mean over
    space may be taken before them.

    Args:
        x: the features, (batch, time, height, width, channels).
        sizes: the options of the network: `num_classes`, `dropout` and those of `log_pooled`.
    """
    x = ops.cast(x, "float32")
    height, width = x.shape[2:4]
    # Not AveragePooling3D, which is slow with so large a window on a CPU.
    if max(height, width) > WINDOW:
        weights = np.outer(_window_weights(height), _window_weights(width))
        x = ops.sum(x * weights[:, :, np.newaxis].astype("float32"), axis=(2, 3))
    else:
        x = ops.mean(x, axis=(2, 3))
    x = log_pooled(x, sizes)
    if x.shape[1] > 1:
        x = (x[:, 1:] + x[:, :-1]) / 2
    x = seeded_dropout(sizes["dropout"], "float32")(x)
    x = layers.Dense(sizes["num_classes"], dtype="float32", name="Logits")(x)
    return layers.Softmax(dtype="float32", name="output")(ops.mean(x, axis=1))


def _window_weights(extent: int) -> np.ndarray:
    """(extent,): how much each position counts in the mean over all windows."""
    window = min(WINDOW, extent)
    windows = extent - window + 1
    return np.convolve(np.ones(windows), np.ones(window)) / (windows * window)
