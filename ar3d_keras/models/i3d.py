"""I3D: Inception-v1 with three-dimensional filters, on RGB, without pretrained weights.

Source: Carreira, Zisserman: *Quo Vadis, Action Recognition? A New Model and the Kinetics
Dataset*, CVPR 2017, figure 3; sizes and layer names from the authors'
code, github.com/google-deepmind/kinetics-i3d, i3d.py.
"""

from collections.abc import Callable
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


@keras.saving.register_keras_serializable(PACKAGE)
class I3D(VideoClassifier):
    """Clips in 0..255 to class probabilities.

        clip              (batch, 16, 112, 112, 3)   uint8 or float, 0..255; scaled to -1..1 inside
        Conv3d_1a_7x7     (batch, 8, 56, 56, 64)     stride 2; batch norm, ReLU, like every convolution
        MaxPool3d_2a_3x3  (batch, 8, 28, 28, 64)     the first two poolings keep all frames
        Conv3d_2c_3x3     (batch, 8, 28, 28, 192)    after Conv3d_2b_1x1 of 64 channels
        MaxPool3d_3a_3x3  (batch, 8, 14, 14, 192)
        Mixed_3c          (batch, 8, 14, 14, 480)    after Mixed_3b of 256 channels
        MaxPool3d_4a_3x3  (batch, 4, 7, 7, 480)
        Mixed_4f          (batch, 4, 7, 7, 832)      after Mixed_4b, 4c, 4d (512) and 4e (528)
        MaxPool3d_5a_2x2  (batch, 2, 4, 4, 832)
        Mixed_5c          (batch, 2, 4, 4, 1024)     after Mixed_5b (832); then the gate, with `attention`
        AvgPool           (batch, 1, 1024)           over all positions, and over pairs of time steps
        Logits            (batch, 1, classes)        dropout 0.5, then 1x1x1; mean over time
        output            (batch, classes)           softmax, float32 under every dtype policy

    12,398,069 parameters with 101 classes; 12,704,544 with the 400 of Kinetics, including 14,560
    moving statistics of batch norms (Open Model Zoo counts 12.69 M in the published weights,
    without them). Batch norm has an offset and no scale. Poolings round sizes up, so the network
    accepts clips of any size. The publication's clips are 64 x 224 x 224.

    Different from the publication: the momentum of batch norms is 0.9 instead of 0.999, so that the
    moving statistics of a short training no longer depend on their initial values.

    Args:
        num_classes: number of classes, at least 2.
        attention: whether Mixed_5c's features are multiplied by the sigmoid gate.
        frames: frames of a clip.
        height: height of a clip, pixels.
        width: width of a clip, pixels.
        gate_kernel: kernel of the gate's convolution, one integer or (time, height, width).
        dropout: dropout rate of the pooled features.
        width_multiplier: multiplies all channels; 1 is the publication.
        **kwargs: see VideoClassifier.

    Raises:
        UserError: an option is unknown or out of range.
    """

    # NaN was seen in mixed_bfloat16 with TensorFlow on a CPU, at width 1/32.
    trains_in_bfloat16: ClassVar[bool] = False
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "width_multiplier": {"choice": [0.25, 0.5, 1.0]},
        "gate_kernel": {"choice": [[1, 1, 1], [3, 3, 3]]},
        "dropout": {"float": [0.2, 0.7]},
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
        dropout: float = 0.5,
        width_multiplier: float = 1.0,
        **kwargs: Any,
    ):
        gate_kernel = triple(gate_kernel)
        sizes = arguments(locals())
        dtype = kwargs.pop("dtype", None) or "float32"

        def unit(x: Any, channels: int, kernel: int, name: str, strides: int = 1) -> Any:
            channels = scaled(channels, width_multiplier)
            return _unit(x, channels, kernel, name, strides, dtype)

        clip = clip_input(frames, height, width)
        x = unit(centered(clip), 64, 7, "Conv3d_1a_7x7", strides=2)
        x = _pool(x, (1, 3, 3), (1, 2, 2), "MaxPool3d_2a_3x3", dtype)
        x = unit(x, 64, 1, "Conv3d_2b_1x1")
        x = unit(x, 192, 3, "Conv3d_2c_3x3")
        x = _pool(x, (1, 3, 3), (1, 2, 2), "MaxPool3d_3a_3x3", dtype)
        for name, *parts in TRUNK:
            if len(parts) == 4:
                x = _mixed(x, tuple(parts), name, unit, dtype)
            else:
                window, strides = parts
                x = _pool(x, window, strides, name, dtype)
        if attention:
            x = AttentionGate(gate_kernel, dtype=dtype, name="gate")(x)
        # A mean over the whole map: AveragePooling3D with so large a window is slow on a CPU.
        x = ops.mean(ops.cast(x, "float32"), axis=(2, 3))
        if x.shape[1] > 1:
            x = (x[:, 1:] + x[:, :-1]) / 2
        x = seeded_dropout(dropout, "float32")(x)
        x = layers.Dense(num_classes, dtype="float32", name="Logits")(x)
        x = ops.mean(x, axis=1)
        output = layers.Softmax(dtype="float32", name="output")(x)
        kwargs.setdefault("name", "i3d_attention" if attention else "i3d")
        super().__init__(clip, output, sizes, **kwargs)


def _unit(x: Any, channels: int, kernel: int, name: str, strides: int, dtype: Any) -> Any:
    """Convolution, batch norm without scale, ReLU: Unit3D of the authors' code."""
    x = Conv3D(
        channels,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        data_format="channels_last",
        dtype=dtype,
        name=name,
    )(x)
    x = layers.BatchNormalization(
        axis=-1, momentum=0.9, scale=False, dtype=dtype, name=f"{name}_norm"
    )(x)
    return layers.ReLU(dtype=dtype, name=f"{name}_relu")(x)


def _mixed(
    x: Any, channels: tuple[Any, ...], name: str, unit: Callable[..., Any], dtype: Any
) -> Any:
    """An Inception module: four branches over the same input, their channels concatenated."""
    narrow, middle, thin, pooled = channels
    branches = [
        unit(x, narrow, 1, f"{name}_0_1x1"),
        unit(unit(x, middle[0], 1, f"{name}_1_1x1"), middle[1], 3, f"{name}_1_3x3"),
        unit(unit(x, thin[0], 1, f"{name}_2_1x1"), thin[1], 3, f"{name}_2_3x3"),
        unit(_pool(x, (3, 3, 3), (1, 1, 1), f"{name}_3_pool", dtype), pooled, 1, f"{name}_3_1x1"),
    ]
    return layers.Concatenate(axis=-1, dtype=dtype, name=name)(branches)


def _pool(
    x: Any, window: tuple[int, int, int], strides: tuple[int, int, int], name: str, dtype: Any
) -> Any:
    return layers.MaxPooling3D(
        window, strides, padding="same", data_format="channels_last", dtype=dtype, name=name
    )(x)
