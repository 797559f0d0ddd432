"""What the numbers are: top-k, class accuracy, loss, their interval, who is taken for whom."""

from dataclasses import dataclass

import numpy as np

from ar3d_keras.errors import UserError

# Keras clips here before the logarithm (keras.backend.epsilon()), so the two losses agree.
EPSILON = 1e-7
RESAMPLES = 2000
INTERVAL_SEED = 0
# Below this many units a percentile interval is known to be too narrow; the report says so.
FEW_UNITS = 20
# Resamples are drawn in blocks of about this many indices: 32 MB, whatever the data's size.
BLOCK = 4_000_000


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a network said of the videos of one split.

    Attributes:
        class_names: The class names, in the order of the network's outputs.
        paths: (videos,) paths relative to the dataset's folder.
        labels: (videos,) int64, indices into `class_names`.
        probabilities: (videos, classes) float32, each row sums to 1.
        groups: (videos,) the source recording of each video; None where unknown.
        skipped: (path, reason) of the videos that could not be decoded, in no figure.

    Raises:
        ValueError: the lengths differ or a label is not a class.
    """

    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    groups: tuple[str | None, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __post_init__(self):
        videos, num_classes = len(self.paths), len(self.class_names)
        for name, shape, expected in (
            ("labels", np.shape(self.labels), (videos,)),
            ("probabilities", np.shape(self.probabilities), (videos, num_classes)),
            ("groups", (len(self.groups),), (videos,)),
        ):
            if shape != expected:
                raise ValueError(f"{name} has shape {shape}, expected {expected}.")
        labels = np.asarray(self.labels)
        if videos and not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"labels must be whole numbers, not {labels.dtype}.")
        if videos and not 0 <= labels.min() <= labels.max() < num_classes:
            raise ValueError(
                f"labels run from {labels.min()} to {labels.max()}, outside the {num_classes} classes."
            )
        object.__setattr__(self, "labels", labels.astype(np.int64))
        object.__setattr__(self, "probabilities", np.asarray(self.probabilities, np.float32))

    @property
    def predicted(self) -> np.ndarray:
        """(videos,) int64: the most likely class of each video."""
        return top_k(self.probabilities, 1)[:, 0]

    @property
    def correct(self) -> np.ndarray:
        """(videos,) bool: whether the most likely class is the true one."""
        return self.predicted == self.labels


def top_k(probabilities: np.ndarray, k: int) -> np.ndarray:
    """Returns (videos, k) int64: the k most likely classes, most likely first.

    Equal probabilities keep the order of the classes, so that a network that says nothing
    is not scored by the whims of a sorting algorithm.
    """
    return np.argsort(-np.asarray(probabilities), axis=1, kind="stable")[:, :k]


def metrics(evaluation: Evaluation) -> dict:
    """Returns `scores` and how far to trust them, ready for JSON.

    Besides the keys of `scores`: top1_interval [low, high], interval_method (a sentence)
    and, when videos were skipped, top1_counting_skipped_as_wrong.

    Raises:
        UserError: there is no video to judge, or the network's answers are not numbers.
    """
    figures = scores(evaluation)
    interval, method = top1_interval(evaluation.correct, evaluation.groups)
    figures |= {"top1_interval": interval, "interval_method": method}
    if figures["skipped"]:
        videos = figures["videos"] + figures["skipped"]
        figures["top1_counting_skipped_as_wrong"] = float(evaluation.correct.sum() / videos)
    return figures


def scores(evaluation: Evaluation) -> dict:
    """Returns the headline figures: accuracies in 0..1, the loss in nats. Cheap.

    Keys: top1, top5, top5_k (fewer than five classes make it less than 5),
    mean_class_accuracy (over the classes that have videos), loss, videos and skipped.

    Raises:
        UserError: there is no video to judge, or the network's answers are not numbers.
    """
    videos = len(evaluation.paths)
    _check_not_empty(evaluation)
    _check_finite(evaluation)
    k = min(5, len(evaluation.class_names))
    ranked = top_k(evaluation.probabilities, k) == evaluation.labels[:, None]
    correct = ranked[:, 0]
    counts = np.bincount(evaluation.labels)
    recalls = np.bincount(evaluation.labels, weights=correct)[counts > 0] / counts[counts > 0]
    of_truth = evaluation.probabilities[np.arange(videos), evaluation.labels].astype(np.float64)
    return {
        "top1": float(correct.mean()),
        "top5": float(ranked.any(axis=1).mean()),
        "top5_k": k,
        "mean_class_accuracy": float(recalls.mean()),
        "loss": float(-np.log(np.clip(of_truth, EPSILON, 1 - EPSILON)).mean()),
        "videos": videos,
        "skipped": len(evaluation.skipped),
    }


def top1_interval(correct: np.ndarray, groups: tuple[str | None, ...]) -> tuple[list[float], str]:
    """The 95 % percentile bootstrap interval of top-1, and a sentence that says how.

    Where all are right, or all wrong, every resample is too, and the bootstrap would claim a
    certainty that nobody has; the exact binomial bound (Clopper and Pearson, 1934) takes its
    place, over as many trials as there are groups.

    Videos of one recording are right or wrong together, so whole groups are drawn where
    groups are known; drawing videos one by one would promise too narrow an interval.

    Args:
        correct: (videos,) bool, at least one.
        groups: (videos,) names; a video with None is a group of its own.
    """
    sizes, rights = by_group(np.asarray(correct, np.int64), groups)
    if correct.all() or not correct.any():
        bound = 0.025 ** (1 / len(sizes))
        interval = [bound, 1.0] if correct.all() else [0.0, 1 - bound]
        alike = "right" if correct.all() else "wrong"
        units = _units(sizes, groups)
        return interval, f"95 % exact binomial bound over {units}, since all are {alike}."
    return bootstrap(sizes, rights), bootstrap_method(sizes, groups)


def by_group(values: np.ndarray, groups: tuple[str | None, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the size of each group and the sum of its values, both int64 (groups,).

    Sorted, so that what is drawn from them does not depend on the order of the videos.

    Args:
        values: (videos,) int64.
        groups: (videos,) names; a video with None is a group of its own.
    """
    keys = [("", i) if group is None else (group, -1) for i, group in enumerate(groups)]
    ids = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    unit = np.array([ids[key] for key in keys])
    sizes = np.bincount(unit)
    sums = np.bincount(unit, weights=values).astype(np.int64)
    order = np.lexsort((sums, sizes))
    return sizes[order], sums[order]


