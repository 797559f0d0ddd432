"""Two streams: one network sees a frame, another the flow around it; their scores are averaged.

Source: Simonyan, Zisserman: *Two-Stream Convolutional Networks for Action Recognition in Videos*,
NIPS 2014, figure 1; the layers are CNN-M-2048 of Chatfield, Simonyan, Vedaldi, Zisserman: *Return
of the Devil in the Details*, BMVC 2014, table 1.
"""

import keras
from keras import layers, ops

from ar3d_keras.models.classifier import (
    VideoClassifier,
    arguments,
    centred,
    centred_flow,
    check_min_size,
    check_sizes,
    clip_input,
    scaled,
    seeded_dropout,
)
from ar3d_keras.models.layers import PACKAGE, LocalResponseNormalization

FLOW_FRAMES = 10


@keras.saving.register_keras_serializable(PACKAGE)
class TwoStream(VideoClassifier):
    """Clips with flow, in 0..255, to class probabilities. At the publication's 224x224:

        clip      (batch, 16, 224, 224, 5)   uint8 or float, 0..255; scaled to -1..1 inside
        colour    (batch, 224, 224, 3)       the middle frame
        flow      (batch, 224, 224, 20)      dx, dy of the ten middle frames in turn, each less its mean
        conv1     (batch, 109, 109, 96)      7x7, stride 2; ReLU, as every convolution; normalised
        pool1     (batch, 54, 54, 96)        maxima of 3x3, stride 2, as the poolings below
        conv2     (batch, 26, 26, 256)       5x5, stride 2; normalised in the spatial stream alone
        pool2     (batch, 13, 13, 256)
        conv5     (batch, 13, 13, 512)       3x3, after conv3 and conv4 of the same shape
        pool5     (batch, 6, 6, 512)         left out where the map is smaller than its window
        full6     (batch, 4096)              ReLU, dropout 0.5
        full7     (batch, 2048)              likewise
        scores    (batch, classes)           softmax of each stream
        output    (batch, classes)           their mean, float32 under every precision

    181,335,594 parameters with 101 classes at 224x224.

    Different from the publication: both streams are trained together, on the mean of their scores,
    where it trains them apart and averages afterwards; the spatial stream starts from scratch,
    where it starts from ImageNet; the frame is the clip's middle one, whose place training draws.

    Args:
        num_classes: number of classes, at least 2.
        frames: T of a clip; below ten, the flow is that of all.
        height: of a clip, pixels, at least 19.
        width: of a clip, pixels, at least 19.
        dropout: the share of hidden units that training drops.
        width_multiplier: of all channels and hidden units; 1 is the publication.

    Raises:
        UserError: a size that makes no network.
    """

    needs_flow = True

    def __init__(
        self,
        num_classes: int,
        *,
        frames: int = 16,
        height: int = 112,
        width: int = 112,
        dropout: float = 0.5,
        width_multiplier: float = 1.0,
        **kwargs,
    ):
        sizes = arguments(locals())
        check_sizes(sizes)
        check_min_size("two_stream", 19, height, width)
        dtype = kwargs.pop("dtype", None)

        def stream(x, name):
            image = keras.Input(x.shape[1:], dtype="float32", name="image")
            scores = _cnn_m(image, num_classes, name == "spatial", dropout, width_multiplier, dtype)
            return keras.Model(image, scores, name=name)(x)

        clip = clip_input(frames, height, width, channels=5)
        scores = [
            stream(centred(clip[:, frames // 2, :, :, :3]), "spatial"),
            stream(_stacked(centred_flow(clip[..., 3:])), "temporal"),
        ]
        output = layers.Average(dtype="float32", name="output")(scores)
        kwargs.setdefault("name", "two_stream")
        super().__init__(clip, output, sizes, **kwargs)


def _stacked(flow):
    """The middle frames' flow, (batch, height, width, 2 x frames), without camera motion."""
    _, frames, height, width, _ = flow.shape
    length = min(FLOW_FRAMES, frames)
    first = (frames - length) // 2
    flow = flow[:, first : first + length]
    flow = flow - ops.mean(flow, axis=(2, 3), keepdims=True)
    return ops.reshape(ops.transpose(flow, (0, 2, 3, 1, 4)), (-1, height, width, 2 * length))


def _cnn_m(image, num_classes: int, spatial: bool, dropout: float, width_multiplier: float, dtype):
    """CNN-M-2048: an image to class probabilities."""

    def convolution(x, channels, kernel, name, strides=1, padding="same"):
        return layers.Conv2D(
            scaled(channels, width_multiplier),
            kernel,
            strides,
            padding,
            activation="relu",
            kernel_initializer="he_normal",
            data_format="channels_last",
            dtype=dtype,
            name=name,
        )(x)

    def pool(x, name, padding="valid"):
        return layers.MaxPooling2D(
            3, 2, padding, data_format="channels_last", dtype=dtype, name=name
        )(x)

    def normalised(x, name):
        return LocalResponseNormalization(dtype=dtype, name=name)(x)

    x = normalised(convolution(image, 96, 7, "conv1", 2, "valid"), "norm1")
    x = pool(x, "pool1")
    x = layers.ZeroPadding2D(1, data_format="channels_last", dtype=dtype, name="pad2")(x)
    x = convolution(x, 256, 5, "conv2", 2, "valid")
    if spatial:
        x = normalised(x, "norm2")
    x = pool(x, "pool2", "same")  # rounds up, as Caffe does
    for name in ("conv3", "conv4", "conv5"):
        x = convolution(x, 512, 3, name)
    if min(x.shape[1:3]) >= 3:
        x = pool(x, "pool5")
    x = layers.Flatten(data_format="channels_last", dtype=dtype, name="flatten")(x)
    for name, units in (("full6", 4096), ("full7", 2048)):
        units = scaled(units, width_multiplier)
        x = layers.Dense(
            units, activation="relu", kernel_initializer="he_normal", dtype=dtype, name=name
        )(x)
        x = seeded_dropout(dropout, dtype, f"dropout_{name}")(x)
    return layers.Dense(num_classes, activation="softmax", dtype="float32", name="scores")(x)
