"""Calibration: how far probabilities are from accuracy, and what is fitted on val to mend it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ar3d_keras.config import Range
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.metrics import EPSILON, Evaluation, scores, top1_interval
from ar3d_keras.inference.calibration import Calibration

BINS = 15
LOWEST, HIGHEST = 0.1, 10.0  # temperatures that are tried
# A threshold lies this far below the least accepted confidence, so that rounding rejects no video.
MARGIN = 1e-6


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predictions in bins of equal width by their confidence, the probability of the likeliest class.

    Bin m of M holds the confidences in ((m - 1) / M, m / M].

    Attributes:
        counts: (bins,) int64.
        confidence: (bins,) float64, the mean in each bin; NaN where it is empty.
        accuracy: (bins,) float64, the share of correct predictions in each bin; NaN where it is empty.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error, 0..1.

        The mean over all predictions of |accuracy - confidence| of their bins (Guo et al., "On
        Calibration of Modern Neural Networks", ICML 2017, equation 3).
        """
        filled = self.counts > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float(np.average(gaps, weights=self.counts[filled]))


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Reliability:
    """Sorts predictions into bins.

    Args:
        confidence: (videos,) in 0..1, at least one.
        correct: (videos,) bool.
        bins: how many.
    """
    confidence = np.asarray(confidence, np.float64)
    places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Reliability(
            counts,
            np.bincount(places, weights=confidence, minlength=bins) / counts,
            np.bincount(places, weights=correct, minlength=bins) / counts,
        )


def confidence_of(evaluation: Evaluation, calibration: Calibration | None = None) -> np.ndarray:
    """(videos,) float32: the probability of the likeliest class, calibrated or not."""
    probabilities = evaluation.probabilities
    if calibration is not None:
        probabilities = calibration.calibrate(probabilities)
    return np.take_along_axis(probabilities, evaluation.predicted[:, None], axis=1)[:, 0]


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean over the videos of -log of the true class's probability, in nats."""
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(of_truth, EPSILON, 1 - EPSILON)).mean())


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, str | None]:
    """Finds the temperature with the lowest negative log likelihood.

    Args:
        probabilities: (videos, classes).
        labels: (videos,) indices of the true classes.

    Returns:
        The temperature, in 0.1..10, and a sentence where the videos do not determine it.
    """
    from scipy.optimize import minimize_scalar

    if (np.argmax(probabilities, axis=1) == labels).all():
        return 1.0, "All val videos are right, so no temperature is best: it stays 1."

    def loss(log_temperature: float) -> float:
        scaled = Calibration(math.exp(log_temperature)).calibrate(probabilities)
        return negative_log_likelihood(scaled, labels)

    bounds = math.log(LOWEST), math.log(HIGHEST)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-5})
    temperature = float(math.exp(found.x))
    if min(abs(found.x - bound) for bound in bounds) < 1e-3:
        return temperature, f"The best temperature is outside {LOWEST:g}..{HIGHEST:g}."
    return temperature, None


def least_videos(reject_error: float) -> int:
    """Accepted val videos that a threshold needs: with fewer, one error would be too many."""
    return math.ceil(1 / reject_error - 1e-9)


def check_reject_error(reject_error: float | None, val_videos: int) -> None:
    """Checks before hours of work that thresholds can be fitted.

    Raises:
        UserError: the error is not between 0 and 1, or val has too few videos for it.
    """
    if reject_error is None:
        return
    Range(0, 1, exclude=(0, 1)).check("reject_error", reject_error)
    needed = least_videos(reject_error)
    if val_videos < needed:
        raise UserError(
            f"`reject_error` {reject_error:g} needs at least {needed} val videos, and there are "
            f"{val_videos}: choose a larger error or a larger val split"
        )


def fit_threshold(confidence: np.ndarray, correct: np.ndarray, reject_error: float) -> float | None:
    """The lowest threshold above which at most `reject_error` of the predictions are wrong.

    Args:
        confidence: (videos,) float32.
        correct: (videos,) bool.
        reject_error: between 0 and 1.

    Returns:
        The threshold; None if none accepts at least `least_videos` videos with so few errors.
    """
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence = np.asarray(confidence, np.float64)[order]
    accepted = np.arange(1, len(order) + 1)
    wrong = np.cumsum(~np.asarray(correct, bool)[order])
    following = np.append(sorted_confidence[1:], -np.inf)
    possible = np.flatnonzero(
        (sorted_confidence > following)  # equal confidences are accepted together
        & (accepted >= least_videos(reject_error))
        & (wrong / accepted <= reject_error)
    )
    if not len(possible):
        return None
    place = possible[-1]
    lowest = sorted_confidence[place]
    return float(max(0.0, lowest - min(MARGIN, (lowest - following[place]) / 2)))


