"""What is done to the pixels of a training clip: resized crops, colours, an erased box.

What is drawn stands in a `ClipSpec` (see `sampling`); here nothing is random. All frames of a clip
are treated alike: what changes from frame to frame would look like motion. Channels beyond the
third are flow, in which 128 means no motion; colours leave them alone.
"""

import math

import numpy as np

from ar3d_keras.videos.reader import load_cv2
from ar3d_keras.videos.sampling import ClipShape, ClipSpec, Colour

GREY = 128  # of an erased box; in flow, no motion

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_TO_YIQ = np.array([_LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])


def resize(crop: np.ndarray, shape: ClipShape, out: np.ndarray | None = None) -> np.ndarray:
    """Resizes a crop to the clip's height and width, bilinearly.

    Args:
        crop: uint8 (T, height, width, C).
        shape: of the clip.
        out: uint8 (T, H, W, C) that takes the clip; None: a new array.

    Returns:
        uint8 (T, H, W, C): `out` where it was given.
    """
    cv2 = load_cv2()
    if out is None:
        out = np.empty((len(crop), shape.height, shape.width, crop.shape[-1]), np.uint8)
    for frame, place in zip(crop, out, strict=True):
        cv2.resize(frame, (shape.width, shape.height), place, interpolation=cv2.INTER_LINEAR)
    return out


def change(clip: np.ndarray, view: ClipSpec) -> None:
    """Does to a clip, in place, what a view says of its colours and its erased box.

    Args:
        clip: uint8 (T, H, W, C), C-contiguous; C is 3 (RGB), or more with flow.
        view: how it was cut.
    """
    if view.colour:
        rgb = np.ascontiguousarray(clip[..., :3])  # the clip itself where it has no flow
        _recolour(rgb.reshape(-1, clip.shape[2], 3), view.colour)
        if clip.shape[-1] > 3:
            clip[..., :3] = rgb
    if view.erased:
        top, left, height, width = view.erased
        clip[:, top : top + height, left : left + width] = GREY


def _recolour(picture: np.ndarray, colour: Colour) -> None:
    """uint8 (height, width, 3) RGB, in place: one affine map of the colours, clipped once."""
    cv2 = load_cv2()
    mean = float(_LUMA @ cv2.mean(picture)[:3])
    linear = colour.brightness * colour.contrast * (_turn(colour.hue) @ _fade(colour.saturation))
    # Contrast stretches about the clip's mean.
    offset = np.full((3, 1), colour.brightness * (1 - colour.contrast) * mean)
    cv2.transform(picture, np.hstack([linear, offset]).astype(np.float32), picture)


def _fade(saturation: float) -> np.ndarray:
    """(3, 3): between the grey (0) and the colour (1) of a pixel, or beyond."""
    return saturation * np.eye(3) + (1 - saturation) * np.tile(_LUMA, (3, 1))


def _turn(hue: float) -> np.ndarray:
    """(3, 3): turns the colour circle, from red to yellow, in YIQ, where that leaves the luma."""
    cos, sin = math.cos(2 * math.pi * hue), math.sin(2 * math.pi * hue)
    circle = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
    return np.linalg.inv(_TO_YIQ) @ circle @ _TO_YIQ
