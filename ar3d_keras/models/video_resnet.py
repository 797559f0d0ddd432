"""R3D-18, MC3-18 and R(2+1)D-18: residual networks of 3D, mixed, and split 3D convolutions.

Source: Tran, Wang, Torresani, Ray, LeCun, Paluri: *A Closer Look at Spatiotemporal Convolutions for
Action Recognition*, CVPR 2018, section 3 and table 1; layers, padding and batch norm are those of
torchvision's r3d_18, mc3_18 and r2plus1d_18 (torchvision/models/video/resnet.py).
"""

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import keras
from keras import layers, ops

from ar3d_keras.models.batch_norm import BatchNormalization
from ar3d_keras.models.classifier import (
    Sizes3D,
    VideoClassifier,
    arguments,
    clip_input,
    scaled,
    seeded_dropout,
    triple,
)
from ar3d_keras.models.layers import PACKAGE, AttentionGate
from ar3d_keras.models.normalization import Normalization, normalized
from ar3d_keras.models.preparation import log_pooled, prepared
from ar3d_keras.models.published import Published
from ar3d_keras.models.torch_padding import convolution

# Channels of the four stages; each has two blocks, and all but the first halve the map.
STAGES = (64, 128, 256, 512)
# What a block's convolutions are: 3x3x3, 1x3x3, or 1x3x3 and 3x1x1.
Kind = Literal["full", "spatial", "split"]


class VideoResNet(VideoClassifier):
    """The base of the three networks: clips in 0..255 to class probabilities.

    Attributes:
        stages: the kind of the convolutions of each stage.

    Args:
        num_classes: number of classes, at least 2.
        attention: whether stage4's features are multiplied by the sigmoid gate.
        frames: frames of a clip.
        height: height of a clip, pixels.
        width: width of a clip, pixels.
        gate_kernel: kernel of the gate's convolution, one integer or (time, height, width).
        dropout: dropout rate of the pooled features; 0 is the publication.
        width_multiplier: multiplies all channels; 1 is the publication.
        normalization: how colors are scaled: `kinetics` for torchvision's weights.
        **kwargs: see VideoClassifier.

    Raises:
        UserError: an option is unknown or out of range.
    """

    stages: ClassVar[tuple[Kind, Kind, Kind, Kind]]
    published: ClassVar[Published | None] = Published(
        head="output",
        names=lambda layer: _torchvision_names(layer),
        data={"frames": 16, "height": 112, "width": 112, "resize": (128, 171), "fps": 15.0},
        options={"normalization": "kinetics"},
    )
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
        normalization: Normalization = "centered",
        **kwargs: Any,
    ):
        gate_kernel = triple(gate_kernel)
        sizes = arguments(locals())
        dtype = kwargs.pop("dtype", None) or "float32"

        clip = clip_input(frames, height, width)
        x = prepared(normalized(clip, normalization), sizes)
        x = _stem(x, self.stages[0], width_multiplier, dtype)
        for stage, (kind, channels) in enumerate(zip(self.stages, STAGES, strict=True), start=1):
            channels = scaled(channels, width_multiplier)
            stride = 1 if stage == 1 else 2
            x = _block(x, kind, channels, stride, f"stage{stage}_block1", dtype)
            x = _block(x, kind, channels, 1, f"stage{stage}_block2", dtype, output=f"stage{stage}")
        if attention:
            x = AttentionGate(gate_kernel, dtype=dtype, name="gate")(x)
        # A mean over the whole map: AveragePooling3D with so large a window is slow on a CPU.
        x = ops.mean(ops.cast(x, "float32"), axis=(1, 2, 3))
        x = log_pooled(x, sizes)
        x = seeded_dropout(dropout, "float32")(x)
        output = layers.Dense(num_classes, activation="softmax", dtype="float32", name="output")(x)
        name = type(self).__name__.lower()
        kwargs.setdefault("name", f"{name}_attention" if attention else name)
        super().__init__(clip, output, sizes, **kwargs)


@keras.saving.register_keras_serializable(PACKAGE)
class R3D(VideoResNet):
    """R3D-18: 3x3x3 convolutions. Clips in 0..255 to class probabilities.

        clip      (batch, 16, 112, 112, 3)   uint8 or float, 0..255; scaled inside: `normalization`
        stem      (batch, 16, 56, 56, 64)    3x7x7 with stride 1x2x2; batch norm and ReLU
        stage1    (batch, 16, 56, 56, 64)    two blocks: two 3x3x3 convolutions and a shortcut
        stage2    (batch, 8, 28, 28, 128)    the same; the first block has stride 2, also in time
        stage3    (batch, 4, 14, 14, 256)
        stage4    (batch, 2, 7, 7, 512)      then the gate, with `attention`
        pool      (batch, 512)               mean over all positions; dropout
        output    (batch, classes)           softmax, float32 under every dtype policy

    33,371,472 trainable parameters with 400 classes, as in torchvision. Options: see VideoResNet.
    """

    stages: ClassVar[tuple[Kind, Kind, Kind, Kind]] = ("full", "full", "full", "full")


@keras.saving.register_keras_serializable(PACKAGE)
class MC3(VideoResNet):
    """MC3-18: 3x3x3 convolutions in stage1, 1x3x3 after it. Clips in 0..255 to class probabilities.

        clip      (batch, 16, 112, 112, 3)   uint8 or float, 0..255; scaled inside: `normalization`
        stem      (batch, 16, 56, 56, 64)    3x7x7 with stride 1x2x2; batch norm and ReLU
        stage1    (batch, 16, 56, 56, 64)    two blocks: two 3x3x3 convolutions and a shortcut
        stage2    (batch, 16, 28, 28, 128)   1x3x3 from here on; the first block has stride 1x2x2
        stage3    (batch, 16, 14, 14, 256)
        stage4    (batch, 16, 7, 7, 512)     then the gate, with `attention`
        pool      (batch, 512)               mean over all positions; dropout
        output    (batch, classes)           softmax, float32 under every dtype policy

    11,695,440 trainable parameters with 400 classes, as in torchvision. Options: see VideoResNet.
    """

    stages: ClassVar[tuple[Kind, Kind, Kind, Kind]] = ("full", "spatial", "spatial", "spatial")


