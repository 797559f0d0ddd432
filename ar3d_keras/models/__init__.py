"""The networks, one class a file; `ar3d_keras.networks` lists them by name."""

import inspect
from collections.abc import Iterable
from typing import Any

from ar3d_keras.errors import UserError
from ar3d_keras.networks import NETWORKS, network

__all__ = ["NETWORKS", "check_options", "network", "options"]


def options(name: str) -> dict[str, Any]:
    """The options of a network and their defaults, those of all networks included.

    Args:
        name: a key of NETWORKS.

    Raises:
        UserError: no network has this name.
    """
    from ar3d_keras.models.preparation import SHARED  # it imports Keras

    parameters = inspect.signature(network(name)).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty} | SHARED


def check_options(name: str, given: Iterable[str]) -> None:
    """Checks that a network has all the options in `given`.

    Raises:
        UserError: names the option, and those that the network has.
    """
    taken = options(name)
    for option in given:
        if option not in taken:
            known = ", ".join(f"`{each}`" for each in taken)
            raise UserError(f"the network {name!r} has no option `{option}`: it has {known}")
