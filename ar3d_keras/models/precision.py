"""float32 or bfloat16: the faster one of measured times, and how far probabilities differ."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

FLOAT32: Final = "float32"
BFLOAT16: Final = "bfloat16"
# The dtype policies of Keras; weights and probabilities are float32 in both.
POLICIES = {FLOAT32: "float32", BFLOAT16: "mixed_bfloat16"}
# A measurement decides for bfloat16 only by this factor, so that its noise decides nothing.
MARGIN = 1.15


def is_faster(seconds: Mapping[str, float]) -> bool:
    """Whether bfloat16 is faster than float32 by `MARGIN`.

    Args:
        seconds: of the same work, by precision.
    """
    return seconds[FLOAT32] >= MARGIN * seconds[BFLOAT16]


def changes(exact: np.ndarray, rough: np.ndarray) -> dict[str, Any]:
    """How far probabilities differ: `clips`, `largest_change`, `mean_change`, `changed_classes`.

    Args:
        exact: float (clips, classes), in float32.
        rough: the same in bfloat16.

    Returns:
        The number of clips, the largest and the mean absolute difference of a probability, and for
        how many clips another class is the likeliest.
    """
    difference = np.abs(np.asarray(exact, np.float64) - rough)
    return {
        "clips": len(exact),
        "largest_change": float(difference.max()),
        "mean_change": float(difference.mean()),
        "changed_classes": int((exact.argmax(-1) != rough.argmax(-1)).sum()),
    }
