"""A small network for few videos: three strided 3D convolutions, a grid of averages, one dense layer.

docs/results.md says how its sizes were found.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import layers

from ar3d_keras.models.batch_norm import BatchNormalization
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
from ar3d_keras.models.layers import PACKAGE, AttentionGate, Brightness, GridPooling
from ar3d_keras.models.preparation import log_pooled, prepared

STRIDES = (2, 2, 2), (2, 2, 2), (1, 2, 2)


@keras.saving.register_keras_serializable(PACKAGE)
class Compact3D(VideoClassifier):
    """Clips in 0..255 to class probabilities.

        clip    (batch, 16, 112, 112, 3)   uint8 or float, 0..255; gray and scaled to -1..1 inside
        conv1   (batch, 8, 56, 56, 16)     3x3x3, stride 2x2x2, batch norm, ReLU
        conv2   (batch, 4, 28, 28, 32)     stride 2x2x2
        conv3   (batch, 4, 14, 14, 64)     stride 1x2x2; then the gate, with `attention`
        pool    (batch, 2, 3, 4, 64)       GridPooling: the average of each cell
        output  (batch, classes)           dropout 0.5, Dense, softmax, float32 under every dtype policy

    The grid keeps what happened where and when, which an average over the whole clip loses, and
    needs few weights. Color is left out, because it says more about the recording than about the
    action.

    Args:
        num_classes: number of classes, at least 2.
        attention: whether conv3's features are multiplied by the sigmoid gate.
        frames: frames of a clip.
        height: height of a clip, pixels.
        width: width of a clip, pixels.
        filters: channels of conv1; conv2 has twice, conv3 four times as many.
        gate_kernel: kernel of the gate's convolution, one integer or (time, height, width).
        grid: cells of the average pooling, one integer or (time, height, width).
        dropout: dropout rate of the pooled features.
        **kwargs: see VideoClassifier.

    Raises:
        UserError: an option is unknown or out of range.
    """

    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "filters": {"choice": [8, 16, 32]},
        "gate_kernel": {"choice": [[1, 1, 1], [3, 3, 3]]},
        "grid": {"choice": [[1, 3, 4], [2, 3, 4], [4, 3, 4]]},
        "dropout": {"float": [0.2, 0.7]},
    }
    presets: ClassVar[dict[str, dict[str, dict[str, Any]]]] = {
        "demo": {"recipe": {"epochs": 12}},
    }

    def __init__(
        self,
        num_classes: int,
        *,
        attention: bool = False,
        frames: int = 16,
        height: int = 112,
        width: int = 112,
        filters: int = 16,
        gate_kernel: Sizes3D = 1,
        grid: Sizes3D = (2, 3, 4),
        dropout: float = 0.5,
        **kwargs: Any,
    ):
        gate_kernel, grid = map(triple, (gate_kernel, grid))
        sizes = arguments(locals())
        dtype = kwargs.pop("dtype", None) or "float32"

        clip = clip_input(frames, height, width)
        x = prepared(Brightness(name="brightness")(clip), sizes)
        output = stream(x, sizes, dtype)
        kwargs.setdefault("name", "compact3d_attention" if attention else "compact3d")
        super().__init__(clip, output, sizes, **kwargs)


def stream(x: Any, sizes: Mapping[str, Any], dtype: Any, prefix: str = "") -> Any:
    """The layers of Compact3D behind the preparation of its clip.

    Args:
        x: symbolic float (batch, time, height, width, channels).
        sizes: the options `attention`, `dropout`, `filters`, `gate_kernel`, `grid`, `log_pooling` and
            `num_classes` of the network.
        dtype: the dtype policy of the layers.
        prefix: of the names of the layers.

    Returns:
        The class probabilities, float32 (batch, num_classes).
    """
    for number, strides in enumerate(STRIDES, start=1):
        x = Conv3D(
            sizes["filters"] * 2 ** (number - 1),
            3,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            data_format="channels_last",
            dtype=dtype,
            name=f"{prefix}conv{number}",
        )(x)
        # With the few steps of a small dataset, averages of Keras's momentum 0.99 lag behind.
        x = BatchNormalization(
            axis=-1, momentum=0.9, epsilon=1e-3, dtype=dtype, name=f"{prefix}norm{number}"
        )(x)
        x = layers.ReLU(dtype=dtype, name=f"{prefix}relu{number}")(x)
    if sizes["attention"]:
        x = AttentionGate(sizes["gate_kernel"], dtype=dtype, name=f"{prefix}gate")(x)
    check_grid(sizes["grid"], x.shape[1:4])
    x = GridPooling(sizes["grid"], dtype=dtype, name=f"{prefix}pool")(x)
    x = layers.Flatten("channels_last", dtype=dtype, name=f"{prefix}flatten")(x)
    x = log_pooled(x, sizes, prefix)
    x = seeded_dropout(sizes["dropout"], dtype, f"{prefix}dropout")(x)
    dense = layers.Dense(
        sizes["num_classes"], activation="softmax", dtype="float32", name=f"{prefix}output"
    )
    return dense(x)
