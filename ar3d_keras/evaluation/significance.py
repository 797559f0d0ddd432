"""Paired tests: whether two networks differ on the same videos."""

from collections.abc import Sequence

import numpy as np

from ar3d_keras.evaluation.metrics import (
    bootstrap,
    bootstrap_method,
    by_group,
    count_units,
    exact_bound,
)


def mcnemar(one: np.ndarray, other: np.ndarray) -> tuple[int, int, float]:
    """McNemar's exact test: of the videos that only one network has right, is each half its own?

    The test treats videos as independent. Videos of one recording are not, and then the interval
    of `difference` is the better guide.

    Args:
        one: (videos,) bool, whether the first network was right.
        other: (videos,) bool, the second network on the same videos.

    Returns:
        The number of videos that only the first had right, the number that only the second had
        right, and the two-sided binomial p-value (McNemar 1947, in its exact form).
    """
    from scipy.stats import binomtest

    one, other = np.asarray(one, bool), np.asarray(other, bool)
    first, second = int((one & ~other).sum()), int((other & ~one).sum())
    p = float(binomtest(first, first + second).pvalue) if first + second else 1.0
    return first, second, p


def difference(
    one: np.ndarray, other: np.ndarray, groups: tuple[str | None, ...]
) -> tuple[float, list[float] | None, str]:
    """The difference of two networks' top-1 on the same videos, in -1..1.

    Args:
        one: (videos,) bool, whether the first network was right.
        other: (videos,) bool, the second network on the same videos.
        groups: (videos,) names; a video with None is a group of its own.

    Returns:
        top-1 of the first minus that of the second, its 95 % interval by resampling whole groups
        (None where it cannot be estimated), and a sentence that names the method. Where the
        networks differ in no group, every resample gives 0; the exact binomial bound on the
        fraction of groups in which they might differ takes its place.
    """
    values = np.asarray(one, np.int64) - np.asarray(other, np.int64)
    sizes, sums = by_group(values, groups)
    if sums.any() or len(sizes) == 1:
        method = bootstrap_method(sizes, sums, groups)
        return float(values.mean()), bootstrap(sizes, sums), method
    bound = 1 - exact_bound(len(sizes))
    units = count_units(sizes, groups)
    method = f"95 % exact binomial bound over {units}, since they differ in none."
    return 0.0, [-bound, bound], method


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns the p-values after Holm's correction (1979) for several tests at once."""
    order = np.argsort(p_values, kind="stable")
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = highest
    return corrected
