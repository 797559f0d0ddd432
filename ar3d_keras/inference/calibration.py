"""Calibrated probabilities, and the rejection of predictions that are too uncertain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ar3d_keras.errors import UserError

NONE_OF_THESE = "none of these"  # the label of a rejected prediction
# Smaller probabilities count as this one, so that their logarithm is finite.
SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Calibration:
    """What was fitted on val after the training: a temperature and, if wanted, thresholds.

    Temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017) divides
    the logits by one number. The networks return probabilities, whose logarithms are logits.

    Attributes:
        temperature: above 0; 1 changes nothing, above 1 makes predictions less confident.
        thresholds: for each class the least calibrated probability with which it is accepted as the
            likeliest class; None: never. None instead of the mapping: everything is accepted.
        reject_error: the share of wrong predictions among the accepted val videos that the
            thresholds allow; None without thresholds.
    """

    temperature: float
    thresholds: Mapping[str, float | None] | None = None
    reject_error: float | None = None

    def calibrate(self, probabilities: np.ndarray) -> np.ndarray:
        """Applies the temperature; the order of the classes stays the same.

        Args:
            probabilities: (..., classes) in 0..1.

        Returns:
            float32 (..., classes); each row sums to 1.
        """
        logits = np.log(np.maximum(np.asarray(probabilities, np.float64), SMALLEST))
        logits /= self.temperature
        scaled = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return (scaled / scaled.sum(axis=-1, keepdims=True)).astype(np.float32)

    def accept(self, probabilities: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
        """Whether each prediction is accepted.

        Args:
            probabilities: (..., classes), not calibrated.
            class_names: one for each class.

        Returns:
            bool (...,).
        """
        # The likeliest class is that of the given probabilities: calibrated ones may round to ties.
        best = np.asarray(probabilities).argmax(axis=-1)
        calibrated = self.calibrate(probabilities)
        confidence = np.take_along_axis(calibrated, best[..., np.newaxis], axis=-1)[..., 0]
        return confidence >= self.limits(class_names)[best]

    def limits(self, class_names: Sequence[str]) -> np.ndarray:
        """The thresholds in the order of `class_names`, float32 (classes,); infinite for "never"."""
        if self.thresholds is None:
            return np.zeros(len(class_names), np.float32)
        found = [self.thresholds[name] for name in class_names]
        return np.array([np.inf if limit is None else limit for limit in found], np.float32)

    def as_json(self) -> dict[str, Any]:
        """The attributes as JSON values."""
        thresholds = None if self.thresholds is None else dict(self.thresholds)
        return {
            "temperature": self.temperature,
            "reject_error": self.reject_error,
            "thresholds": thresholds,
        }


def read_calibration(
    content: Calibration | Mapping[str, Any] | None, class_names: Sequence[str] | None
) -> Calibration | None:
    """The calibration that `Calibration.as_json` wrote.

    Args:
        content: its JSON, a Calibration, or None: there is none.
        class_names: those of the network; None if unknown.

    Raises:
        UserError: the content is damaged, or its thresholds are those of other classes.
    """
    if content is None:
        return None
    try:
        read = content if isinstance(content, Calibration) else Calibration(**content)
        thresholds = read.thresholds
        if not 0 < float(read.temperature) < np.inf:
            raise ValueError(f"temperature {read.temperature}")
        if thresholds is not None:
            if class_names is None or set(thresholds) != set(class_names):
                raise ValueError("its thresholds are those of other classes")
            if not all(limit is None or 0 <= limit <= 1 for limit in thresholds.values()):
                raise ValueError("a threshold is outside 0..1")
        return read
    except (TypeError, ValueError) as error:
        raise UserError(
            f"`calibration` does not describe a calibration ({error}): fit it again with "
            "`ar3d calibrate`"
        ) from None
