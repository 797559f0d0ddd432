"""Which layers train, when, and how fast: frozen layers, and the two phases of fine-tuning."""

import dataclasses
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from ar3d_keras.config import RecipeConfig
from ar3d_keras.errors import UserError
from ar3d_keras.models.layers import AttentionGate
from ar3d_keras.training.warm_start import head_layers, weighted_layers

BACKBONE = "backbone"  # in `freeze`: every layer but the head and the gate
HEAD_RATE = 10  # the head alone learns so many times faster: it starts from random weights


@dataclass(frozen=True)
class Phase:
    """Epochs with the same trained layers, and an optimizer of their own.

    Attributes:
        begin: its first epoch, from 0.
        end: the epoch after its last one.
        frozen: names or patterns of the layers that do not train; see `freeze`.
        recipe: the recipe of these epochs.
        layer_decay: the learning rate of the first trained layer, as a share of the last one's.
    """

    begin: int
    end: int
    frozen: tuple[str, ...]
    recipe: RecipeConfig
    layer_decay: float = 1.0


def phases(recipe: RecipeConfig) -> list[Phase]:
    """The phases of a recipe: one, or with `fine_tune` two: the head alone, then all layers."""
    if not recipe.fine_tune:
        return [Phase(0, recipe.epochs, recipe.freeze, recipe)]
    begin = recipe.head_epochs
    head = dataclasses.replace(recipe, epochs=begin, learning_rate=HEAD_RATE * recipe.learning_rate)
    rest = dataclasses.replace(
        recipe,
        epochs=recipe.epochs - begin,
        weight_decay_after=max(0, recipe.weight_decay_after - begin),
    )
    return [
        Phase(0, begin, (*recipe.freeze, BACKBONE), head),
        Phase(begin, recipe.epochs, recipe.freeze, rest, recipe.layer_decay),
    ]


def freeze(model: keras.Model, patterns: Sequence[str]) -> str:
    """Freezes the weights of layers, including the statistics of BatchNorm layers.

    Args:
        model: a network that is not compiled yet.
        patterns: names of layers with weights, or patterns with * and ? (fnmatch); `backbone` is
            every layer but the head and the gate. All other layers train.

    Returns:
        A line that lists the frozen and the trained layers.

    Raises:
        UserError: a pattern matches no layer, or no layer is left to train.
    """
    layers = weighted_layers(model)
    for layer in layers.values():
        layer.trainable = True
    for pattern in patterns:
        if pattern == BACKBONE:
            head = head_layers(model)
            matching = [
                name
                for name, layer in layers.items()
                if name not in head and not isinstance(layer, AttentionGate)
            ]
        else:
            matching = fnmatch.filter(layers, pattern)
        if not matching:
            raise UserError(
                f"`freeze` {pattern} matches no layer with weights; the network has "
                f"{', '.join(layers)}"
            )
        for name in matching:
            layers[name].trainable = False
    if not model.trainable_variables:
        raise UserError(f"`freeze` {' '.join(patterns)} leaves no layer to train: name fewer")
    fixed = [name for name, layer in layers.items() if not layer.trainable]
    trained = [name for name, layer in layers.items() if layer.trainable]
    return f"frozen: {', '.join(fixed) or 'none'}; trained: {', '.join(trained)}"


def layer_rates(model: keras.Model, layer_decay: float) -> list[float]:
    """The factor of the learning rate of each trainable variable, in their order.

    The last layer has 1 and the first `layer_decay`; the ratio between neighbors is the same
    everywhere. Layer-wise decay: Howard, Ruder: *Universal Language Model Fine-tuning*, ACL 2018.

    Args:
        model: a network with its frozen layers.
        layer_decay: above 0; with 1 all layers have the same rate, and the list is empty.
    """
    if layer_decay == 1:
        return []
    trained = [layer for layer in weighted_layers(model).values() if layer.trainable_weights]
    steps = max(1, len(trained) - 1)
    rates = {
        id(variable): layer_decay ** ((steps - place) / steps)
        for place, layer in enumerate(trained)
        for variable in layer.trainable_variables
    }
    return [rates[id(variable)] for variable in model.trainable_variables]
