"""Draws maps over frames as colors; where a map is 0 the frame stays as it is."""

import numpy as np

from ar3d_keras.videos.reader import load_cv2

OPAQUE = 0.75  # opacity of the hottest color; the frame below stays visible
ENDS = (1, 99)  # percentiles that become 0 and 1


def blend(frames: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Blends maps into frames; larger values are more opaque.

    The color map is inferno (matplotlib; van der Walt and Smith 2015), from black over purple and
    orange to yellow. It is perceptually uniform, and its lightness alone shows the order of values
    to color-blind people.

    Args:
        frames: uint8 (..., H, W, 3), RGB.
        maps: float (..., H, W), clipped to 0..1.

    Returns:
        uint8, a new array of the shape of `frames`; equal to `frames` where a map is 0.
    """
    maps = np.clip(maps, 0, 1)
    colors = _inferno()[np.rint(255 * maps).astype(np.uint8)]
    share = (OPAQUE * maps)[..., None].astype(np.float32)
    return np.rint(frames + share * (colors - frames)).astype(np.uint8)


def stretched(
    maps: np.ndarray, like: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[float, float]]:
    """Spreads values that lie close together over 0..1, to make them visible.

    Args:
        maps: float, of any shape. Maps that will be compared must be stretched in one call.
        like: the values whose percentiles become 0 and 1; None: `maps`.

    Returns:
        float32 of the same shape in 0..1, and the values that 0 and 1 stand for: the 1st and the
        99th percentile. All 0 if both are equal.
    """
    low, high = map(float, np.percentile(maps if like is None else like, ENDS))
    if low == high:
        return np.zeros(maps.shape, np.float32), (low, high)
    return np.clip((maps - low) / (high - low), 0, 1).astype(np.float32), (low, high)


def _inferno() -> np.ndarray:
    """Returns the inferno color map: RGB, float32 (256, 3), in 0..255."""
    cv2 = load_cv2()
    steps = np.arange(256, dtype=np.uint8)[:, None]
    return cv2.applyColorMap(steps, cv2.COLORMAP_INFERNO)[:, 0, ::-1].astype(np.float32)
