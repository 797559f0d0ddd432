"""Scores of predicted stretches against labeled ones: event F1 and frame accuracy."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

IOUS = (0.3, 0.5, 0.7)


class Event(NamedTuple):
    """A stretch of a video with a class.

    Attributes:
        path: the video.
        label: the class name.
        start: seconds.
        end: seconds.
        score: the confidence of a prediction.
    """

    path: str
    label: str
    start: float
    end: float
    score: float = 1.0


class Counts(NamedTuple):
    """Matched predictions, predictions without a match, and labeled events without one."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float | None:
        """Matched share of the predictions; None without predictions."""
        predicted = self.true_positives + self.false_positives
        return self.true_positives / predicted if predicted else None

    @property
    def recall(self) -> float | None:
        """Matched share of the labeled events; None without events."""
        labeled = self.true_positives + self.false_negatives
        return self.true_positives / labeled if labeled else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of the two; None without predictions and events."""
        total = 2 * self.true_positives + self.false_positives + self.false_negatives
        return 2 * self.true_positives / total if total else None


def overlap(one: Event, other: Event) -> float:
    """The intersection of two stretches divided by their union, 0..1."""
    shared = min(one.end, other.end) - max(one.start, other.start)
    if shared <= 0:
        return 0.0
    return shared / (one.end - one.start + other.end - other.start - shared)


def match(predicted: Sequence[Event], labeled: Sequence[Event], iou: float) -> Counts:
    """Matches predictions with labeled events of the same video and class, one to one.

    As in the ActivityNet and THUMOS evaluations: predictions choose in the order of their scores,
    the most confident first, each the free event with the largest overlap, if that is at least
    `iou`.

    Args:
        predicted: the predicted events, in any order.
        labeled: the labeled events, in any order.
        iou: the least overlap.
    """
    free: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in labeled:
        free[event.path, event.label].append(event)
    matched = 0
    for prediction in sorted(predicted, key=lambda event: (-event.score, event)):
        choices = free[prediction.path, prediction.label]
        best = max(choices, key=lambda event: overlap(prediction, event), default=None)
        if best is not None and overlap(prediction, best) >= iou:
            choices.remove(best)
            matched += 1
    return Counts(matched, len(predicted) - matched, len(labeled) - matched)


def event_scores(predicted: Sequence[Event], labeled: Sequence[Event]) -> dict[str, dict]:
    """Precision, recall, F1 and counts at each of IOUS, ready for JSON: "0.3" -> {...}."""
    found = {}
    for iou in IOUS:
        counts = match(predicted, labeled, iou)
        found[str(iou)] = {
            "precision": counts.precision,
            "recall": counts.recall,
            "f1": counts.f1,
            **counts._asdict(),
        }
    return found


def mean_f1(scores: dict[str, dict]) -> float:
    """The mean F1 over IOUS; 0 where it is not defined."""
    return float(np.mean([each["f1"] or 0.0 for each in scores.values()]))


def right_seconds(
    predicted: Sequence[Event], labeled: Sequence[Event], covered: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """The seconds of one video in which prediction and label agree, and all its seconds.

    Every frame is shown for a time, so their ratio is the accuracy over frames. Where neither has
    an event, they agree. Where labeled events overlap, either is right.

    Args:
        predicted: of this video, without overlap.
        labeled: of this video.
        covered: start and end of the time that was predicted, without overlap.
    """
    edges = {edge for span in covered for edge in span}
    edges |= {edge for event in (*predicted, *labeled) for edge in (event.start, event.end)}
    cuts = np.array(sorted(edges))
    if len(cuts) < 2:
        return 0.0, 0.0
    middles, lengths = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)

    def within(starts: Sequence[float], ends: Sequence[float]) -> np.ndarray:
        if not len(starts):
            return np.zeros((len(middles), 0), bool)
        return (middles[:, None] >= np.array(starts)) & (middles[:, None] < np.array(ends))

    inside = within(*zip(*covered, strict=True)).any(axis=1)
    ours = within([e.start for e in predicted], [e.end for e in predicted])
    theirs = within([e.start for e in labeled], [e.end for e in labeled])
    same = np.zeros((len(predicted), len(labeled)), bool)
    for row, prediction in enumerate(predicted):
        same[row] = [prediction.label == event.label for event in labeled]
    agree = ((ours.astype(int) @ same.astype(int) > 0) & theirs).any(axis=1)
    agree |= ~ours.any(axis=1) & ~theirs.any(axis=1)
    return float(lengths[inside & agree].sum()), float(lengths[inside].sum())
