"""Weights that others published, taken into the same network of this package.

A network declares in its `published` what such files call its layers and how their clips were made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.models.weight_files import read_weight_file

# What files call a weight of a layer: PyTorch, then Keras.
_WEIGHTS = {
    "kernel": ("weight", "kernel"),
    "bias": ("bias",),
    "gamma": ("weight", "gamma"),
    "beta": ("bias", "beta"),
    "moving_mean": ("running_mean", "moving_mean"),
    "moving_variance": ("running_var", "moving_variance"),
}
_NOT_NEEDED = ".num_batches_tracked"  # PyTorch counts the batches of a batch norm


@dataclass(frozen=True)
class Published:
    """The published weights of a network.

    Attributes:
        head: the name of the layer whose size is the number of classes.
        names: the name of a layer -> what files call it; empty for a layer that no file has.
        data: options of the data section: how clips were made when the weights were trained.
        options: options of the network that the weights need.
        flattened: a dense layer on a flattened map -> the Flatten layer before it. PyTorch flattens
            channels first.
    """

    head: str
    names: Callable[[str], Sequence[str]]
    data: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    flattened: Mapping[str, str] = field(default_factory=dict)


def load_published(
    model: keras.Model, layers: Mapping[str, keras.Layer], published: Published, path: Path
) -> str:
    """Gives a network the weights of a file; its head only if the number of classes is the same.

    Args:
        model: the network.
        layers: its layers with weights, by name.
        published: what files call them.
        path: the file.

    Returns:
        A line that lists what is new.

    Raises:
        UserError: the file is damaged, or holds the weights of another network. The network is
            then unchanged.
    """
    arrays = read_weight_file(path)
    used = {name for name in arrays if name.endswith(_NOT_NEEDED)}
    values: dict[str, list[np.ndarray]] = {}
    new: list[str] = []
    for name, layer in layers.items():
        prefixes = published.names(name)
        prefix = next((p for p in prefixes if any(k.startswith(p + ".") for k in arrays)), None)
        if prefix is None and prefixes and name != published.head:
            raise UserError(
                f"`init_from` {path} has no weights for layer {name}, which it would call "
                f"{prefixes[0]}: it has {_first(arrays)}; are they weights of another `model`?"
            )
        if prefix is None:
            new.append(name)
            continue
        keys = [_key(arrays, prefix, weight.name) for weight in layer.weights]
        for key in keys:
            if key not in arrays:
                raise UserError(f"`init_from` {path} has no {key}, which {name} needs")
        used |= set(keys)
        order = _flattened_order(model, published.flattened.get(name))
        found = [
            _converted(arrays[k], k, w, order) for k, w in zip(keys, layer.weights, strict=True)
        ]
        if name == published.head and found[0].shape[-1] != layer.weights[0].shape[-1]:
            new.append(
                f"{name} (the head: {found[0].shape[-1]} classes in the file, "
                f"{layer.weights[0].shape[-1]} here)"
            )
            continue
        for key, array, weight in zip(keys, found, layer.weights, strict=True):
            if array.shape != tuple(weight.shape):
                raise UserError(_misfit(path, published, model, name, key, arrays[key], weight))
        values[name] = found
    if others := sorted(arrays.keys() - used):
        raise UserError(
            f"`init_from` {path} also has {others[0]} ({_shape(arrays[others[0]])}), which "
            f"{type(model).__name__} has not: are they weights of another `model`?"
        )
    for name, found in values.items():
        layers[name].set_weights(found)
    return f"weights of {len(values)} layers from {path}; new: {', '.join(new) or 'none'}"


def _key(arrays: Mapping[str, np.ndarray], prefix: str, weight: str) -> str:
    keys = [f"{prefix}.{word}" for word in _WEIGHTS[weight]]
    return next((key for key in keys if key in arrays), keys[0])


def _converted(array: np.ndarray, key: str, weight: Any, order: np.ndarray | None) -> np.ndarray:
    """An array in the layout of Keras: PyTorch has the output channels first, Keras last."""
    array = np.asarray(array, np.float32)
    if weight.name != "kernel":
        return array
    torch = key.endswith(".weight")
    if torch:
        array = np.moveaxis(array, (0, 1), (-1, -2)) if array.ndim > 1 else array
    if len(weight.shape) == 2 and array.ndim == 5 and array.shape[:3] == (1, 1, 1):
        array = array[0, 0, 0]  # a 1x1x1 convolution is a dense layer
    if torch and order is not None and len(order) == len(array):
        array = array[order]
    return array


def _flattened_order(model: keras.Model, flatten: str | None) -> np.ndarray | None:
    """The places, channels first, of the values of a map that is flattened channels last."""
    if flatten is None:
        return None
    *extent, channels = model.get_layer(flatten).input.shape[1:]
    places = np.arange(channels * int(np.prod(extent))).reshape(channels, *extent)
    return np.moveaxis(places, 0, -1).reshape(-1)


def _misfit(
    path: Path, published: Published, model: keras.Model, layer: str, key: str, array: np.ndarray,
    weight: Any,
) -> str:  # fmt: skip
    text = (
        f"`init_from` {path} does not fit: {key} is {_shape(array)}, and {weight.name} of {layer} is "
        f"{_shape(weight)}"
    )
    sizes = {k: v for k, v in published.data.items() if k in ("frames", "height", "width")}
    if layer in published.flattened and any(model.sizes[k] != v for k, v in sizes.items()):
        needed = ", ".join(f"`{name}` {value}" for name, value in sizes.items())
        return f"{text}: these weights need {needed}"
    return f"{text}: choose the `model` and the sizes that the weights were made with"


def _shape(array: Any) -> str:
    return "x".join(map(str, array.shape)) or "one number"


def _first(arrays: Mapping[str, np.ndarray]) -> str:
    names = list(arrays)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
