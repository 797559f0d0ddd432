"""I3D: Inception-v1 with every filter inflated to three dimensions, on RGB, from scratch.

Source: Carreira, Zisserman: *Quo Vadis, Action Recognition? A New Model and the Kinetics
Dataset*, CVPR 2017, figure 3; sizes and layer names from its code,
github.com/google-deepmind/kinetics-i3d, i3d.py.
"""

import keras
from keras import layers, ops

from ar3d_keras.models.classifier import (
    Sizes3D,
    VideoClassifier,
    arguments,
    centred,
    check_sizes,
    clip_input,
    scaled,
    seeded_dropout,
    three,
)
from ar3d_keras.models.layers import PACKAGE, AttentionGate

# Channels of a module's branches: 1x1x1; 1x1x1 then 3x3x3; likewise, thinner; pooling then 1x1x1.
# Between them, poolings: (name, window, strides).
TRUNK = (
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
        Conv3d_1a_7x7     (batch, 8, 56, 56, 64)     stride 2; batch norm, ReLU, as every convolution
        MaxPool3d_2a_3x3  (batch, 8, 28, 28, 64)     the first two poolings leave time alone
        Conv3d_2c_3x3     (batch, 8, 28, 28, 192)    after Conv3d_2b_1x1 of 64 channels
        MaxPool3d_3a_3x3  (batch, 8, 14, 14, 192)
        Mixed_3c          (batch, 8, 14, 14, 480)    after Mixed_3b of 256 channels
        MaxPool3d_4a_3x3  (batch, 4, 7, 7, 480)
        Mixed_4f          (batch, 4, 7, 7, 832)      after Mixed_4b, 4c, 4d (512) and 4e (528)
        MaxPool3d_5a_2x2  (batch, 2, 4, 4, 832)
        Mixed_5c          (batch, 2, 4, 4, 1024)     after Mixed_5b (832); then the gate, where `attention`
        AvgPool           (batch, 1, 1024)           over all positions, and over pairs of times
        Logits            (batch, 1, classes)        dropout 0.5, then 1x1x1; mean over time
        output            (batch, classes)           softmax, float32 under every precision

    12,398,069 parameters with 101 classes; 12,704,544 with Kinetics' 400, of which 14,560 are the
    batch norms' moving statistics (the 12.69 M that Open Model Zoo counts in the published
    weights are the rest). Batch norm has an offset and no scale. Poolings round up, so a clip of
    any size passes. The publication's clips are 64 x 224 x 224.

    Different from the publication: the batch norms' moving statistics forget faster (momentum 0.9,
    there 0.999), so that short trainings are evaluated with statistics of their own.

    Args:
        num_classes: number of classes, at least 2.
        attention: whether Mixed_5c's features are multiplied with the sigmoid gate.
        frames: T of a clip.
        height: of a clip, pixels.
        width: of a clip, pixels.
        gate_kernel: of the gate's convolution, one integer or (time, height, width).
        dropout: the share of the pooled features that training drops.
        width_multiplier: of all channels; 1 is the publication.

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
        gate_kernel: Sizes3D = 3,
        dropout: float = 0.5,
        width_multiplier: float = 1.0,
        **kwargs,
    ):
        gate_kernel = three(gate_kernel)
        sizes = arguments(locals())
        check_sizes(sizes)
        dtype = kwargs.pop("dtype", None)

        def unit(x, channels, kernel, name, strides=1):
            channels = scaled(channels, width_multiplier)
            return _unit(x, channels, kernel, name, strides, dtype)

        clip = clip_input(frames, height, width)
        x = unit(centred(clip), 64, 7, "Conv3d_1a_7x7", strides=2)
        x = _pool(x, (1, 3, 3), (1, 2, 2), "MaxPool3d_2a_3x3", dtype)
        x = unit(x, 64, 1, "Conv3d_2b_1x1")
        x = unit(x, 192, 3, "Conv3d_2c_3x3")
        x = _pool(x, (1, 3, 3), (1, 2, 2), "MaxPool3d_3a_3x3", dtype)
        for name, *parts in TRUNK:
            if len(parts) == 4:
                x = _mixed(x, *parts, name, unit, dtype)
            else:
                x = _pool(x, *parts, name, dtype)
        if attention:
            x = AttentionGate(gate_kernel, dtype=dtype, name="gate")(x)
        # Average pooling over the whole map as a mean: pooling is very slow there on a CPU.
        x = ops.mean(ops.cast(x, "float32"), axis=(2, 3))
        if x.shape[1] > 1:
            x = (x[:, 1:] + x[:, :-1]) / 2
        x = seeded_dropout(dropout, "float32")(x)
        x = layers.Dense(num_classes, dtype="float32", name="Logits")(x)
        x = ops.mean(x, axis=1)
        output = layers.Softmax(dtype="float32", name="output")(x)
        kwargs.setdefault("name", "i3d_attention" if attention else "i3d")
        super().__init__(clip, output, sizes, **kwargs)


def _unit(x, channels: int, kernel: int, name: str, strides: int, dtype):
    """Convolution, batch norm without scale, ReLU: the code's Unit3D."""
    x = layers.Conv3D(
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


def _mixed(x, narrow, middle, thin, pooled, name: str, unit, dtype):
    """An Inception module: four branches over the same positions, side by side in channels."""
    branches = [
        unit(x, narrow, 1, f"{name}_0_1x1"),
        unit(unit(x, middle[0], 1, f"{name}_1_1x1"), middle[1], 3, f"{name}_1_3x3"),
        unit(unit(x, thin[0], 1, f"{name}_2_1x1"), thin[1], 3, f"{name}_2_3x3"),
        unit(_pool(x, (3, 3, 3), (1, 1, 1), f"{name}_3_pool", dtype), pooled, 1, f"{name}_3_1x1"),
    ]
    return layers.Concatenate(axis=-1, dtype=dtype, name=name)(branches)


def _pool(x, window, strides, name: str, dtype):
    return layers.MaxPooling3D(
        window, strides, padding="same", data_format="channels_last", dtype=dtype, name=name
    )(x)
