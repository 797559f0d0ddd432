"""Image networks from keras.applications, and a layer that applies them to each frame of a clip."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any, get_args

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
    dtype: Any = None,
) -> keras.Model:
    """An image network of keras.applications without its classifier.

    All networks of `config.Backbone` take color in -1..1. The momentum of their batch norms is 0.9
    here (0.99 to 0.999 in keras.applications), so that the moving statistics of a short training no
    longer depend on their initial values.

    Args:
        name: one of `config.Backbone`, as keras.applications spells it.
        weights: "none", or "imagenet", which Keras downloads into its cache.
        height: height of a frame, pixels.
        width: width of a frame, pixels.
        channels: channels of a frame. With ImageNet weights and other than 3 channels, each
            channel's first kernel is the mean over the colors (Wang et al., *Temporal Segment
            Networks*, 2016).
        least: rows and columns that the features must have at least. 1 takes the last features;
            more cuts the network after its last activation of that size.
        dtype: dtype policy of the layers; None: Keras's global policy.

    Returns:
        A model from float (batch, height, width, channels) in -1..1 to features
        (batch, rows, columns, features).

    Raises:
        UserError: the name is unknown, the frames are too small, or the weights cannot be
            downloaded.
    """
    if name not in get_args(Backbone):
        choices = ", ".join(get_args(Backbone))
        raise UserError(f"`backbone` must be one of {choices}, not {name!r}")
    if weights not in ("none", "imagenet"):
        raise UserError(f"`backbone_weights` must be none or imagenet, not {weights!r}")
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
    # Only MobileNetV3 scales color itself.
    options = {"include_preprocessing": False} if name.startswith("MobileNetV3") else {}
    shape = (height, width, 3)
    with warnings.catch_warnings():
        # MobileNet warns when it takes the weights of 224x224 for another size.
        warnings.filterwarnings("ignore", message="`input_shape` is undefined or non-square")
        try:
            return build(include_top=False, weights=weights, input_shape=shape, **options)
        except ValueError as error:
            raise UserError(
                f"`backbone` {name} does not accept frames of {height}x{width} ({error}): give a "
                "larger `height` and `width`, or another network"
            ) from None
        except Exception as error:
            if "URL fetch failure" not in str(error):  # Keras's message for a failed download
                raise
            raise UserError(
                f"`backbone_weights` imagenet: the weights of {name} cannot be downloaded "
                f"({error}): connect to the internet once, or set `backbone_weights` to none"
            ) from None


def _last_activation(network: keras.Model, least: int) -> Any:
    activations = keras.layers.Activation | keras.layers.ReLU
    for layer in reversed(network.layers):
        if isinstance(layer, activations) and min(layer.output.shape[1:3]) >= least:
            return layer.output
    raise UserError(
        f"{network.name} has no features of {least}x{least} for frames of this size: give a larger "
        "`height` and `width`"
    )


def _with_channels(network: keras.Model, channels: int, *, keep_weights: bool) -> keras.Model:
    """The same network for frames with this number of channels."""
    frame = keras.Input((*network.input_shape[1:3], channels))
    widened = keras.models.clone_model(network, input_tensors=frame)
    if keep_weights:
        first, *rest = network.get_weights()
        weights = first.mean(axis=2, keepdims=True).repeat(channels, axis=2)
        widened.set_weights([weights, *rest])
    return widened


@contextlib.contextmanager
def _keras_defaults(dtype: Any) -> Iterator[None]:
    """Sets Keras's defaults, the only way to give keras.applications precision and channel order."""
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
    """Applies an image network to every frame of a clip, all frames in one batch.

    keras.layers.TimeDistributed would run one batch for each time step: slower, and batch norms
    would see only one time step at once.

    Input: float (batch, time, height, width, channels). Output: (batch, time, ...), the network's
    output for each frame.

    Args:
        network: a Keras model over (batch, height, width, channels).
    """

    def __init__(self, network: keras.Model, **kwargs: Any):
        super().__init__(**kwargs)
        self.network = network

    def call(self, clips: Any, training: bool | None = None) -> Any:
        time, *frame = clips.shape[1:]
        features = self.network(ops.reshape(clips, (-1, *frame)), training=training)
        return ops.reshape(features, (-1, time, *features.shape[1:]))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(batch, time, ...) with the network's output shape."""
        return (*shape[:2], *self.network.output_shape[1:])

    def get_config(self) -> dict[str, Any]:
        network = keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "network": network}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FrameByFrame":
        network = keras.saving.deserialize_keras_object(config.pop("network"))
        return cls(network, **config)
