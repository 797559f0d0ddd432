"""A region of interest: the part of every frame that is used, cut out before the resize."""

import math
from collections.abc import Sequence

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos.video import ReadError

# left, top, right, bottom: in pixels of the frame, or as shares of its width and height in 0..1.
Region = tuple[float, float, float, float]
COLUMNS = "left", "top", "right", "bottom"


def check_region(region: Sequence[float]) -> None:
    """Checks that a region has an area.

    Raises:
        UserError: a number is negative or not finite, or right or bottom is not above left or top.
    """
    left, top, right, bottom = region
    if not all(0 <= side < math.inf for side in region) or right <= left or bottom <= top:
        numbers = " ".join(f"{side:g}" for side in region)
        raise UserError(
            f"the region {numbers} must be left, top, right, bottom, in pixels or as shares in "
            "0..1, with right above left and bottom above top"
        )


def parse_region(cells: Sequence[str]) -> Region | None:
    """The region of a row of a CSV; None if all cells are empty.

    Raises:
        UserError: a cell is empty or not a number, or the region has no area.
    """
    if not any(cell.strip() for cell in cells):
        return None
    try:
        left, top, right, bottom = map(float, cells)
    except ValueError:
        raise UserError(
            f"the region {','.join(cells)} must be four numbers: left, top, right, bottom"
        ) from None
    check_region((left, top, right, bottom))
    return left, top, right, bottom


def bounds(region: Region, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in pixels of a frame."""
    left, top, right, bottom = region
    if max(region) > 1:
        return round(left), round(top), round(right), round(bottom)
    return round(left * width), round(top * height), round(right * width), round(bottom * height)


def regions_overlap(one: Region | None, other: Region | None) -> bool:
    """Whether two regions of one picture share pixels; yes, if only one of them is in pixels."""
    if one is None or other is None or (max(one) > 1) != (max(other) > 1):
        return True
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def cut_region(frame: np.ndarray, region: Region | None) -> np.ndarray:
    """The part of a frame, (height, width[, channels]), as a view; None: the frame.

    Raises:
        ReadError: the frame is smaller than the region, or has no pixel in it.
    """
    if region is None:
        return frame
    height, width = frame.shape[:2]
    left, top, right, bottom = bounds(region, width, height)
    if right > width or bottom > height or left >= right or top >= bottom:
        numbers = " ".join(f"{side:g}" for side in region)
        raise ReadError(f"its frames of {width}x{height} do not contain the region {numbers}")
    return frame[top:bottom, left:right]
