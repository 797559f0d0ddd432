"""The small network that most tests of this folder export."""

import keras
import numpy as np

from ar3d_keras import Conv3DClassifier
from ar3d_keras.videos.sampling import ClipShape

# The second name is not UTF-8, as the name of a folder may be. Six names, because five are on top.
CLASS_NAMES = ["걷기 walk", "r\udcffun", "jump, high", "sit", "stand", "fall"]
BYTES = [name.encode("utf-8", "surrogateescape") for name in CLASS_NAMES]
SHAPE = ClipShape(4, 8, 8, resize_height=9, resize_width=12)
SIZES = {"frames": 4, "height": 8, "width": 8, "filters": 6, "pool": (2, 4, 4), "dense": 5}


def network(classes: int = len(CLASS_NAMES), **sizes) -> keras.Model:
    """A gated network whose outputs differ from clip to clip; small weights would hide errors."""
    keras.utils.set_random_seed(0)
    model = Conv3DClassifier(classes, attention=True, **{**SIZES, **sizes})
    sharpen(model)
    return model


def sharpen(model: keras.Model) -> None:
    kernel, bias = model.get_layer("output").get_weights()
    model.get_layer("output").set_weights([20 * kernel, bias])


def random_clips(count: int, model: keras.Model) -> np.ndarray:
    shape = (count, *model.input_shape[1:])
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
