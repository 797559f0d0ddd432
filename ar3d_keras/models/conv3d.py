"""The paper's network: one 3D convolution, gated or not, pooled and classified.

Source: *3D Convolutional with Attention for Action Recognition*, section 3; docs/paper.md says
how each sentence was read and why the sizes that it leaves open are what they are here.
"""

from typing import Literal

import keras
from keras import layers

from ar3d_keras.errors import UserError
from ar3d_keras.models.classifier import (
    Sizes3D,
    VideoClassifier,
    arguments,
    check_sizes,
    clip_input,
    seeded_dropout,
    three,
)
from ar3d_keras.models.layers import PACKAGE, AttentionGate, FrameDifferences, LogNormalization


@keras.saving.register_keras_serializable(PACKAGE)
class Conv3DClassifier(VideoClassifier):
    """Clips in 0..255 to class probabilities.

        clip      (batch, 16, 112, 112, 3)    uint8 or float, 0..255; scaled to 0..1 inside
        features  (batch, 16, 112, 112, 64)   Conv3D 3x3x3, ReLU
        gate      (batch, 16, 112, 112, 64)   AttentionGate, where `attention`
        pool      (batch, 4, 7, 7, 64)        AveragePooling3D
        dense     (batch, 512)                Dense, ReLU, dropout 0.25
        output    (batch, classes)            Dense, softmax, float32 under every precision

    Beyond the paper, for few videos whose classes differ in how much moves (docs/results.md): with
    `differences`, a global pool and `log_pooling`, each channel of `pool` is a motion energy.

    Args:
        num_classes: number of classes, at least 2.
        attention: whether the features are multiplied with the sigmoid gate.
        frames: T of a clip.
        height: of a clip, pixels.
        width: of a clip, pixels.
        filters: channels of the convolution (paper: 64).
        kernel: of the convolution, one integer or (time, height, width).
        gate_kernel: of the gate's convolution, likewise.
        spatial_downsample: side of the squares of pixels that are averaged into one before anything else; 1
            leaves frames as they are.
        differences: whether the convolution sees what changes between frames, not the frames.
        pool: window and stride of the average pooling, likewise; "global" averages everything.
        log_pooling: whether the pooled features pass through LogNormalization.
        dense: units of the hidden dense layer.
        dropout: the share of hidden units that training drops (paper: 0.25).

    Raises:
        UserError: a size that makes no network.
    """

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
        **kwargs,
    ):
        kernel, gate_kernel = map(three, (kernel, gate_kernel))
        pool = pool if pool == "global" else three(pool)
        sizes = arguments(locals())
        check_sizes(sizes)
        if height % spatial_downsample or width % spatial_downsample:
            raise UserError(
                f"--spatial-downsample {spatial_downsample} must divide --height {height} and --width {width}"
            )
        if differences and frames < 2:
            raise UserError("--differences needs --frames 2 or more")
        if pool != "global":
            _check_pool(
                pool,
                frames - differences,
                height // spatial_downsample,
                width // spatial_downsample,
            )
        dtype = kwargs.pop("dtype", None)

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
        x = layers.Conv3D(
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
        x = layers.Flatten(dtype=dtype, name="flatten")(x)
        if log_pooling:
            x = LogNormalization(name="log_pooling")(x)
        x = layers.Dense(dense, activation="relu", dtype=dtype, name="dense")(x)
        x = seeded_dropout(dropout, dtype)(x)
        output = layers.Dense(num_classes, activation="softmax", dtype="float32", name="output")(x)
        kwargs.setdefault("name", "conv3d_attention" if attention else "conv3d")
        super().__init__(clip, output, sizes, **kwargs)


def _pooling(pool: tuple[int, int, int] | Literal["global"], dtype) -> layers.Layer:
    if pool == "global":
        return layers.GlobalAveragePooling3D("channels_last", dtype=dtype, name="pool")
    return layers.AveragePooling3D(pool, dtype=dtype, name="pool", data_format="channels_last")


def _check_pool(pool, frames: int, height: int, width: int) -> None:
    for axis, window, extent in zip(
        ("frames", "height", "width"), pool, (frames, height, width), strict=True
    ):
        if window > extent:
            raise UserError(
                f"--pool {' '.join(map(str, pool))} is larger than the features, which have "
                f"{axis} {extent}: give a smaller pool or a larger {axis}"
            )
