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
    "mc3": "ar3d_keras.models.video_resnet:MC3",
    "r2plus1d": "ar3d_keras.models.video_resnet:R2Plus1D",
    "r3d": "ar3d_keras.models.video_resnet:R3D",
    "s3d": "ar3d_keras.models.s3d:S3D",
    "two_stream": "ar3d_keras.models.two_stream:TwoStream",
    "two_stream3d": "ar3d_keras.models.two_stream3d:TwoStream3D",
}

# Weights that can be fetched: name -> the network, and the file. The end of a file's name is the
# beginning of its SHA-256. Source: torchvision/models/video/resnet.py and s3d.py.
PUBLISHED = {
    "torchvision:mc3_18": ("mc3", "mc3_18-a90a0ba3.pth"),
    "torchvision:r2plus1d_18": ("r2plus1d", "r2plus1d_18-91a641e6.pth"),
    "torchvision:r3d_18": ("r3d", "r3d_18-b3b3357e.pth"),
    "torchvision:s3d": ("s3d", "s3d-d76dad2f.pth"),
}
# The files that other packages write weights into; see models/weight_files.py.
WEIGHT_FILES = (".h5", ".hdf5", ".npz", ".pickle", ".pt", ".pth", ".safetensors")


def is_published(source: str | None) -> bool:
    """Whether `init_from` names published weights, and neither a run nor a .keras file."""
    return source is not None and (
        source.startswith("torchvision:") or source.endswith(WEIGHT_FILES)
    )


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