@keras.saving.register_keras_serializable(PACKAGE)
class R2Plus1D(VideoResNet):
    """R(2+1)D-18: convolutions split into space and time. Clips in 0..255 to class probabilities.

        clip      (batch, 16, 112, 112, 3)   uint8 or float, 0..255; scaled inside: `normalization`
        stem      (batch, 16, 56, 56, 64)    1x7x7 with stride 2, then 3x1x1; batch norm and ReLU each
        stage1    (batch, 16, 56, 56, 64)    two blocks: two (2+1)D convolutions and a shortcut
        stage2    (batch, 8, 28, 28, 128)    the same; the first block has stride 2, also in time
        stage3    (batch, 4, 14, 14, 256)
        stage4    (batch, 2, 7, 7, 512)      then the gate, with `attention`
        pool      (batch, 512)               mean over all positions; dropout
        output    (batch, classes)           softmax, float32 under every dtype policy

    A (2+1)D convolution is 1x3x3, batch norm, ReLU and 3x1x1. Its middle channels are as many as
    give it the parameters of a 3x3x3 convolution.

    31,505,325 trainable parameters with 400 classes, as in torchvision, and 25,350 moving statistics
    of batch norms. Options: see VideoResNet.
    """

    stages: ClassVar[tuple[Kind, Kind, Kind, Kind]] = ("split", "split", "split", "split")


def _stem(x: Any, kind: Kind, width_multiplier: float, dtype: Any) -> Any:
    channels = scaled(64, width_multiplier)
    if kind == "split":
        middle = scaled(45, width_multiplier)
        x = convolution(x, middle, (1, 7, 7), (1, 2, 2), "stem_spatial", dtype)
        x = _norm_relu(x, "stem_spatial", dtype)
        x = convolution(x, channels, (3, 1, 1), (1, 1, 1), "stem_temporal", dtype)
    else:
        x = convolution(x, channels, (3, 7, 7), (1, 2, 2), "stem_conv", dtype)
    return layers.ReLU(dtype=dtype, name="stem")(_norm(x, "stem", dtype))


def _block(
    x: Any, kind: Kind, channels: int, stride: int, name: str, dtype: Any, output: str = ""
) -> Any:
    """Two convolutions, plus a shortcut; ReLU after the sum."""
    before = x.shape[-1]
    middle = (before * channels * 27) // (before * 9 + 3 * channels)
    in_time = 1 if kind == "spatial" else stride
    shortcut = x
    for number, step in ((1, stride), (2, 1)):
        part = f"{name}_conv{number}"
        if kind == "split":
            x = convolution(x, middle, (1, 3, 3), (1, step, step), f"{part}_spatial", dtype)
            x = _norm_relu(x, f"{part}_spatial", dtype)
            x = convolution(x, channels, (3, 1, 1), (step, 1, 1), f"{part}_temporal", dtype)
        elif kind == "spatial":
            x = convolution(x, channels, (1, 3, 3), (1, step, step), part, dtype)
        else:
            x = convolution(x, channels, (3, 3, 3), (step, step, step), part, dtype)
        x = _norm_relu(x, part, dtype) if number == 1 else _norm(x, part, dtype)
    if stride > 1 or before != channels:
        strides = (in_time, stride, stride)
        shortcut = convolution(shortcut, channels, (1, 1, 1), strides, f"{name}_shortcut", dtype)
        shortcut = _norm(shortcut, f"{name}_shortcut", dtype)
    x = layers.Add(dtype=dtype, name=f"{name}_sum")([x, shortcut])
    return layers.ReLU(dtype=dtype, name=output or name)(x)


def _norm(x: Any, name: str, dtype: Any) -> Any:
    return BatchNormalization(
        axis=-1, momentum=0.9, epsilon=1e-5, dtype=dtype, name=f"{name}_norm"
    )(x)


def _norm_relu(x: Any, name: str, dtype: Any) -> Any:
    return layers.ReLU(dtype=dtype, name=f"{name}_relu")(_norm(x, name, dtype))


# The end of a layer's name -> what torchvision calls it inside the stem, and inside conv1 or conv2.
_STEM = {"_conv": "0", "_spatial": "0", "_spatial_norm": "1", "_temporal": "3"}
_IN_BLOCK = {"": "0", "_spatial": "0.0", "_spatial_norm": "0.1", "_temporal": "0.3", "_norm": "1"}


def _torchvision_names(layer: str) -> Sequence[str]:
    """`stage2_block1_conv1_spatial` is layer2.0.conv1.0.0."""
    if layer == "output":
        return ("fc",)
    if layer == "stem_norm":  # the first batch norm, or the second one of a split stem
        return ("stem.4", "stem.1")
    if layer.startswith("stem_"):
        return (f"stem.{_STEM[layer.removeprefix('stem')]}",)
    if found := re.fullmatch(r"stage(\d)_block(\d)_(conv\d|shortcut)(\w*)", layer):
        stage, block, part, end = found.groups()
        place = {"": "0", "_norm": "1"}[end] if part == "shortcut" else _IN_BLOCK[end]
        part = "downsample" if part == "shortcut" else part
        return (f"layer{stage}.{int(block) - 1}.{part}.{place}",)
    return ()
