"""The paper's network: one 3D convolution, an optional gate, average pooling, two dense layers.

Source: *3D Convolutional with Attention for Action Recognition*, section 3. docs/paper.md
explains how each sentence was read and how the sizes that the paper does not give were chosen.
"""

from typing import Any, ClassVar, Literal

import keras
from keras import layers

from ar3d_keras.errors import UserError
from ar3d_keras.models.classifier import (
    Sizes3D,
    VideoClassifier,
    arguments,
    check_grid,
    clip_input,
    seeded_dropout,
    triple,
)
from ar3d_keras.models.convolution import Conv3D
from ar3d_keras.models.layers import PACKAGE, AttentionGate, AveragePooling3D, GridPooling
from ar3d_keras.models.preparation import log_pooled, prepared, prepared_shape

POOL = (4, 16, 16)


@keras.saving.register_keras_serializable(PACKAGE)
class Conv3DClassifier(VideoClassifier):
    """Clips in 0..255 to class probabilities.

        clip      (batch, 16, 112, 112, 3)    uint8 or float, 0..255; scaled to 0..1 inside
        features  (batch, 16, 112, 112, 64)   Conv3D 3x3x3, ReLU
        gate      (batch, 16, 112, 112, 64)   AttentionGate, with `attention`
        pool      (batch, 4, 7, 7, 64)        AveragePooling3D
        dense     (batch, 512)                Dense, ReLU, dropout 0.25
        output    (batch, classes)            Dense, softmax, float32 under every dtype policy

    Beyond the paper, for small datasets whose classes differ in the amount of motion
    (docs/results.md): with `differences`, a global pool and `log_pooling`, each channel of `pool` is
    a motion energy.

    Args:
        num_classes: number of classes, at least 2.
        attention: whether the features are multiplied by the sigmoid gate.
        frames: frames of a clip.
        height: height of a clip, pixels.
        width: width of a clip, pixels.
        filters: channels of the convolution (paper: 64).
        kernel: kernel of the convolution, one integer or (time, height, width).
        gate_kernel: kernel of the gate's convolution, likewise.
        pool: window and stride of the average pooling, likewise; "global" averages each channel
            over the whole clip.
        grid: cells of the average pooling (time, height, width), instead of `pool`.
        dense: units of the hidden dense layer.
        dropout: dropout rate after the hidden dense layer (paper: 0.25).
        **kwargs: see VideoClassifier.

    Raises:
        UserError: an option is unknown or out of range.
    """

    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "filters": {"choice": [32, 64, 96]},
        "gate_kernel": {"choice": [[1, 1, 1], [3, 3, 3]]},
        "pool": {"choice": [[2, 8, 8], [4, 8, 8], [4, 16, 16], [8, 16, 16]]},
        "dense": {"choice": [128, 256, 512, 1024]},
        "dropout": {"float": [0.0, 0.6]},
    }
    presets: ClassVar[dict[str, dict[str, dict[str, Any]]]] = {
        "demo": {"model": {"pool": (4, 8, 8), "dense": 256}},
        # The same input as every network of the preset; See docs/results.md.
        "small-data": {
            "model": {
                "filters": 16,
                "gate_kernel": (1, 1, 1),
                "grid": (4, 3, 4),
                "log_pooling": True,
                "dense": 64,
                "dropout": 0.5,
            },
            # At a third of compact3d's speed, two thirds of its clips.
            "recipe": {"clips_per_epoch": 320, "learning_rate": 3e-3},
        },
    }

    def __init__(
        self,
        num_classes: int,
        *,
        attention: bool = False,
        frames: int = 16,
        height: int = 112,
        width: int = 112,
        filters: int = 64,
        kernel: Sizes3D = 3,
        gate_kernel: Sizes3D = 3,
        pool: Sizes3D | Literal["global"] = POOL,
        grid: Sizes3D | None = None,
        dense: int = 512,
        dropout: float = 0.25,
        **kwargs: Any,
    ):
        kernel, gate_kernel = map(triple, (kernel, gate_kernel))
        pool = pool if pool == "global" else triple(pool)
        grid = None if grid is None else triple(grid)
        sizes = arguments(locals())
        if grid is not None and pool != POOL:
            raise UserError("`grid` and `pool` cannot be combined: give one of them")
        if grid is not None:
            check_grid(grid, prepared_shape(sizes))
        elif pool != "global":
            _check_pool(pool, *prepared_shape(sizes))
        dtype = kwargs.pop("dtype", None) or "float32"

        clip = clip_input(frames, height, width)
        x = layers.Rescaling(1 / 255, dtype="float32", name="rescaling")(clip)
        x = prepared(x, sizes)
        x = Conv3D(
            filters,
            kernel,
            padding="same",
            activation="relu",
            dtype=dtype,
            name="features",
            data_format="channels_last",
        )(x)
        if attention:
            x = AttentionGate(gate_kernel, dtype=dtype, name="gate")(x)
        x = _pooling(pool, grid, dtype)(x)
        x = layers.Flatten("channels_last", dtype=dtype, name="flatten")(x)
        x = log_pooled(x, sizes)
        x = layers.Dense(dense, activation="relu", dtype=dtype, name="dense")(x)
        x = seeded_dropout(dropout, dtype)(x)
        output = layers.Dense(num_classes, activation="softmax", dtype="float32", name="output")(x)
        kwargs.setdefault("name", "conv3d_attention" if attention else "conv3d")
        super().__init__(clip, output, sizes, **kwargs)


def _pooling(
    pool: tuple[int, int, int] | Literal["global"], grid: tuple[int, int, int] | None, dtype: Any
) -> layers.Layer:
    if grid:
        return GridPooling(grid, dtype=dtype, name="pool")
    if pool == "global":
        return layers.GlobalAveragePooling3D("channels_last", dtype=dtype, name="pool")
    return AveragePooling3D(pool, dtype=dtype, name="pool", data_format="channels_last")


def _check_pool(pool: tuple[int, int, int], frames: int, height: int, width: int) -> None:
    for axis, window, extent in zip(
        ("frames", "height", "width"), pool, (frames, height, width), strict=True
    ):
        if window > extent:
            raise UserError(
                f"`pool` {pool} is larger than the features, which have {axis} {extent}: give a "
                f"smaller pool or a larger {axis}"
            )
