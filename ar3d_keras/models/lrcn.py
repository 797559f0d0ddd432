"""LRCN: a network of single frames, then an LSTM over them (the "CNN+LSTM" of comparisons).

Source: Donahue, Hendricks, Guadarrama, Rohrbach, Venugopalan, Saenko, Darrell: *Long-term
Recurrent Convolutional Networks for Visual Recognition and Description*, CVPR 2015, section 4.
"""

import keras
from keras import layers

from ar3d_keras.models.classifier import (
    VideoClassifier,
    arguments,
    centred,
    check_sizes,
    clip_input,
    seeded_dropout,
)
from ar3d_keras.models.frames import FrameByFrame, open_network
from ar3d_keras.models.layers import PACKAGE

# Rows and columns of a frame's features, at least: CaffeNet's pool5 has 6x6. Of small frames a
# network's last features are too few (2x2 at 48x48) to say where something is and where it goes.
GRID = 6


@keras.saving.register_keras_serializable(PACKAGE)
class LRCN(VideoClassifier):
    """Clips in 0..255 to class probabilities.

        clip      (batch, 16, 112, 112, 3)   uint8 or float, 0..255; scaled to -1..1 inside
        frames    (batch, 16, 7, 7, 576)     MobileNetV2's features of each frame, to the last of at least 6x6
        fc6       (batch, 16, 512)           Dense, ReLU, dropout 0.5, of each frame
        lstm      (batch, 16, 256)           LSTM, dropout 0.5
        scores    (batch, 16, classes)       softmax of each frame
        output    (batch, classes)           their mean, float32 under every precision

    15,880,869 parameters with 101 classes.

    Different from the publication: the frame network is MobileNetV2 where it has CaffeNet, so
    fc6 has 512 units over 7x7x576 features where it has 4096 over 6x6x256; the mean over frames
    is taken in training too, where it sums each frame's loss. As in the publication, features
    keep their places: after pooling over positions no LSTM could tell left from right.

    Args:
        num_classes: number of classes, at least 2.
        frames: T of a clip.
        height: of a clip, pixels.
        width: of a clip, pixels.
        backbone: the network of single frames, a name of keras.applications.
        backbone_weights: "none", or "imagenet" to start from. Not part of what is saved.
        dense: units of fc6.
        units: of the LSTM (256, as in the publication for RGB).
        dropout: the share of fc6's and of the LSTM's units that training drops.

    Raises:
        UserError: a size that makes no network, or weights that cannot be had.
    """

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
        **kwargs,
    ):
        sizes = arguments(locals())
        check_sizes(sizes)
        del sizes["backbone_weights"]
        dtype = kwargs.pop("dtype", None)

        clip = clip_input(frames, height, width)
        network = open_network(
            backbone, backbone_weights, height=height, width=width, least=GRID, dtype=dtype
        )
        x = FrameByFrame(network, dtype=dtype, name="frames")(centred(clip))
        x = layers.Reshape((frames, -1), dtype=dtype, name="flatten")(x)
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