def bootstrap(sizes: np.ndarray, sums: np.ndarray) -> list[float]:
    """The 95 % percentile interval of sum / size when whole groups are drawn; see `by_group`."""
    random = np.random.default_rng(INTERVAL_SEED)
    shares, rows = [], max(1, BLOCK // len(sizes))
    for start in range(0, RESAMPLES, rows):
        drawn = random.integers(len(sizes), size=(min(rows, RESAMPLES - start), len(sizes)))
        shares.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    low, high = np.percentile(np.concatenate(shares), [2.5, 97.5])
    return [float(low), float(high)]


def bootstrap_method(sizes: np.ndarray, groups: tuple[str | None, ...]) -> str:
    """The sentence that says what `bootstrap` did."""
    units = _units(sizes, groups)
    method = f"95 % percentile bootstrap over {units}, {RESAMPLES} resamples."
    if len(sizes) < FEW_UNITS:
        method = method[:-1] + "; with so few it is a rough guide only."
    return method


def _units(sizes: np.ndarray, groups: tuple[str | None, ...]) -> str:
    grouped = any(group is not None for group in groups)
    return f"{len(sizes):,} " + ("groups (source recordings)" if grouped else "videos")


def confusion_matrix(evaluation: Evaluation) -> np.ndarray:
    """Returns (classes, classes) int64 counts: rows are true classes, columns predicted ones."""
    from sklearn.metrics import confusion_matrix as count

    videos, num_classes = len(evaluation.paths), len(evaluation.class_names)
    if not videos or num_classes == 1:  # scikit-learn refuses the one and warns of the other
        return np.full((num_classes, num_classes), videos, np.int64)
    return count(evaluation.labels, evaluation.predicted, labels=np.arange(num_classes))


def per_class(evaluation: Evaluation) -> list[dict]:
    """Returns one dict a class, in class order: class, videos, precision, recall, f1 (0..1).

    A share without a denominator (a class that is never predicted, or has no video) is 0.
    """
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(
        evaluation.labels,
        evaluation.predicted,
        labels=np.arange(len(evaluation.class_names)),
        zero_division=0,
    )
    return [
        {
            "class": name,
            "videos": int(videos),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
        }
        for name, precision, recall, f1, videos in zip(
            evaluation.class_names, *columns, strict=True
        )
    ]


def most_confused(evaluation: Evaluation, limit: int = 10) -> list[tuple[str, str, int, float]]:
    """Returns (true class, predicted class, count, share of the true class's videos).

    Most frequent first, then the larger share, then class order; at most `limit` of them.
    """
    matrix = confusion_matrix(evaluation)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    true, predicted = np.nonzero(matrix * (1 - np.eye(len(matrix), dtype=np.int64)))
    order = np.lexsort((predicted, true, -shares[true, predicted], -matrix[true, predicted]))
    return [
        (
            evaluation.class_names[t],
            evaluation.class_names[p],
            int(matrix[t, p]),
            float(shares[t, p]),
        )
        for t, p in zip(true[order[:limit]], predicted[order[:limit]], strict=True)
    ]


def _check_not_empty(evaluation: Evaluation) -> None:
    """Raises UserError when there is no video: no figure has a meaning then."""
    if evaluation.paths:
        return
    if not evaluation.skipped:
        raise UserError(
            "There is no video to judge in this split; choose another with --split, or check "
            "how the run was split in its split.csv."
        )
    path, reason = evaluation.skipped[0]
    raise UserError(
        f"None of the {len(evaluation.skipped)} videos of this split could be decoded (first: "
        f"{path!r}: {reason}); check that the dataset's folder is complete."
    )


def _check_finite(evaluation: Evaluation) -> None:
    """Raises UserError when an answer is NaN or infinite: every figure would be nonsense."""
    broken = np.flatnonzero(~np.isfinite(evaluation.probabilities).all(axis=1))
    if len(broken):
        raise UserError(
            f"The network's answer is not a number for {len(broken)} of {len(evaluation.paths)} "
            f"videos (first: {evaluation.paths[broken[0]]!r}); its training diverged, so train "
            "again with a lower learning rate or in float32."
        )
