"""C3D: eight 3x3x3 convolutions, five poolings and two hidden dense layers.

Source: Tran, Bourdev, Fergus, Torresani, Paluri: *Learning Spatiotemporal Features with 3D
Convolutional Networks*, ICCV 2015, section 3.2 and figure 3. Comparisons also call this network
"3D-ConvNet".
"""

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import layers

from ar3d_keras.models.classifier import (
    Sizes3D,
    VideoClassifier,
    arguments,
    clip_input,
    scaled,
    seeded_dropout,
    triple,
)
from ar3d_keras.models.convolution import Conv3D
from ar3d_keras.models.layers import PACKAGE, AttentionGate
from ar3d_keras.models.normalization import Normalization, normalized
from ar3d_keras.models.preparation import log_pooled, prepared
from ar3d_keras.models.published import Published

# (name, channels, window of the pooling that follows)
CONVOLUTIONS = (
    ("conv1a", 64, (1, 2, 2)),
    ("conv2a", 128, (2, 2, 2)),
    ("conv3a", 256, None),
    ("conv3b", 256, (2, 2, 2)),
    ("conv4a", 512, None),
    ("conv4b", 512, (2, 2, 2)),
    ("conv5a", 512, None),
    ("conv5b", 512, (2, 2, 2)),
)


@keras.saving.register_keras_serializable(PACKAGE)
class C3D(VideoClassifier):
    """Clips in 0..255 to class probabilities.

        clip    (batch, 16, 112, 112, 3)     uint8 or float, 0..255; scaled inside: `normalization`
        conv1a  (batch, 16, 112, 112, 64)    3x3x3, ReLU, like every convolution
        pool1   (batch, 16, 56, 56, 64)      1x2x2: the first pooling keeps all frames
        conv2a  (batch, 16, 56, 56, 128)
        pool2   (batch, 8, 28, 28, 128)      2x2x2, like the poolings below
        conv3b  (batch, 8, 28, 28, 256)      conv3a before it has the same shape
        pool3   (batch, 4, 14, 14, 256)
        conv4b  (batch, 4, 14, 14, 512)      after conv4a
        pool4   (batch, 2, 7, 7, 512)
        conv5b  (batch, 2, 7, 7, 512)        after conv5a; then the gate, with `attention`
        pool5   (batch, 1, 4, 4, 512)
        fc6     (batch, 4096)                ReLU, dropout 0.5
        fc7     (batch, 4096)                ReLU, dropout 0.5
        output  (batch, classes)             softmax, float32 under every dtype policy

    78,409,573 parameters with 101 classes. Poolings round sizes up (pool5 makes 4 of 7, which the
    published weights of fc6 need), so the network accepts clips of any size.

    Different from the publication: without published weights, color is scaled to -1..1 (the publication
    subtracts the mean clip of its data; `sports1m` subtracts the mean color of that clip), and weights are initialized from He et al.'s normal distribution, because the
    network has no normalization layers.

    Args:
        num_classes: number of classes, at least 2.
        attention: whether conv5b's features are multiplied by the sigmoid gate.
        frames: frames of a clip.
        height: height of a clip, pixels.
        width: width of a clip, pixels.
        gate_kernel: kernel of the gate's convolution, one integer or (time, height, width).
        dense: units of fc6 and of fc7.
        dropout: dropout rate after fc6 and fc7.
        width_multiplier: multiplies the channels of the convolutions; 1 is the publication.
        normalization: how colors are scaled: `sports1m` for the published weights.
        **kwargs: see VideoClassifier.

    Raises:
        UserError: an option is unknown or out of range.
    """

    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "width_multiplier": {"choice": [0.25, 0.5, 1.0]},
        "gate_kernel": {"choice": [[1, 1, 1], [3, 3, 3]]},
        "dense": {"choice": [512, 1024, 2048, 4096]},
        "dropout": {"float": [0.2, 0.7]},
    }
    presets: ClassVar[dict[str, dict[str, dict[str, Any]]]] = {
        "demo": {
            "model": {"width_multiplier": 0.25, "dense": 256},
            "recipe": {"epochs": 20, "learning_rate": 3e-4},
        },
    }

    published: ClassVar[Published | None] = Published(
        head="output",
        names=lambda layer: _published_names(layer),
        data={"frames": 16, "height": 112, "width": 112, "resize": (128, 171), "stride": 1},
        options={"normalization": "sports1m"},
        flattened={"fc6": "flatten"},
    )

    def __init__(
        self,
        num_classes: int,
        *,
        attention: bool = False,
        frames: int = 16,
        height: int = 112,
        width: int = 112,
        gate_kernel: Sizes3D = 3,
        dense: int = 4096,
        dropout: float = 0.5,
        width_multiplier: float = 1.0,
        normalization: Normalization = "centered",
        **kwargs: Any,
    ):
        gate_kernel = triple(gate_kernel)
        sizes = arguments(locals())
        dtype = kwargs.pop("dtype", None) or "float32"
        layer = {"padding": "same", "data_format": "channels_last", "dtype": dtype}
        relu = {"activation": "relu", "kernel_initializer": "he_normal"}

        clip = clip_input(frames, height, width)
        x = prepared(normalized(clip, normalization), sizes)
        poolings = itertools.count(1)
        for name, channels, pool in CONVOLUTIONS:
            filters = scaled(channels, width_multiplier)
            x = Conv3D(filters, 3, **relu, **layer, name=name)(x)
            if attention and name == "conv5b":
                x = AttentionGate(gate_kernel, dtype=dtype, name="gate")(x)
            if pool:
                x = layers.MaxPooling3D(pool, **layer, name=f"pool{next(poolings)}")(x)
        x = layers.Flatten("channels_last", dtype=dtype, name="flatten")(x)
        x = log_pooled(x, sizes)
        for name in ("fc6", "fc7"):
            x = layers.Dense(dense, **relu, dtype=dtype, name=name)(x)
            x = seeded_dropout(dropout, dtype, f"dropout_{name}")(x)
        output = layers.Dense(num_classes, activation="softmax", dtype="float32", name="output")(x)
        kwargs.setdefault("name", "c3d_attention" if attention else "c3d")
        super().__init__(clip, output, sizes, **kwargs)


def _published_names(layer: str) -> Sequence[str]:
    """The names in the ports of the Sports-1M weights to Keras and to PyTorch.

    Sources: github.com/aslucki/C3D_Sport1M_keras (c3d/sport1m_model.py), and
    github.com/DavideA/c3d-pytorch (C3D_model.py), whose names are the same;
    github.com/jfzhang95/pytorch-video-recognition (network/C3D_model.py), which loads a sequential one.
    """
    names = [name for name, _, _ in CONVOLUTIONS]
    if layer in names:
        short = {"conv1a": "conv1", "conv2a": "conv2"}.get(layer, layer)
        sequential = (0, 3, 6, 8, 11, 13, 16, 18)[names.index(layer)]
        return (short, f"features.{sequential}", layer)
    other = {"fc6": "classifier.0", "fc7": "classifier.3", "output": "classifier.6"}
    if layer not in other:
        return ()
    return ("fc8" if layer == "output" else layer, other[layer])
