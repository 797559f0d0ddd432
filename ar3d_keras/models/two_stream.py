"""Two-Stream: one network on a frame, another on the optical flow around it, scores averaged.

Source: Simonyan, Zisserman: *Two-Stream Convolutional Networks for Action Recognition in Videos*,
NIPS 2014, figure 1; the layers are CNN-M-2048 of Chatfield, Simonyan, Vedaldi, Zisserman: *Return
of the Devil in the Details*, BMVC 2014, table 1.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import layers, ops

from ar3d_keras.models.classifier import (
    VideoClassifier,
    arguments,
    centered_both,
    check_min_size,
    clip_input,
    scaled,
    seeded_dropout,
)
from ar3d_keras.models.layers import PACKAGE, LocalResponseNormalization
from ar3d_keras.models.preparation import log_pooled, prepared, prepared_shape

FLOW_FRAMES = 10


@keras.saving.register_keras_serializable(PACKAGE)
class TwoStream(VideoClassifier):
    """Clips with flow, in 0..255, to class probabilities. At the publication's 224x224:

        clip      (batch, 16, 224, 224, 5)   uint8 or float, 0..255; scaled to -1..1 inside
        color     (batch, 224, 224, 3)       the middle frame
        flow      (batch, 224, 224, 20)      dx, dy of the ten middle frames, minus their spatial mean
        conv1     (batch, 109, 109, 96)      7x7, stride 2; ReLU, like every convolution; local response normalization
        pool1     (batch, 54, 54, 96)        max pooling 3x3, stride 2, like the poolings below
        conv2     (batch, 26, 26, 256)       5x5, stride 2; normalized in the spatial stream only
        pool2     (batch, 13, 13, 256)
        conv5     (batch, 13, 13, 512)       3x3; conv3 and conv4 before it have the same shape
        pool5     (batch, 6, 6, 512)         left out if the map is smaller than its window
        full6     (batch, 4096)              ReLU, dropout 0.5
        full7     (batch, 2048)              ReLU, dropout 0.5
        scores    (batch, classes)           softmax of each stream
        output    (batch, classes)           their mean, float32 under every dtype policy

    181,335,594 parameters with 101 classes at 224x224.

    Different from the publication: both streams are trained together on the mean of their scores
    (the publication trains them separately and averages afterwards); the spatial stream is trained
    from scratch instead of from ImageNet; the frame is the middle one of a randomly drawn clip.

    Args:
        num_classes: number of classes, at least 2.
        frames: frames of a clip; below ten, the flow stream sees all of them.
        height: height of a clip, pixels, at least 19.
        width: width of a clip, pixels, at least 19.
        dropout: dropout rate after full6 and full7.
        width_multiplier: multiplies all channels and hidden units; 1 is the publication.
        **kwargs: see VideoClassifier.

    Raises:
        UserError: an option is unknown or out of range.
    """

    flows = ("dis", "farneback", "tvl1")
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "width_multiplier": {"choice": [0.25, 0.5, 1.0]},
        "dropout": {"float": [0.2, 0.7]},
    }
    presets: ClassVar[dict[str, dict[str, dict[str, Any]]]] = {
        "demo": {
            "model": {"width_multiplier": 0.25},
            "recipe": {"epochs": 12, "learning_rate": 3e-4},
        },
    }

    def __init__(
        self,
        num_classes: int,
        *,
        frames: int = 16,
        height: int = 112,
        width: int = 112,
        dropout: float = 0.5,
        width_multiplier: float = 1.0,
        **kwargs: Any,
    ):
        sizes = arguments(locals())
        check_min_size("two_stream", 19, *prepared_shape(sizes)[1:])
        dtype = kwargs.pop("dtype", None) or "float32"

        def stream(x: Any, name: str) -> Any:
            image = keras.Input(x.shape[1:], dtype="float32", name="image")
            scores = _cnn_m(image, sizes, name == "spatial", dtype)
            return keras.Model(image, scores, name=name)(x)

        clip = clip_input(frames, height, width, channels=5)
        x = prepared(centered_both(clip), sizes)
        scores = [
            stream(x[:, x.shape[1] // 2, :, :, :3], "spatial"),
            stream(_stacked(x[..., 3:]), "temporal"),
        ]
        output = layers.Average(dtype="float32", name="output")(scores)
        kwargs.setdefault("name", "two_stream")
        super().__init__(clip, output, sizes, **kwargs)


def _stacked(flow: Any) -> Any:
    """The flow of the middle frames, (batch, height, width, 2 x frames), minus camera motion."""
    _, frames, height, width, _ = flow.shape
    length = min(FLOW_FRAMES, frames)
    first = (frames - length) // 2
    flow = flow[:, first : first + length]
    flow = flow - ops.mean(flow, axis=(2, 3), keepdims=True)
    return ops.reshape(ops.transpose(flow, (0, 2, 3, 1, 4)), (-1, height, width, 2 * length))


def _cnn_m(image: Any, sizes: Mapping[str, Any], spatial: bool, dtype: Any) -> Any:
    """CNN-M-2048: an image to class probabilities."""
    dropout, width_multiplier = sizes["dropout"], sizes["width_multiplier"]

    def convolution(
        x: Any, channels: int, kernel: int, name: str, strides: int = 1, padding: str = "same"
    ) -> Any:
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

    def pool(x: Any, name: str, padding: str = "valid") -> Any:
        return layers.MaxPooling2D(
            3, 2, padding, data_format="channels_last", dtype=dtype, name=name
        )(x)

    def normalized(x: Any, name: str) -> Any:
        return LocalResponseNormalization(dtype=dtype, name=name)(x)

    x = normalized(convolution(image, 96, 7, "conv1", 2, "valid"), "norm1")
    x = pool(x, "pool1")
    x = layers.ZeroPadding2D(1, data_format="channels_last", dtype=dtype, name="pad2")(x)
    x = convolution(x, 256, 5, "conv2", 2, "valid")
    if spatial:
        x = normalized(x, "norm2")
    x = pool(x, "pool2", "same")  # rounds up, as Caffe does
    for name in ("conv3", "conv4", "conv5"):
        x = convolution(x, 512, 3, name)
    if min(x.shape[1:3]) >= 3:
        x = pool(x, "pool5")
    x = layers.Flatten(data_format="channels_last", dtype=dtype, name="flatten")(x)
    x = log_pooled(x, sizes)
    for name, units in (("full6", 4096), ("full7", 2048)):
        units = scaled(units, width_multiplier)
        x = layers.Dense(
            units, activation="relu", kernel_initializer="he_normal", dtype=dtype, name=name
        )(x)
        x = seeded_dropout(dropout, dtype, f"dropout_{name}")(x)
    return layers.Dense(sizes["num_classes"], activation="softmax", dtype="float32", name="scores")(
        x
    )
