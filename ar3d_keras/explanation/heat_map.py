"""Maps laid over frames as colour: cold parts show the video itself."""

import numpy as np

from ar3d_keras.videos.reader import load_cv2

OPAQUE = 0.75  # of the hottest colour: what is below it can still be made out
ENDS = (1, 99)  # percentiles that become 0 and 1


def blend(frames: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Lays maps over frames, the more opaque the larger their values.

    The colours are inferno (matplotlib's, van der Walt and Smith 2015): from black over purple
    and orange to yellow, evenly in what the eye sees, and in lightness alone for who sees no red
    or green.

    Args:
        frames: uint8 (..., H, W, 3), RGB.
        maps: float (..., H, W), in 0..1; what lies outside counts as the nearer end.

    Returns:
        uint8, the shape of `frames`, which are left as they are; equal to them where a map is 0.
    """
    maps = np.clip(maps, 0, 1)
    colours = _inferno()[np.rint(255 * maps).astype(np.uint8)]
    share = (OPAQUE * maps)[..., None].astype(np.float32)
    return np.rint(frames + share * (colours - frames)).astype(np.uint8)


def stretched(
    maps: np.ndarray, like: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[float, float]]:
    """Spreads values that lie close together over 0..1, for the eye.

    Args:
        maps: float, of any shape: what is to be compared is handed in together.
        like: the part of them that the ends are taken from; None: all.

    Returns:
        float32 of the same shape in 0..1, and the values that 0 and 1 stand for: the 1st and the
        99th percentile. All 0 where those are equal.
    """
    low, high = map(float, np.percentile(maps if like is None else like, ENDS))
    if low == high:
        return np.zeros(maps.shape, np.float32), (low, high)
    return np.clip((maps - low) / (high - low), 0, 1).astype(np.float32), (low, high)


def _inferno() -> np.ndarray:
    """RGB, float32 (256, 3), in 0..255."""
    cv2 = load_cv2()
    steps = np.arange(256, dtype=np.uint8)[:, None]
    return cv2.applyColorMap(steps, cv2.COLORMAP_INFERNO)[:, 0, ::-1].astype(np.float32)