def fit_thresholds(
    confidence: np.ndarray,
    predicted: np.ndarray,
    correct: np.ndarray,
    class_names: Sequence[str],
    reject_error: float,
) -> tuple[dict[str, float | None], list[str]]:
    """Fits a threshold for each predicted class.

    A class has a threshold of its own if enough val videos were predicted as it (`least_videos`);
    if all of these have too many errors, it is always rejected. The classes with fewer videos share
    a threshold that is fitted on all their videos. A class that no val video was predicted as is
    always rejected. So the accepted val videos as a whole have at most `reject_error` errors too.

    Args:
        confidence: (videos,) float32, the calibrated probabilities of the likeliest class.
        predicted: (videos,) the likeliest class.
        correct: (videos,) bool.
        class_names: one for each class.
        reject_error: between 0 and 1.

    Returns:
        Class name to threshold, None: always rejected; and sentences on what val could not support.
    """
    thresholds: dict[str, float | None] = dict.fromkeys(class_names)
    needed, notes = least_videos(reject_error), []
    counts = np.bincount(predicted, minlength=len(class_names))
    for number in np.flatnonzero(counts >= needed).tolist():
        of_class, name = predicted == number, class_names[number]
        thresholds[name] = fit_threshold(confidence[of_class], correct[of_class], reject_error)
        if thresholds[name] is None:
            notes.append(f"{name} has too many errors on val, so it is always rejected.")
    shared = np.flatnonzero((counts > 0) & (counts < needed)).tolist()
    if shared:
        pooled = np.isin(predicted, shared)
        limit = fit_threshold(confidence[pooled], correct[pooled], reject_error)
        for number in shared:
            thresholds[class_names[number]] = limit
        names = ", ".join(class_names[number] for number in shared)
        notes.append(
            f"Fewer than {needed} val videos were predicted as each of these classes: {names}; "
            + (f"they share {limit:.3f}." if limit is not None else "they are always rejected.")
        )
    if unseen := [name for name, count in zip(class_names, counts, strict=True) if not count]:
        notes.append(
            f"No val video was predicted as {', '.join(unseen)}: these are always rejected."
        )
    return thresholds, notes


def fit_calibration(
    evaluation: Evaluation, reject_error: float | None = None
) -> tuple[Calibration, list[str]]:
    """Fits a calibration on the predictions for val.

    Args:
        evaluation: of val.
        reject_error: also fit thresholds for this error; None: accept everything.

    Returns:
        The calibration, and sentences on what val could not support.

    Raises:
        UserError: there is no video, or a probability is NaN or infinite.
    """
    scores(evaluation)  # raises
    temperature, note = fit_temperature(evaluation.probabilities, evaluation.labels)
    notes = [note] if note else []
    calibration = Calibration(temperature)
    if reject_error is not None:
        thresholds, unsupported = fit_thresholds(
            confidence_of(evaluation, calibration),
            evaluation.predicted,
            evaluation.correct,
            evaluation.class_names,
            reject_error,
        )
        calibration = Calibration(temperature, thresholds, reject_error)
        notes += unsupported
    return calibration, notes


def calibration_metrics(evaluation: Evaluation, calibration: Calibration | None) -> dict[str, Any]:
    """Calibration and rejection of an evaluation, ready for JSON.

    Keys: expected_calibration_error; with a calibration also calibrated (temperature, loss,
    expected_calibration_error), and with thresholds rejection (reject_error, accepted_videos,
    accepted and accepted_interval: the accepted share, error and error_interval: the share of wrong
    ones among the accepted, interval_method). An interval is [low, high] or None.
    """
    correct = evaluation.correct
    computed: dict[str, Any] = {
        "expected_calibration_error": reliability(confidence_of(evaluation), correct).error
    }
    if calibration is None:
        return computed
    calibrated = calibration.calibrate(evaluation.probabilities)
    confidence = confidence_of(evaluation, calibration)
    computed["calibrated"] = {
        "temperature": calibration.temperature,
        "loss": negative_log_likelihood(calibrated, evaluation.labels),
        "expected_calibration_error": reliability(confidence, correct).error,
    }
    if calibration.thresholds is not None:
        computed["rejection"] = _rejection(evaluation, calibration)
    return computed


def _rejection(evaluation: Evaluation, calibration: Calibration) -> dict[str, Any]:
    accepted = calibration.accept(evaluation.probabilities, evaluation.class_names)
    rejection: dict[str, Any] = {
        "reject_error": calibration.reject_error,
        "accepted_videos": int(accepted.sum()),
        "accepted": float(accepted.mean()),
        "accepted_interval": top1_interval(accepted, evaluation.groups)[0],
    }
    if not accepted.any():
        return rejection | {
            "error": None, "error_interval": None, "interval_method": "No video is accepted."
        }  # fmt: skip
    groups = tuple(g for g, kept in zip(evaluation.groups, accepted, strict=True) if kept)
    right = evaluation.correct[accepted]
    interval, method = top1_interval(right, groups)
    return rejection | {
        "error": float(1 - right.mean()),
        "error_interval": interval and [1 - interval[1], 1 - interval[0]],
        "interval_method": method,
    }
