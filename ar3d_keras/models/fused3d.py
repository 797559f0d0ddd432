"""3D-Fused: networks of single frames for colour and for flow, fused by a 3D convolution.

Source: Carreira, Zisserman: *Quo Vadis, Action Recognition? A New Model and the Kinetics
Dataset*, CVPR 2017, section 2.3 and figure 2(d), after Feichtenhofer, Pinz, Zisserman:
*Convolutional Two-Stream Network Fusion for Video Action Recognition*, CVPR 2016.
"""

import keras
from keras import layers, ops

from ar3d_keras.models.classifier import (
    Sizes3D,
    VideoClassifier,
    arguments,
    centred,
    centred_flow,
    check_sizes,
    clip_input,
    seeded_dropout,
    three,
)
from ar3d_keras.models.frames import FrameByFrame, open_network
from ar3d_keras.models.layers import PACKAGE, AttentionGate

MOMENTS = 5


@keras.saving.register_keras_serializable(PACKAGE)
class Fused3D(VideoClassifier):
    """Clips with flow, in 0..255, to class probabilities.

    The clip is cut into five moments of equal length, its middle 15 of 16 frames into moments of
    three. Of each, the colour stream sees the middle frame and the flow stream the flow of all.

        clip      (batch, 16, 112, 112, 5)   uint8 or float, 0..255; scaled to -1..1 inside
        colour    (batch, 5, 112, 112, 3)    the middle frame of each moment
        flow      (batch, 5, 112, 112, 6)    dx, dy of its frames in turn
        rgb       (batch, 5, 4, 4, 1280)     MobileNetV2's last features
        motion    (batch, 5, 4, 4, 1280)     those of another one
        fusion    (batch, 5, 4, 4, 512)      both in one 3x3x3 convolution, ReLU; then the gate, where `attention`
        pool      (batch, 2, 2, 2, 512)      maxima of 3x3x3
        output    (batch, classes)           dropout 0.5, Dense, softmax, float32 under every precision

    40,320,581 parameters with 101 classes (the publication: 39 million).

    Different from the publication: its clip is 50 frames, five moments of ten at 224x224, and its
    two networks are Inception-v1 (5x7x7x1024 each).

    Args:
        num_classes: number of classes, at least 2.
        attention: whether the fused features are multiplied with the sigmoid gate.
        frames: T of a clip; below five, there is a moment a frame.
        height: of a clip, pixels.
        width: of a clip, pixels.
        backbone: the network of single frames, a name of keras.applications.
        backbone_weights: "none", or "imagenet" to start both streams from. Not part of what is saved.
        filters: channels of the fusion.
        gate_kernel: of the gate's convolution, one integer or (time, height, width).
        dropout: the share of the fused features that training drops.

    Raises:
        UserError: a size that makes no network, or weights that cannot be had.
    """

    needs_flow = True

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
        **kwargs,
    ):
        gate_kernel = three(gate_kernel)
        sizes = arguments(locals())
        check_sizes(sizes)
        del sizes["backbone_weights"]
        dtype = kwargs.pop("dtype", None)

        def stream(x, name):
            network = open_network(
                backbone,
                backbone_weights,
                height=height,
                width=width,
                channels=x.shape[-1],
                dtype=dtype,
            )
            return FrameByFrame(network, dtype=dtype, name=name)(x)

        clip = clip_input(frames, height, width, channels=5)
        colour, flow = cut_moments(clip)
        streams = [stream(centred(colour), "rgb"), stream(centred_flow(flow), "motion")]
        x = layers.Concatenate(axis=-1, dtype=dtype, name="both")(streams)
        layer = {"padding": "same", "data_format": "channels_last", "dtype": dtype}
        x = layers.Conv3D(filters, 3, activation="relu", **layer, name="fusion")(x)
        if attention:
            x = AttentionGate(gate_kernel, dtype=dtype, name="gate")(x)
        x = layers.MaxPooling3D(3, **layer, name="pool")(x)
        x = layers.Flatten(dtype=dtype, name="flatten")(x)
        x = seeded_dropout(dropout, dtype)(x)
        output = layers.Dense(num_classes, activation="softmax", dtype="float32", name="output")(x)
        kwargs.setdefault("name", "fused3d_attention" if attention else "fused3d")
        super().__init__(clip, output, sizes, **kwargs)


def cut_moments(clip):
    """The clip's moments: (batch, moments, height, width, 3) and (..., 2 x frames of a moment)."""
    _, frames, height, width, _ = clip.shape
    moments = min(MOMENTS, frames)
    length = frames // moments
    first = (frames - moments * length) // 2
    cut = clip[:, first : first + moments * length]
    cut = ops.reshape(cut, (-1, moments, length, height, width, 5))
    flow = ops.transpose(cut[..., 3:], (0, 1, 3, 4, 2, 5))
    flow = ops.reshape(flow, (-1, moments, height, width, 2 * length))
    return cut[:, :, length // 2, :, :, :3], flow
