"""The networks by the name that `model` takes. A new network is one more line here.

The registry imports nothing heavy, so the command line can list the networks without Keras, whose
import takes seconds.
"""

import importlib
from typing import Any

from ar3d_keras.errors import UserError

# name -> module:class. The class declares everything else: options and their defaults, presets and
# search space.
NETWORKS = {
    "c3d": "ar3d_keras.models.c3d:C3D",
    "compact3d": "ar3d_keras.models.compact3d:Compact3D",
    "conv3d": "ar3d_keras.models.conv3d:Conv3DClassifier",
    "fused3d": "ar3d_keras.models.fused3d:Fused3D",
    "i3d": "ar3d_keras.models.i3d:I3D",
    "lrcn": "ar3d_keras.models.lrcn:LRCN",
    "r2plus1d": "ar3d_keras.models.r2plus1d:R2Plus1D",
    "two_stream": "ar3d_keras.models.two_stream:TwoStream",
}


def network(name: str) -> Any:
    """The class of a network, a subclass of `models.classifier.VideoClassifier`.

    The first call imports Keras and its backend.

    Raises:
        UserError: no network has this name.
    """
    if name not in NETWORKS:
        raise UserError(f"`model` must be one of {', '.join(NETWORKS)}, not {name!r}")
    module, _, attribute = NETWORKS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
