"""A network with the input of its last layer as a second output."""

from typing import Any

import keras
import numpy as np
from keras import ops


class FeatureNetwork:
    """Predicts probabilities and, in the same pass, the features that they are computed from.

    Args:
        network: a built classifier.

    Attributes:
        num_classes: columns of the output that are probabilities.
    """

    def __init__(self, network: keras.Model):
        self.num_classes = network.output_shape[-1]
        features = _input_of_last_dense(network, self.num_classes)
        features = ops.cast(features, "float32")
        if len(features.shape) > 2:  # one prediction per time, averaged later
            features = ops.mean(features, axis=tuple(range(1, len(features.shape) - 1)))
        self._model = keras.Model(network.input, [network.output, features])

    def predict_on_batch(self, clips: np.ndarray) -> np.ndarray:
        """Clips (batch, T, H, W, C) to float32 (batch, num_classes + features)."""
        return np.concatenate(self._model.predict_on_batch(clips), axis=1)


def _input_of_last_dense(network: keras.Model, num_classes: int) -> Any:
    """The features of a network; its probabilities, if its last layer is inside another model."""
    for layer in reversed(network.layers):
        if isinstance(layer, keras.layers.Dense) and layer.units == num_classes:
            return layer.input
    return network.output
