"""S3D: Inception-v1 whose 3D convolutions are split into space and time.

Source: Xie, Sun, Huang, Tu, Murphy: *Rethinking Spatiotemporal Feature Learning: Speed-Accuracy
Trade-offs in Video Classification*, ECCV 2018; layers, padding and batch norm are those of
torchvision's s3d (torchvision/models/video/s3d.py).
"""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import layers

from ar3d_keras.errors import UserError
from ar3d_keras.models.batch_norm import BatchNormalization
from ar3d_keras.models.classifier import (
    Sizes3D,
    VideoClassifier,
    arguments,
    check_min_size,
    clip_input,
    scaled,
    triple,
)
from ar3d_keras.models.inception3d import head, trunk
from ar3d_keras.models.layers import PACKAGE, AttentionGate
from ar3d_keras.models.normalization import Normalization, normalized
from ar3d_keras.models.preparation import prepared, prepared_shape
from ar3d_keras.models.published import Published
from ar3d_keras.models.torch_padding import Three, convolution, max_pool

LEAST_SIZE, LEAST_FRAMES = 17, 5  # the last pooling needs two positions


@keras.saving.register_keras_serializable(PACKAGE)
class S3D(VideoClassifier):
    """Clips in 0..255 to class probabilities. At the publication's 224x224:

        clip              (batch, 16, 224, 224, 3)   uint8 or float, 0..255; scaled inside: `normalization`
        Conv3d_1a_7x7     (batch, 8, 112, 112, 64)   1x7x7, then 7x1x1, stride 2; batch norm, ReLU after each
        MaxPool3d_2a_3x3  (batch, 8, 56, 56, 64)     the first two poolings keep all frames
        Conv3d_2c_3x3     (batch, 8, 56, 56, 192)    after Conv3d_2b_1x1 of 64 channels; split
        MaxPool3d_3a_3x3  (batch, 8, 28, 28, 192)
        Mixed_3c          (batch, 8, 28, 28, 480)    as in I3D, each 3x3x3 split
        MaxPool3d_4a_3x3  (batch, 4, 14, 14, 480)
        Mixed_4f          (batch, 4, 14, 14, 832)
        MaxPool3d_5a_2x2  (batch, 2, 7, 7, 832)      rounds sizes down
        Mixed_5c          (batch, 2, 7, 7, 1024)     then the gate, with `attention`
        AvgPool           (batch, 1, 1024)           windows of 2x7x7 at stride 1, or the whole map
        Logits            (batch, 1, classes)        dropout 0.2, then 1x1x1; mean over time
        output            (batch, classes)           softmax, float32 under every dtype policy

    8,320,048 trainable parameters with 400 classes, as in torchvision.

    The momentum of batch norms is torchvision's 0.999: the moving statistics need some thousand steps,
    which suits fine-tuning. A short training from scratch needs a lower one, such as 0.9.

    Args:
        num_classes: number of classes, at least 2.
        attention: whether Mixed_5c's features are multiplied by the sigmoid gate.
        frames: frames of a clip, at least 5.
        height: height of a clip, pixels, at least 17.
        width: width of a clip, pixels, at least 17.
        gate_kernel: kernel of the gate's convolution, one integer or (time, height, width).
        dropout: dropout rate of the pooled features.
        width_multiplier: multiplies all channels; 1 is the publication.
        norm_momentum: momentum of the moving statistics of batch norms, above 0 and below 1.
        normalization: how colors are scaled: `kinetics` for torchvision's weights.
        **kwargs: see VideoClassifier.

    Raises:
        UserError: an option is unknown or out of range.
    """

    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "width_multiplier": {"choice": [0.25, 0.5, 1.0]},
        "gate_kernel": {"choice": [[1, 1, 1], [3, 3, 3]]},
        "dropout": {"float": [0.0, 0.6]},
    }
    presets: ClassVar[dict[str, dict[str, dict[str, Any]]]] = {
        "demo": {"model": {"norm_momentum": 0.9}},
        "small-data": {"model": {"norm_momentum": 0.9}},
    }
    published: ClassVar[Published | None] = Published(
        head="Logits",
        names=lambda layer: _torchvision_names(layer),
        data={"frames": 16, "height": 224, "width": 224, "resize": (256, 256), "fps": 15.0},
        options={"normalization": "kinetics"},
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
        dropout: float = 0.2,
        width_multiplier: float = 1.0,
        norm_momentum: float = 0.999,
        normalization: Normalization = "centered",
        **kwargs: Any,
    ):
        gate_kernel = triple(gate_kernel)
        sizes = arguments(locals())
        seen, *size = prepared_shape(sizes)
        check_min_size("s3d", LEAST_SIZE, *size)
        if seen < LEAST_FRAMES:
            least = LEAST_FRAMES + frames - seen
            raise UserError(f"s3d needs `frames` of at least {least}, not {frames}")
        if norm_momentum >= 1:
            raise UserError(f"`norm_momentum` must be below 1, not {norm_momentum}")
        dtype = kwargs.pop("dtype", None) or "float32"

        def conv(x: Any, channels: int, kernel: Three, strides: Three, name: str) -> Any:
            x = convolution(x, channels, kernel, strides, name, dtype)
            x = BatchNormalization(
                axis=-1, momentum=norm_momentum, epsilon=1e-3, dtype=dtype, name=f"{name}_norm"
            )(x)
            return layers.ReLU(dtype=dtype, name=f"{name}_relu")(x)

        def unit(x: Any, channels: int, kernel: int, name: str, stride: int = 1) -> Any:
            channels = scaled(channels, width_multiplier)
            if kernel == 1:
                return conv(x, channels, (1, 1, 1), (1, 1, 1), name)
            x = conv(x, channels, (1, kernel, kernel), (1, stride, stride), f"{name}_spatial")
            return conv(x, channels, (kernel, 1, 1), (stride, 1, 1), f"{name}_temporal")

        def pool(x: Any, window: Three, strides: Three, name: str) -> Any:
            return max_pool(x, window, strides, name, dtype)

        clip = clip_input(frames, height, width)
        x = unit(prepared(normalized(clip, normalization), sizes), 64, 7, "Conv3d_1a_7x7", stride=2)
        x = trunk(x, unit, pool, dtype)
        if attention:
            x = AttentionGate(gate_kernel, dtype=dtype, name="gate")(x)
        output = head(x, sizes)
        kwargs.setdefault("name", "s3d_attention" if attention else "s3d")
        super().__init__(clip, output, sizes, **kwargs)


