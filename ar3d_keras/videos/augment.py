"""Augmentation of the pixels of a training clip: resized crop, colors, random erasing.

The random values are in a `ClipSpec` (see `sampling`); nothing here is random. All frames of a clip
are changed in the same way, because differences between frames would look like motion. Channels
beyond the third are flow, in which 128 means no motion; color changes do not affect them.
"""

import math

import numpy as np

from ar3d_keras.videos.reader import load_cv2
from ar3d_keras.videos.sampling import ClipShape, ClipSpec, Color

GREY = 128  # value of an erased box; no motion in flow channels

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_TO_YIQ = np.array([_LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])


def resize(crop: np.ndarray, shape: ClipShape, out: np.ndarray | None = None) -> np.ndarray:
    """Resizes a crop to the clip's height and width, bilinearly.

    Args:
        crop: uint8 (T, height, width, C).
        shape: the geometry of the clip.
        out: uint8 (T, H, W, C) to write to; None: a new array.

    Returns:
        uint8 (T, H, W, C): `out` if given.
    """
    cv2 = load_cv2()
    if out is None:
        out = np.empty((len(crop), shape.height, shape.width, crop.shape[-1]), np.uint8)
    for frame, place in zip(crop, out, strict=True):
        cv2.resize(frame, (shape.width, shape.height), place, interpolation=cv2.INTER_LINEAR)
    return out


def change(clip: np.ndarray, spec: ClipSpec) -> None:
    """Changes the colors of a clip and erases a box, in place, as a spec says.

    Args:
        clip: uint8 (T, H, W, C), C-contiguous; C is 3 (RGB), or more with flow.
        spec: how it was cut.
    """
    if spec.color:
        rgb = np.ascontiguousarray(clip[..., :3])  # the clip itself if it has no flow
        _recolor(rgb.reshape(-1, clip.shape[2], 3), spec.color)
        if clip.shape[-1] > 3:
            clip[..., :3] = rgb
    if spec.erased:
        top, left, height, width = spec.erased
        clip[:, top : top + height, left : left + width] = GREY


def _recolor(picture: np.ndarray, color: Color) -> None:
    """Applies one affine color map, clipped once, to uint8 (height, width, 3) RGB in place."""
    cv2 = load_cv2()
    mean = float(_LUMA @ cv2.mean(picture)[:3])
    linear = color.brightness * color.contrast * (_turn(color.hue) @ _fade(color.saturation))
    # Contrast scales around the mean of the clip.
    offset = np.full((3, 1), color.brightness * (1 - color.contrast) * mean)
    cv2.transform(picture, np.hstack([linear, offset]).astype(np.float32), picture)


def _fade(saturation: float) -> np.ndarray:
    """(3, 3): interpolates between gray (0) and the color (1), or beyond."""
    return saturation * np.eye(3) + (1 - saturation) * np.tile(_LUMA, (3, 1))


def _turn(hue: float) -> np.ndarray:
    """(3, 3): rotates the hue from red to yellow, in YIQ, which keeps the luma."""
    cos, sin = math.cos(2 * math.pi * hue), math.sin(2 * math.pi * hue)
    circle = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
    return np.linalg.inv(_TO_YIQ) @ circle @ _TO_YIQ
