"""Networks of single frames, from keras.applications, and how they are laid over a clip."""

import contextlib
import warnings
from typing import get_args

import keras
from keras import ops

from ar3d_keras.config import Backbone
from ar3d_keras.errors import UserError
from ar3d_keras.models.layers import PACKAGE


def open_network(
    name: str,
    weights: str,
    *,
    height: int,
    width: int,
    channels: int = 3,
    least: int = 1,
    dtype=None,
) -> keras.Model:
    """A network of keras.applications without its classifier.

    Those that are offered all take colour in -1..1. Their batch norms forget faster here
    (momentum 0.9, there 0.99 to 0.999), so that short trainings are evaluated with statistics of
    their own and not with those that the network started from.

    Args:
        name: of `config.FramesNetwork`, as keras.applications spells it.
        weights: "none", or "imagenet", which Keras downloads into its cache.
        height: of a frame, pixels.
        width: of a frame, pixels.
        channels: of a frame. With ImageNet's weights and other than 3, the first kernel is the
            mean over colours for every channel (Wang et al., *Temporal Segment Networks*, 2016).
        least: rows and columns that its features must have: 1 takes its last, more cuts it
            behind the last activation of that size.
        dtype: the layers' dtype policy.

    Returns:
        float (batch, height, width, channels) in -1..1 to its features,
        (batch, rows, columns, features).

    Raises:
        UserError: no such network, frames too small for it, or weights that cannot be had.
    """
    if name not in get_args(Backbone):
        choices = ", ".join(get_args(Backbone))
        raise UserError(f"--backbone {name!r} is none of {choices}")
    if weights not in ("none", "imagenet"):
        raise UserError(f"--backbone-weights {weights!r} is neither none nor imagenet")
    with _keras_defaults(dtype):
        network = _application(name, None if weights == "none" else weights, height, width)
        if channels != 3:
            network = _with_channels(network, channels, keep_weights=weights != "none")
    if least > 1:
        network = keras.Model(network.input, _last_activation(network, least), name=network.name)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
    return network


def _application(name: str, weights: str | None, height: int, width: int) -> keras.Model:
    build = getattr(keras.applications, name)
    # MobileNetV3 alone would scale colour by itself.
    options = {"include_preprocessing": False} if name.startswith("MobileNetV3") else {}
    shape = (height, width, 3)
    with warnings.catch_warnings():
        # For sizes it has no weights of, MobileNet takes those of 224x224 and says so.
        warnings.filterwarnings("ignore", message="`input_shape` is undefined or non-square")
        try:
            return build(include_top=False, weights=weights, input_shape=shape, **options)
        except ValueError as error:
            raise UserError(
                f"--backbone {name} cannot take frames of {height}x{width} ({error}): give "
                "a larger --height and --width, or another network"
            ) from None
        except Exception as error:
            if "URL fetch failure" not in str(error):  # how Keras says that it has no network
                raise
            raise UserError(
                f"--backbone-weights imagenet: the weights of {name} cannot be downloaded ({error}): "
                "go on line once, or train with --backbone-weights none"
            ) from None


def _last_activation(network: keras.Model, least: int):
    activations = keras.layers.Activation | keras.layers.ReLU
    for layer in reversed(network.layers):
        if isinstance(layer, activations) and min(layer.output.shape[1:3]) >= least:
            return layer.output
    raise UserError(
        f"{network.name} has no features of {least}x{least} in such frames: give a larger "
        "--height and --width"
    )


def _with_channels(network: keras.Model, channels: int, *, keep_weights: bool) -> keras.Model:
    """The same network over frames of so many channels."""
    frame = keras.Input((*network.input_shape[1:3], channels))
    widened = keras.models.clone_model(network, input_tensors=frame)
    if keep_weights:
        first, *rest = network.get_weights()
        weights = first.mean(axis=2, keepdims=True).repeat(channels, axis=2)
        widened.set_weights([weights, *rest])
    return widened


@contextlib.contextmanager
def _keras_defaults(dtype):
    """keras.applications takes precision and channel order from Keras's defaults alone."""
    policy, order = keras.config.dtype_policy(), keras.config.image_data_format()
    keras.config.set_dtype_policy(dtype or policy)
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(order)


@keras.saving.register_keras_serializable(PACKAGE)
class FrameByFrame(keras.layers.Layer):
    """A network of single frames over every frame of a clip, all frames in one batch.

    keras.layers.TimeDistributed would run a batch for each frame: slower, and with batch norms
    that see one moment of every clip at a time.

    Input: float (batch, time, height, width, channels); output: the network's, behind (batch,
    time).

    Args:
        network: a Keras model over (batch, height, width, channels).
    """

    def __init__(self, network: keras.Model, **kwargs):
        super().__init__(**kwargs)
        self.network = network

    def call(self, clips, training=None):
        time, *frame = clips.shape[1:]
        features = self.network(ops.reshape(clips, (-1, *frame)), training=training)
        return ops.reshape(features, (-1, time, *features.shape[1:]))

    def compute_output_shape(self, shape):
        """(batch, time) and the network's."""
        return (*shape[:2], *self.network.output_shape[1:])

    def get_config(self):
        network = keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "network": network}

    @classmethod
    def from_config(cls, config):
        network = keras.saving.deserialize_keras_object(config.pop("network"))
        return cls(network, **config)
