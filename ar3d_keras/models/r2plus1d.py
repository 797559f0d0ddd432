"""R(2+1)D-18: a residual network whose 3D convolutions are split into space and time.

Source: Tran, Wang, Torresani, Ray, LeCun, Paluri: *A Closer Look at Spatiotemporal Convolutions for
Action Recognition*, CVPR 2018, section 3.5 and table 1; layers and padding are those of torchvision's
r2plus1d_18 (torchvision/models/video/resnet.py).
"""

from typing import Any, ClassVar

import keras
from keras import layers, ops

from ar3d_keras.models.classifier import (
    Sizes3D,
    VideoClassifier,
    arguments,
    centered,
    clip_input,
    scaled,
    seeded_dropout,
    triple,
)
from ar3d_keras.models.convolution import PACKAGE, Conv3D
from ar3d_keras.models.layers import AttentionGate

# Channels of the four stages; each has two blocks, and all but the first halve time and space.
STAGES = (64, 128, 256, 512)


@keras.saving.register_keras_serializable(PACKAGE)
class R2Plus1D(VideoClassifier):
    """Clips in 0..255 to class probabilities.

        clip      (batch, 16, 112, 112, 3)   uint8 or float, 0..255; scaled to -1..1 inside
        stem      (batch, 16, 56, 56, 64)    1x7x7 with stride 2, then 3x1x1; batch norm and ReLU each
        stage1    (batch, 16, 56, 56, 64)    two blocks: two (2+1)D convolutions and a shortcut
        stage2    (batch, 8, 28, 28, 128)    likewise; the first block has stride 2, also in time
        stage3    (batch, 4, 14, 14, 256)
        stage4    (batch, 2, 7, 7, 512)      then the gate, with `attention`
        pool      (batch, 512)               mean over all positions; dropout
        output    (batch, classes)           softmax, float32 under every dtype policy

    A (2+1)D convolution is 1x3x3, batch norm, ReLU and 3x1x1. Its middle channels are as many as
    give it the parameters of a 3x3x3 convolution.

    31,505,325 trainable parameters with 400 classes, as in torchvision, and 25,350 moving statistics
    of batch norms.

    Args:
        num_classes: number of classes, at least 2.
        attention: whether stage4's features are multiplied by the sigmoid gate.
        frames: frames of a clip.
        height: height of a clip, pixels.
        width: width of a clip, pixels.
        gate_kernel: kernel of the gate's convolution, one integer or (time, height, width).
        dropout: dropout rate of the pooled features; 0 is the publication.
        width_multiplier: multiplies all channels; 1 is the publication.
        **kwargs: see VideoClassifier.

    Raises:
        UserError: an option is unknown or out of range.
    """

    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "width_multiplier": {"choice": [0.25, 0.5, 1.0]},
        "gate_kernel": {"choice": [[1, 1, 1], [3, 3, 3]]},
        "dropout": {"float": [0.0, 0.6]},
    }

    def __init__(
        self,
        num_classes: int,
        *,
        attention: bool = False,
        frames: int = 16,
        height: int = 112,
        width: int = 112,
        gate_kernel: Sizes3D = 3,
        dropout: float = 0.0,
        width_multiplier: float = 1.0,
        **kwargs: Any,
    ):
        gate_kernel = triple(gate_kernel)
        sizes = arguments(locals())
        dtype = kwargs.pop("dtype", None) or "float32"

        clip = clip_input(frames, height, width)
        x = centered(clip)
        x = _spatial(x, scaled(45, width_multiplier), 7, 2, "stem_spatial", dtype)
        x = _norm_relu(x, "stem_spatial", dtype)
        x = _temporal(x, scaled(64, width_multiplier), 1, "stem_temporal", dtype)
        x = _norm_relu(x, "stem", dtype)
        for stage, channels in enumerate(STAGES, start=1):
            channels = scaled(channels, width_multiplier)
            x = _block(x, channels, 1 if stage == 1 else 2, f"stage{stage}_block1", dtype)
            x = _block(x, channels, 1, f"stage{stage}_block2", dtype, output=f"stage{stage}")
        if attention:
            x = AttentionGate(gate_kernel, dtype=dtype, name="gate")(x)
        # A mean over the whole map: AveragePooling3D with so large a window is slow on a CPU.
        x = ops.mean(ops.cast(x, "float32"), axis=(1, 2, 3))
        x = seeded_dropout(dropout, "float32")(x)
        output = layers.Dense(num_classes, activation="softmax", dtype="float32", name="output")(x)
        kwargs.setdefault("name", "r2plus1d_attention" if attention else "r2plus1d")
        super().__init__(clip, output, sizes, **kwargs)


def _block(x: Any, channels: int, stride: int, name: str, dtype: Any, output: str = "") -> Any:
    """Two (2+1)D convolutions, plus a shortcut; ReLU after the sum."""
    before = x.shape[-1]
    middle = (before * channels * 27) // (before * 9 + 3 * channels)
    shortcut = x
    for number, step in ((1, stride), (2, 1)):
        part = f"{name}_conv{number}"
        x = _spatial(x, middle, 3, step, f"{part}_spatial", dtype)
        x = _norm_relu(x, f"{part}_spatial", dtype)
        x = _temporal(x, channels, step, f"{part}_temporal", dtype)
        x = _norm_relu(x, part, dtype) if number == 1 else _norm(x, part, dtype)
    if stride > 1 or before != channels:
        shortcut = _convolution(shortcut, channels, 1, stride, f"{name}_shortcut", dtype)
        shortcut = _norm(shortcut, f"{name}_shortcut", dtype)
    x = layers.Add(dtype=dtype, name=f"{name}_sum")([x, shortcut])
    return layers.ReLU(dtype=dtype, name=output or name)(x)


def _spatial(x: Any, channels: int, kernel: int, stride: int, name: str, dtype: Any) -> Any:
    """1 x kernel x kernel, with the same padding on both sides (Keras's "same" is one-sided)."""
    side = kernel // 2
    x = _padded(x, (0, side, side), name, dtype)
    return _convolution(x, channels, (1, kernel, kernel), (1, stride, stride), name, dtype)


def _temporal(x: Any, channels: int, stride: int, name: str, dtype: Any) -> Any:
    """3 x 1 x 1, with the same padding on both sides."""
    x = _padded(x, (1, 0, 0), name, dtype)
    return _convolution(x, channels, (3, 1, 1), (stride, 1, 1), name, dtype)


def _padded(x: Any, padding: tuple[int, int, int], name: str, dtype: Any) -> Any:
    return layers.ZeroPadding3D(
        padding, data_format="channels_last", dtype=dtype, name=f"{name}_pad"
    )(x)


def _convolution(
    x: Any, channels: int, kernel: Sizes3D, strides: Sizes3D, name: str, dtype: Any
) -> Any:
    return Conv3D(
        channels,
        kernel,
        strides=strides,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        data_format="channels_last",
        dtype=dtype,
        name=name,
    )(x)


def _norm(x: Any, name: str, dtype: Any) -> Any:
    return layers.BatchNormalization(
        axis=-1, momentum=0.9, epsilon=1e-5, dtype=dtype, name=f"{name}_norm"
    )(x)


def _norm_relu(x: Any, name: str, dtype: Any) -> Any:
    return layers.ReLU(dtype=dtype, name=f"{name}_relu" if name != "stem" else name)(
        _norm(x, name, dtype)
    )
