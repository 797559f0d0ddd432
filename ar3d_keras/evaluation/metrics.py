"""Metrics of an evaluation: top-k and class accuracy, loss, interval of top-1, confusion matrix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ar3d_keras.errors import UserError

# Keras clips here before the logarithm (keras.backend.epsilon()), so the two losses agree.
EPSILON = 1e-7
RESAMPLES = 2000
INTERVAL_SEED = 0
# Below this many units a percentile interval is known to be too narrow; the report says so.
FEW_UNITS = 20
# Resamples are drawn in blocks of about this many indices: 32 MB, whatever the size of the data.
BLOCK = 4_000_000
# Rows of probabilities are sorted in blocks of about this many values, for the same reason.
SORTED_BLOCK = 1_000_000


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The predictions of a network for the videos of one split, beside the true classes.

    Attributes:
        class_names: The class names, in the order of the network's outputs.
        paths: (videos,) paths relative to the dataset's folder, of segments with their stretch
            (see `Video.key`).
        labels: (videos,) int64, indices into `class_names`.
        probabilities: (videos, classes) float32, each row sums to 1.
        groups: (videos,) the source recording of each video; None where unknown.
        skipped: (path, reason) of the videos that could not be decoded; no metric counts them.

    Raises:
        ValueError: The lengths differ or a label is not a class.
    """

    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    groups: tuple[str | None, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
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

    @cached_property
    def predicted(self) -> np.ndarray:
        """(videos,) int64: the most likely class of each video."""
        return top_k(self.probabilities, 1)[:, 0]

    @property
    def correct(self) -> np.ndarray:
        """(videos,) bool: whether the most likely class is the true one."""
        return self.predicted == self.labels


def top_k(probabilities: np.ndarray, k: int) -> np.ndarray:
    """Returns (videos, k) int64: the k most likely classes, most likely first.

    Equal probabilities keep the order of the classes, so that the result does not depend on the
    sorting algorithm.

    Args:
        probabilities: (videos, classes).
        k: classes to return; at most all of them.
    """
    probabilities = np.asarray(probabilities)
    videos, classes = probabilities.shape
    best = np.empty((videos, min(k, classes)), np.int64)
    rows = max(1, SORTED_BLOCK // max(1, classes))
    for start in range(0, videos, rows):
        block = probabilities[start : start + rows]
        best[start : start + rows] = np.argsort(-block, axis=1, kind="stable")[:, :k]
    return best


def metrics(evaluation: Evaluation) -> dict:
    """Returns `scores` with the interval of top-1, ready for JSON.

    Besides the keys of `scores`: top1_interval ([low, high], or None where it cannot be
    estimated), interval_method (a sentence) and, where videos were skipped,
    top1_counting_skipped_as_wrong.

    Raises:
        UserError: There is no video, or a probability is NaN or infinite.
    """
    computed = scores(evaluation)
    interval, method = top1_interval(evaluation.correct, evaluation.groups)
    computed |= {"top1_interval": interval, "interval_method": method}
    if computed["skipped"]:
        videos = computed["videos"] + computed["skipped"]
        computed["top1_counting_skipped_as_wrong"] = float(evaluation.correct.sum() / videos)
    return computed


def scores(evaluation: Evaluation) -> dict:
    """Returns the main metrics: accuracies in 0..1, the loss in nats. It takes milliseconds.

    Keys: top1, top5, top5_k (5, or the number of classes where there are fewer), num_classes,
    mean_class_accuracy (over the classes that have videos), loss, videos and skipped.

    Raises:
        UserError: There is no video, or a probability is NaN or infinite.
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
        "num_classes": len(evaluation.class_names),
        "mean_class_accuracy": float(recalls.mean()),
        "loss": float(-np.log(np.clip(of_truth, EPSILON, 1 - EPSILON)).mean()),
        "videos": videos,
        "skipped": len(evaluation.skipped),
    }


def has_informative_top5(metrics: Mapping) -> bool:
    """Whether top-k can be below 1: the top two of two classes always hold the true one.

    Args:
        metrics: anything with the keys top5_k and num_classes of `scores`.
    """
    return metrics["top5_k"] < metrics["num_classes"]


def format_interval(
    interval: Sequence[float] | None, *, percent: bool = False, signed: bool = False
) -> str:
    """Writes an interval for people: "[0.412, 0.530]", or as percent "41.2 to 53.0".

    Args:
        interval: low and high as fractions; None: it cannot be estimated.
        percent: write percentages with one decimal, without the sign %.
        signed: write the signs of both ends, for differences.
    """
    if interval is None:
        return "no interval" if percent else "[no interval]"
    sign = "+" if signed else ""
    if percent:
        low, high = (f"{100 * end:{sign}.1f}".replace("-", "\N{MINUS SIGN}") for end in interval)
        return f"{low} to {high}"
    low, high = (f"{end:{sign}.3f}" for end in interval)
    return f"[{low}, {high}]"


def top1_interval(
    correct: np.ndarray, groups: tuple[str | None, ...]
) -> tuple[list[float] | None, str]:
    """Estimates the 95 % interval of top-1 by a percentile bootstrap.

    Whole groups are resampled where groups are known: videos of one recording are right or wrong
    together, and resampling single videos would give too narrow an interval.

    Where all videos are right, or all wrong, every resample is the same and the bootstrap interval
    has no width. The exact binomial bound (Clopper and Pearson, 1934) takes its place, with one
    trial per group.

    Args:
        correct: (videos,) bool, at least one.
        groups: (videos,) names; a video with None is a group of its own.

    Returns:
        [low, high], and a sentence that names the method. None where there is only one group, or
        where the groups have one accuracy strictly between 0 and 1, so that all resamples agree.
    """
    sizes, rights = by_group(np.asarray(correct, np.int64), groups)
    if (correct.all() or not correct.any()) and len(sizes) > 1:
        bound = exact_bound(len(sizes))
        interval = [bound, 1.0] if correct.all() else [0.0, 1 - bound]
        alike = "right" if correct.all() else "wrong"
        units = count_units(sizes, groups)
        return interval, f"95 % exact binomial bound over {units}, since all are {alike}."
    return bootstrap(sizes, rights), bootstrap_method(sizes, rights, groups)


def recall_interval(correct: np.ndarray, groups: tuple[str | None, ...]) -> list[float] | None:
    """Estimates the 95 % interval of the recall of one class.

    Where groups are known, as `top1_interval`: whole groups are resampled. Where no video has a
    group, Wilson's score interval (Wilson, JASA 1927), which holds for small counts.

    Args:
        correct: (videos of the class,) bool.
        groups: (videos of the class,) names; a video with None is a group of its own.

    Returns:
        [low, high]; None where it cannot be estimated: no video, one group, or groups of one
        accuracy.
    """
    if not len(correct):
        return None
    if any(group is not None for group in groups):
        return top1_interval(correct, groups)[0]
    from scipy import stats

    found = stats.binomtest(int(correct.sum()), len(correct)).proportion_ci(0.95, "wilson")
    return [float(found.low), float(found.high)]


def exact_bound(trials: int) -> float:
    """The lower 95 % bound of Clopper and Pearson on a rate when all `trials` succeed.

    The same as `scipy.stats.binomtest(trials, trials).proportion_ci().low`, which finds the root
    of this equation numerically and differs in the last digit.
    """
    return 0.025 ** (1 / trials)


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


def bootstrap(sizes: np.ndarray, sums: np.ndarray) -> list[float] | None:
    """The 95 % percentile interval of sum / size when whole groups are resampled; see `by_group`.

    Returns:
        [low, high]; None where all resamples agree, so that the interval has no width.
    """
    if not _varies(sizes, sums):
        return None
    from scipy import stats

    def ratio(drawn: np.ndarray, axis: int) -> np.ndarray:
        return sums[drawn].sum(axis=axis) / sizes[drawn].sum(axis=axis)

    resampled = stats.bootstrap(
        (np.arange(len(sizes)),),
        ratio,
        n_resamples=RESAMPLES,
        batch=max(1, BLOCK // len(sizes)),
        method="percentile",
        rng=np.random.default_rng(INTERVAL_SEED),
    )
    # Not its confidence_interval: (1 - 0.95) / 2 is not quite 0.025, which changes the last digit.
    low, high = np.percentile(resampled.bootstrap_distribution, [2.5, 97.5])
    return [float(low), float(high)]


def bootstrap_method(sizes: np.ndarray, sums: np.ndarray, groups: tuple[str | None, ...]) -> str:
    """The sentence that describes what `bootstrap` returned."""
    units = count_units(sizes, groups)
    if len(sizes) == 1:
        return f"The 95 % interval cannot be estimated from {units}."
    if not _varies(sizes, sums):
        return f"The 95 % interval cannot be estimated: {units} have the same accuracy."
    method = f"95 % percentile bootstrap over {units}, {RESAMPLES} resamples."
    if len(sizes) < FEW_UNITS:
        method = method[:-1] + "; with so few it is a rough guide only."
    return method


def _varies(sizes: np.ndarray, sums: np.ndarray) -> bool:
    """Whether sum / size differs between groups."""
    return bool((sums * sizes[0] != sums[0] * sizes).any())


def count_units(sizes: np.ndarray, groups: tuple[str | None, ...]) -> str:
    """What is resampled: "6 groups (source recordings)" or "40 videos"."""
    count = len(sizes)
    if any(group is not None for group in groups):
        return (
            f"{count:,} groups (source recordings)" if count > 1 else "one group (source recording)"
        )
    return f"{count:,} videos" if count > 1 else "one video"


def confusion_matrix(evaluation: Evaluation) -> np.ndarray:
    """Returns (classes, classes) int64 counts: rows are true classes, columns predicted ones."""
    from sklearn.metrics import confusion_matrix as count

    videos, num_classes = len(evaluation.paths), len(evaluation.class_names)
    if not videos or num_classes == 1:  # scikit-learn raises for the first, warns of the second
        return np.full((num_classes, num_classes), videos, np.int64)
    return count(evaluation.labels, evaluation.predicted, labels=np.arange(num_classes))


def per_class(evaluation: Evaluation) -> list[dict]:
    """Returns one dict per class, in class order.

    Keys: class, videos, precision, recall, f1 (0..1), recall_low and recall_high (the 95 % interval
    of recall, see `recall_interval`, or None).

    A ratio without a denominator (a class that is never predicted, or has no video) is 0.
    """
    correct, groups = evaluation.correct, np.array(evaluation.groups, dtype=object)

    def interval(label: int) -> tuple[float | None, float | None]:
        members = evaluation.labels == label
        low_high = recall_interval(correct[members], tuple(groups[members]))
        return (low_high[0], low_high[1]) if low_high else (None, None)

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
            **dict(zip(("recall_low", "recall_high"), interval(label), strict=True)),
        }
        for label, (name, precision, recall, f1, videos) in enumerate(
            zip(evaluation.class_names, *columns, strict=True)
        )
    ]


def most_confused(evaluation: Evaluation, limit: int = 10) -> list[tuple[str, str, int, float]]:
    """Returns (true class, predicted class, count, fraction of the true class's videos).

    Most frequent first, then the larger fraction, then class order; at most `limit` of them.
    """
    matrix = confusion_matrix(evaluation)
    true, predicted = np.nonzero(matrix)
    wrong = true != predicted
    true, predicted = true[wrong], predicted[wrong]
    counts = matrix[true, predicted]
    shares = counts / matrix.sum(axis=1)[true]
    order = np.lexsort((predicted, true, -shares, -counts))[:limit]
    names = evaluation.class_names
    return [(names[true[n]], names[predicted[n]], int(counts[n]), float(shares[n])) for n in order]


def _check_not_empty(evaluation: Evaluation) -> None:
    """Raises UserError when there is no video: no metric is defined then."""
    if evaluation.paths:
        return
    if not evaluation.skipped:
        raise UserError(
            "there is no video in this split: choose another `split`, or check the split in the "
            "run's split.csv"
        )
    path, reason = evaluation.skipped[0]
    raise UserError(
        f"none of the {len(evaluation.skipped)} videos of this split could be decoded (first: "
        f"{path!r}: {reason}): check that the dataset's folder is complete"
    )


def _check_finite(evaluation: Evaluation) -> None:
    """Raises UserError when a probability is NaN or infinite: no metric is defined then."""
    broken = np.flatnonzero(~np.isfinite(evaluation.probabilities).all(axis=1))
    if len(broken):
        raise UserError(
            f"the network's output is NaN or infinite for {len(broken)} of "
            f"{len(evaluation.paths)} videos (first: {evaluation.paths[broken[0]]!r}): its "
            "training diverged, so train again with a lower `learning_rate` or in float32"
        )
