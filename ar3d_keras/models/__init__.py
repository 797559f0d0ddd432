"""The networks by the name that `--model` takes, one class a file."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from ar3d_keras.errors import UserError

# name -> (module, class); imported when asked for, since Keras takes seconds.
NETWORKS = {
    "c3d": ("ar3d_keras.models.c3d", "C3D"),
    "conv3d": ("ar3d_keras.models.conv3d", "Conv3DClassifier"),
    "fused3d": ("ar3d_keras.models.fused3d", "Fused3D"),
    "i3d": ("ar3d_keras.models.i3d", "I3D"),
    "lrcn": ("ar3d_keras.models.lrcn", "LRCN"),
    "two_stream": ("ar3d_keras.models.two_stream", "TwoStream"),
}


def network(name: str) -> type:
    """The class of the network `name`.

    Raises:
        UserError: there is no such network.
    """
    if name not in NETWORKS:
        raise UserError(f"no model {name!r}: choose from {', '.join(NETWORKS)}")
    module, attribute = NETWORKS[name]
    return getattr(importlib.import_module(module), attribute)


def options(name: str) -> dict[str, Any]:
    """The options that the network `name` takes, and its own defaults.

    Raises:
        UserError: there is no such network.
    """
    parameters = inspect.signature(network(name)).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def check_options(name: str, given: Mapping[str, Any]) -> None:
    """Refuses what is given to a network that does not take it.

    Raises:
        UserError: names the flag, and those that the network takes.
    """
    taken = options(name)
    for option in given:
        if option not in taken:
            flags = ", ".join("--" + each.replace("_", "-") for each in taken)
            raise UserError(
                f"--model {name} has no --{option.replace('_', '-')}: its options are {flags}"
            )
