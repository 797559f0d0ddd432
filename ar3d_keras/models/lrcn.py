"""LRCN: an image network on each frame, then an LSTM over the frames ("CNN+LSTM").

Source: Donahue, Hendricks, Guadarrama, Rohrbach, Venugopalan, Saenko, Darrell: *Long-term
Recurrent Convolutional Networks for Visual Recognition and Description*, CVPR 2015, section 4.
"""

from typing import Any, ClassVar

import keras
from keras import layers

from ar3d_keras.models.classifier import (
    VideoClassifier,
    arguments,
    centered,
    clip_input,
    seeded_dropout,
)
from ar3d_keras.models.frames import FrameByFrame, open_network
from ar3d_keras.models.layers import PACKAGE
from ar3d_keras.models.preparation import log_pooled, prepared

# A frame's features have at least so many rows and columns, like CaffeNet's pool5 (6x6). On small
# frames the last features of an image network (2x2 at 48x48) are too coarse to locate a motion.
GRID = 6


@keras.saving.register_keras_serializable(PACKAGE)
class LRCN(VideoClassifier):
    """Clips in 0..255 to class probabilities.

        clip      (batch, 16, 112, 112, 3)   uint8 or float, 0..255; scaled to -1..1 inside
        frames    (batch, 16, 7, 7, 576)     MobileNetV2's last features of at least 6x6 of each frame
        fc6       (batch, 16, 512)           Dense, ReLU, dropout 0.5, for each frame
        lstm      (batch, 16, 256)           LSTM, dropout 0.5
        scores    (batch, 16, classes)       softmax for each frame
        output    (batch, classes)           their mean, float32 under every dtype policy

    15,880,869 parameters with 101 classes.

    Different from the publication: the image network is MobileNetV2 instead of CaffeNet, so fc6 has
    512 units on 7x7x576 features instead of 4096 on 6x6x256; training takes the loss of the mean
    score instead of the sum of each frame's loss. As in the publication, the features keep their
    positions: after pooling over positions an LSTM could not tell left from right.

    Args:
        num_classes: number of classes, at least 2.
        frames: frames of a clip.
        height: height of a clip, pixels.
        width: width of a clip, pixels.
        backbone: the image network, a name of `config.Backbone`.
        backbone_weights: its initial weights: "none" or "imagenet". Not saved with the network.
        dense: units of fc6.
        units: units of the LSTM (256 in the publication, for RGB).
        dropout: dropout rate after fc6 and after the LSTM.
        **kwargs: see VideoClassifier.

    Raises:
        UserError: an option is unknown or out of range, or the weights cannot be downloaded.
    """

    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "units": {"choice": [128, 256, 512]},
        "dense": {"choice": [128, 256, 512]},
        "dropout": {"float": [0.2, 0.7]},
    }
    presets: ClassVar[dict[str, dict[str, dict[str, Any]]]] = {
        "demo": {
            "model": {"backbone": "MobileNet", "dropout": 0.0},
            "recipe": {
                "epochs": 25,
                "learning_rate": 2e-4,
                "weight_decay": 0.0,
                "precision": "float32",
            },
        },
    }

    def __init__(
        self,
        num_classes: int,
        *,
        frames: int = 16,
        height: int = 112,
        width: int = 112,
        backbone: str = "MobileNetV2",
        backbone_weights: str = "none",
        dense: int = 512,
        units: int = 256,
        dropout: float = 0.5,
        **kwargs: Any,
    ):
        sizes = arguments(locals())
        del sizes["backbone_weights"]
        dtype = kwargs.pop("dtype", None) or "float32"

        clip = clip_input(frames, height, width)
        x = prepared(centered(clip), sizes)
        steps, *size = x.shape[1:4]
        network = open_network(
            backbone, backbone_weights, height=size[0], width=size[1], least=GRID, dtype=dtype
        )
        x = FrameByFrame(network, dtype=dtype, name="frames")(x)
        x = layers.Reshape((steps, -1), dtype=dtype, name="flatten")(x)
        x = log_pooled(x, sizes)
        x = layers.Dense(dense, activation="relu", dtype=dtype, name="fc6")(x)
        x = seeded_dropout(dropout, dtype, "dropout_fc6")(x)
        x = layers.LSTM(units, return_sequences=True, dtype=dtype, name="lstm")(x)
        x = seeded_dropout(dropout, dtype, "dropout_lstm")(x)
        x = layers.Dense(num_classes, activation="softmax", dtype="float32", name="scores")(x)
        output = layers.GlobalAveragePooling1D(
            data_format="channels_last", dtype="float32", name="output"
        )(x)
        kwargs.setdefault("name", "lrcn")
        super().__init__(clip, output, sizes, **kwargs)
