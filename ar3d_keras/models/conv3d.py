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
    clip_input,
    seeded_dropout,
    triple,
)
from ar3d_keras.models.convolution import PACKAGE, Conv3D
from ar3d_keras.models.layers import AttentionGate, FrameDifferences, LogNormalization


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
        spatial_downsample: the input is averaged over squares of this many pixels a side; 1 keeps
            it as it is.
        differences: whether the convolution sees differences between consecutive frames instead of
            the frames.
        pool: window and stride of the average pooling, likewise; "global" averages each channel
            over the whole clip.
        log_pooling: whether the pooled features pass through LogNormalization.
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
        # docs/results.md explains how it was found.
        "small-data": {
            "model": {
                "filters": 16,
                "gate_kernel": (1, 1, 1),
                "dense": 32,
                "dropout": 0.5,
                "spatial_downsample": 4,
                "differences": True,
                "pool": "global",
                "log_pooling": True,
            },
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
        spatial_downsample: int = 1,
        differences: bool = False,
        pool: Sizes3D | Literal["global"] = (4, 16, 16),
        log_pooling: bool = False,
        dense: int = 512,
        dropout: float = 0.25,
        **kwargs: Any,
    ):
        kernel, gate_kernel = map(triple, (kernel, gate_kernel))
        pool = pool if pool == "global" else triple(pool)
        sizes = arguments(locals())
        if height % spatial_downsample or width % spatial_downsample:
            raise UserError(
                f"`spatial_downsample` {spatial_downsample} must divide `height` {height} and "
                f"`width` {width}"
            )
        if differences and frames < 2:
            raise UserError(f"`differences` needs `frames` of at least 2, not {frames}")
        if pool != "global":
            _check_pool(
                pool,
                frames - differences,
                height // spatial_downsample,
                width // spatial_downsample,
            )
        dtype = kwargs.pop("dtype", None) or "float32"

        clip = clip_input(frames, height, width)
        x = layers.Rescaling(1 / 255, dtype="float32", name="rescaling")(clip)
        if spatial_downsample > 1:
            x = layers.AveragePooling3D(
                (1, spatial_downsample, spatial_downsample),
                dtype="float32",
                name="spatial_downsample",
                data_format="channels_last",
            )(x)
        if differences:
            x = FrameDifferences(dtype="float32", name="differences")(x)
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
        x = _pooling(pool, dtype)(x)
        x = layers.Flatten("channels_last", dtype=dtype, name="flatten")(x)
        if log_pooling:
            x = LogNormalization(name="log_pooling")(x)
        x = layers.Dense(dense, activation="relu", dtype=dtype, name="dense")(x)
        x = seeded_dropout(dropout, dtype)(x)
        output = layers.Dense(num_classes, activation="softmax", dtype="float32", name="output")(x)
        kwargs.setdefault("name", "conv3d_attention" if attention else "conv3d")
        super().__init__(clip, output, sizes, **kwargs)


def _pooling(pool: tuple[int, int, int] | Literal["global"], dtype: Any) -> layers.Layer:
    if pool == "global":
        return layers.GlobalAveragePooling3D("channels_last", dtype=dtype, name="pool")
    return layers.AveragePooling3D(pool, dtype=dtype, name="pool", data_format="channels_last")


def _check_pool(pool: tuple[int, int, int], frames: int, height: int, width: int) -> None:
    for axis, window, extent in zip(
        ("frames", "height", "width"), pool, (frames, height, width), strict=True
    ):
        if window > extent:
            raise UserError(
                f"`pool` {pool} is larger than the features, which have {axis} {extent}: give a "
                f"smaller pool or a larger {axis}"
            )
