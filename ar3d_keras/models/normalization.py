"""How a network scales the colors of a clip; published weights need the scaling of their training."""

from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from ar3d_keras.models.layers import PACKAGE

Normalization = Literal["centered", "kinetics", "sports1m"]

# name -> mean and standard deviation of red, green and blue in 0..255, and the order of the channels.
#
# centered: from -1 to 1, as I3D (github.com/google-deepmind/kinetics-i3d, evaluate_sample.py).
# kinetics: torchvision/transforms/_presets.py, VideoClassification.
# sports1m: C3D subtracts the mean clip of Sports-1M (github.com/facebook/C3D, sport1m_train16_128_mean),
#     and OpenCV gives it blue first. The clip itself is no part of the published weights; this is its
#     mean over time and space.
_COLORS: dict[str, tuple[tuple[float, ...], tuple[float, ...], str]] = {
    "centered": ((127.5,) * 3, (127.5,) * 3, "rgb"),
    "kinetics": (
        (0.43216 * 255, 0.394666 * 255, 0.37645 * 255),
        (0.22803 * 255, 0.22145 * 255, 0.216989 * 255),
        "rgb",
    ),
    "sports1m": ((101.4083, 97.6570, 90.2516), (1.0,) * 3, "bgr"),
}


@keras.saving.register_keras_serializable(PACKAGE)
class ColorNormalization(keras.layers.Layer):
    """Subtracts a mean from each color, divides by a deviation, and puts the channels in order.

    Input: float32 (batch, time, height, width, 3), RGB in 0..255. Output: the same shape, float32.

    Args:
        normalization: `centered`: to -1..1. `kinetics`: mean 0 and deviation 1 over Kinetics-400.
            `sports1m`: minus the mean color of Sports-1M, blue first.
    """

    def __init__(self, normalization: Normalization = "centered", **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.normalization = normalization

    def call(self, color: Any) -> Any:
        mean, deviation, order = _COLORS[self.normalization]
        scale = 1 / np.array(deviation)
        offset = np.array(mean) * scale
        scale, offset = (ops.convert_to_tensor(each, "float32") for each in (scale, offset))
        normal = color * scale - offset
        return ops.flip(normal, axis=-1) if order == "bgr" else normal

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "normalization": self.normalization}


def normalized(color: Any, normalization: Normalization) -> Any:
    """The normalized colors of a symbolic clip; see ColorNormalization."""
    return ColorNormalization(normalization, name="rescaling")(color)
