"""Options of every network: what is done to the clip before it, and to its pooled features."""

from collections.abc import Mapping
from typing import Any

from ar3d_keras.errors import UserError
from ar3d_keras.models.layers import (
    AveragePooling3D,
    FrameDifferences,
    LogNormalization,
    MotionNormalization,
)
from ar3d_keras.models.motion_crop import MotionCrop

# The options and their defaults. A layer has the name of its option.
SHARED: dict[str, Any] = {
    "motion_crop": None,
    "spatial_downsample": 1,
    "differences": False,
    "motion_normalization": False,
    "log_pooling": False,
}
TYPES: dict[str, Any] = {
    "motion_crop": tuple[int, int] | None,
    "spatial_downsample": int,
    "differences": bool,
    "motion_normalization": bool,
    "log_pooling": bool,
}


def prepared(clip: Any, sizes: Mapping[str, Any], colors: int = 3) -> Any:
    """Crops to the motion, reduces the pictures, and takes and normalizes differences, as asked.

    Args:
        clip: the symbolic scaled clip, float32 (batch, time, height, width, channels).
        sizes: the options of the network, from `arguments`.
        colors: how many of the first channels are color; those after them are optical flow.

    Returns:
        The clip that the network sees; `clip` itself without options.
    """
    x = clip
    if sizes["motion_crop"]:
        x = MotionCrop(*sizes["motion_crop"], colors=colors, name="motion_crop")(x)
    if (window := sizes["spatial_downsample"]) > 1:
        x = AveragePooling3D(
            (1, window, window),
            dtype="float32",
            name="spatial_downsample",
            data_format="channels_last",
        )(x)
    if sizes["differences"]:
        x = FrameDifferences(colors, dtype="float32", name="differences")(x)
    if sizes["motion_normalization"]:
        x = MotionNormalization(colors=colors, name="motion_normalization")(x)
    return x


def log_pooled(features: Any, sizes: Mapping[str, Any], prefix: str = "") -> Any:
    """The pooled features, through LogNormalization if the options ask for it."""
    if not sizes["log_pooling"]:
        return features
    return LogNormalization(name=f"{prefix}log_pooling")(features)


def prepared_shape(sizes: Mapping[str, Any]) -> tuple[int, int, int]:
    """The frames, height and width that `prepared` returns.

    Raises:
        UserError: the options do not fit the clip.
    """
    frames, height, width = (sizes[name] for name in ("frames", "height", "width"))
    if crop := sizes["motion_crop"]:
        if min(crop) < 1:
            raise UserError(f"`motion_crop` {crop[0]} {crop[1]} must be at least 1 each")
        height, width = crop
    for option in ("motion_crop", "differences"):
        if sizes[option] and frames < 2:
            raise UserError(f"`{option}` needs `frames` of at least 2, not {frames}")
    if sizes["motion_normalization"] and not sizes["differences"]:
        raise UserError("`motion_normalization` needs `differences`")
    window = sizes["spatial_downsample"]
    if height % window or width % window:
        what = "`motion_crop`" if crop else "`height` and `width`"
        raise UserError(
            f"`spatial_downsample` {window} must divide {what}, which are {height} and {width}"
        )
    return frames - sizes["differences"], height // window, width // window
