"""The networks by the name that `--model` takes, one class a file."""

import importlib

from ar3d_keras.errors import UserError

# name -> (module, class); imported when asked for, since Keras takes seconds.
NETWORKS = {"conv3d": ("ar3d_keras.models.conv3d", "Conv3DClassifier")}


def network(name: str) -> type:
    """The class of the network `name`.

    Raises:
        UserError: there is no such network.
    """
    if name not in NETWORKS:
        raise UserError(f"no model {name!r}: choose from {', '.join(NETWORKS)}")
    module, attribute = NETWORKS[name]
    return getattr(importlib.import_module(module), attribute)
