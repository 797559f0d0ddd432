"""I3D: Inception-v1 with three-dimensional filters, on RGB, without pretrained weights.

Source: Carreira, Zisserman: *Quo Vadis, Action Recognition? A New Model and the Kinetics
Dataset*, CVPR 2017, figure 3; sizes and layer names from the authors' code, github.com/google-deepmind/kinetics-i3d,
i3d.py. Published weights: the Keras port github.com/dlpbc/keras-kinetics-i3d, i3d_inception.py.
"""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import layers

from ar3d_keras.models.batch_norm import BatchNormalization
from ar3d_keras.models.classifier import (
    Sizes3D,
    VideoClassifier,
    arguments,
    centered,
    clip_input,
    scaled,
    triple,
)
from ar3d_keras.models.convolution import Conv3D
from ar3d_keras.models.inception3d import head, trunk
from ar3d_keras.models.layers import PACKAGE, AttentionGate
from ar3d_keras.models.preparation import prepared
from ar3d_keras.models.published import Published


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
    published: ClassVar[Published | None] = Published(
        head="Logits",
        names=lambda layer: _keras_port_names(layer),
        data={"frames": 64, "height": 224, "width": 224, "resize": (256, 341), "fps": 25.0},
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

        def pool(x: Any, window: Sizes3D, strides: Sizes3D, name: str) -> Any:
            return layers.MaxPooling3D(
                window, strides, padding="same", data_format="channels_last", dtype=dtype, name=name
            )(x)

        clip = clip_input(frames, height, width)
        x = unit(prepared(centered(clip), sizes), 64, 7, "Conv3d_1a_7x7", strides=2)
        x = trunk(x, unit, pool, dtype)
        if attention:
            x = AttentionGate(gate_kernel, dtype=dtype, name="gate")(x)
        output = head(x, sizes)
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
    x = BatchNormalization(axis=-1, momentum=0.9, scale=False, dtype=dtype, name=f"{name}_norm")(x)
    return layers.ReLU(dtype=dtype, name=f"{name}_relu")(x)


_BRANCHES = {
    "0_1x1": "0a",
    "1_1x1": "1a",
    "1_3x3": "1b",
    "2_1x1": "2a",
    "2_3x3": "2b",
    "3_1x1": "3b",
}


def _keras_port_names(layer: str) -> Sequence[str]:
    """`Mixed_3b_1_3x3_norm` is Conv3d_3b_1b_3x3_bn."""
    if layer == "Logits":
        return ("Conv3d_6a_1x1_conv",)
    unit = layer.removesuffix("_norm")
    kind = "conv" if unit == layer else "bn"
    if found := re.fullmatch(r"Mixed_(\d\w)_(\d_(\dx\d))", unit):
        module, branch, kernel = found.groups()
        unit = f"Conv3d_{module}_{_BRANCHES[branch]}_{kernel}"
    return (f"{unit}_{kind}",) if unit.startswith("Conv3d") else ()
