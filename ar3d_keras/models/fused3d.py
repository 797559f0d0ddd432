"""3D-Fused: image networks for color and for optical flow, fused by a 3D convolution.

Source: Carreira, Zisserman: *Quo Vadis, Action Recognition? A New Model and the Kinetics
Dataset*, CVPR 2017, section 2.3 and figure 2(d), after Feichtenhofer, Pinz, Zisserman:
*Convolutional Two-Stream Network Fusion for Video Action Recognition*, CVPR 2016.
"""

from typing import Any, ClassVar

import keras
from keras import layers, ops

from ar3d_keras.models.classifier import (
    Sizes3D,
    VideoClassifier,
    arguments,
    centered_both,
    clip_input,
    seeded_dropout,
    triple,
)
from ar3d_keras.models.convolution import PACKAGE, Conv3D
from ar3d_keras.models.frames import FrameByFrame, open_network
from ar3d_keras.models.layers import AttentionGate
from ar3d_keras.models.preparation import log_pooled, prepared

MOMENTS = 5


@keras.saving.register_keras_serializable(PACKAGE)
class Fused3D(VideoClassifier):
    """Clips with flow, in 0..255, to class probabilities.

    The clip is cut into five moments of equal length: the first 15 of 16 frames into moments of
    three frames. The color stream sees the middle frame of each moment, the flow stream the flow of
    all its frames.

        clip      (batch, 16, 112, 112, 5)   uint8 or float, 0..255; scaled to -1..1 inside
        color     (batch, 5, 112, 112, 3)    the middle frame of each moment
        flow      (batch, 5, 112, 112, 6)    dx, dy of its frames, one after the other
        rgb       (batch, 5, 4, 4, 1280)     MobileNetV2's last features
        motion    (batch, 5, 4, 4, 1280)     the same layers, with weights of their own
        fusion    (batch, 5, 4, 4, 512)      3x3x3 convolution of both, ReLU; then the gate, with `attention`
        pool      (batch, 2, 2, 2, 512)      max pooling 3x3x3
        output    (batch, classes)           dropout 0.5, Dense, softmax, float32 under every dtype policy

    40,320,581 parameters with 101 classes (the publication: 39 million).

    Different from the publication, which takes 50 frames (five moments of ten) of 224x224 and two
    Inception-v1 networks (5x7x7x1024 each).

    Args:
        num_classes: number of classes, at least 2.
        attention: whether the fused features are multiplied by the sigmoid gate.
        frames: frames of a clip; below five, each frame is a moment.
        height: height of a clip, pixels.
        width: width of a clip, pixels.
        backbone: the image network of both streams, a name of `config.Backbone`.
        backbone_weights: initial weights of both streams: "none" or "imagenet". Not saved with the
            network.
        filters: channels of the fusion.
        gate_kernel: kernel of the gate's convolution, one integer or (time, height, width).
        dropout: dropout rate of the fused features.
        **kwargs: see VideoClassifier.

    Raises:
        UserError: an option is unknown or out of range, or the weights cannot be downloaded.
    """

    flows = ("dis", "farneback", "tvl1")
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "filters": {"choice": [128, 256, 512]},
        "gate_kernel": {"choice": [[1, 1, 1], [3, 3, 3]]},
        "dropout": {"float": [0.2, 0.7]},
    }
    presets: ClassVar[dict[str, dict[str, dict[str, Any]]]] = {
        "demo": {
            "model": {"backbone": "MobileNet", "filters": 128, "dropout": 0.0},
            "recipe": {
                "epochs": 10,
                "learning_rate": 3e-4,
                "weight_decay": 0.0,
                "precision": "float32",
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
        backbone: str = "MobileNetV2",
        backbone_weights: str = "none",
        filters: int = 512,
        gate_kernel: Sizes3D = 3,
        dropout: float = 0.5,
        **kwargs: Any,
    ):
        gate_kernel = triple(gate_kernel)
        sizes = arguments(locals())
        del sizes["backbone_weights"]
        dtype = kwargs.pop("dtype", None) or "float32"

        def stream(x: Any, name: str) -> Any:
            network = open_network(
                backbone,
                backbone_weights,
                height=x.shape[2],
                width=x.shape[3],
                channels=x.shape[-1],
                dtype=dtype,
            )
            return FrameByFrame(network, dtype=dtype, name=name)(x)

        clip = clip_input(frames, height, width, channels=5)
        color, flow = cut_moments(prepared(centered_both(clip), sizes))
        streams = [stream(color, "rgb"), stream(flow, "motion")]
        x = layers.Concatenate(axis=-1, dtype=dtype, name="both")(streams)
        layer = {"padding": "same", "data_format": "channels_last", "dtype": dtype}
        x = Conv3D(filters, 3, activation="relu", **layer, name="fusion")(x)
        if attention:
            x = AttentionGate(gate_kernel, dtype=dtype, name="gate")(x)
        x = layers.MaxPooling3D(3, **layer, name="pool")(x)
        x = layers.Flatten("channels_last", dtype=dtype, name="flatten")(x)
        x = log_pooled(x, sizes)
        x = seeded_dropout(dropout, dtype)(x)
        output = layers.Dense(num_classes, activation="softmax", dtype="float32", name="output")(x)
        kwargs.setdefault("name", "fused3d_attention" if attention else "fused3d")
        super().__init__(clip, output, sizes, **kwargs)


def cut_moments(clip: Any) -> tuple[Any, Any]:
    """The color and the flow of a clip's moments.

    Args:
        clip: (batch, frames, height, width, 5).

    Returns:
        color (batch, moments, height, width, 3), flow (batch, moments, height, width, 2 x frames of
        a moment).
    """
    _, frames, height, width, _ = clip.shape
    moments = min(MOMENTS, frames)
    length = frames // moments
    first = (frames - moments * length) // 2
    cut = clip[:, first : first + moments * length]
    cut = ops.reshape(cut, (-1, moments, length, height, width, 5))
    flow = ops.transpose(cut[..., 3:], (0, 1, 3, 4, 2, 5))
    flow = ops.reshape(flow, (-1, moments, height, width, 2 * length))
    return cut[:, :, length // 2, :, :, :3], flow