# Where torchvision has the layers and modules in its sequence `features`.
_PLACES = {
    "Conv3d_1a_7x7": 0, "Conv3d_2b_1x1": 2, "Conv3d_2c_3x3": 3, "Mixed_3b": 5, "Mixed_3c": 6,
    "Mixed_4b": 8, "Mixed_4c": 9, "Mixed_4d": 10, "Mixed_4e": 11, "Mixed_4f": 12, "Mixed_5b": 14,
    "Mixed_5c": 15,
}  # fmt: skip
_BRANCHES = {
    "0_1x1": "branch0", "1_1x1": "branch1.0", "1_3x3": "branch1.1", "2_1x1": "branch2.0",
    "2_3x3": "branch2.1", "3_1x1": "branch3.1",
}  # fmt: skip


def _torchvision_names(layer: str) -> Sequence[str]:
    """`Mixed_3b_1_3x3_temporal_norm` is features.5.branch1.1.1.1."""
    if layer == "Logits":
        return ("classifier.1",)
    found = re.fullmatch(
        r"(Conv3d_\d\w_\dx\d|Mixed_\d\w)(?:_(\d_\dx\d))?(_spatial|_temporal)?(_norm)?", layer
    )
    if not found:
        return ()
    module, branch, part, norm = found.groups()
    names = [f"features.{_PLACES[module]}"]
    if branch:
        names.append(_BRANCHES[branch])
    if part:
        names.append("0" if part == "_spatial" else "1")
    names.append("1" if norm else "0")
    return (".".join(names),)
