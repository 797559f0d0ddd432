"""Whether two networks that answered the same videos differ: paired tests."""

from collections.abc import Sequence
from math import comb

import numpy as np

from ar3d_keras.evaluation.metrics import bootstrap, bootstrap_method, by_group


def mcnemar(one: np.ndarray, other: np.ndarray) -> tuple[int, int, float]:
    """McNemar's test, exact: of the videos that only one had right, is either's share above half?

    It takes videos as independent; where several come of one recording they are not, and the
    interval of `difference` is the one to go by.

    Args:
        one: (videos,) bool, whether the first network was right.
        other: (videos,) bool, the second on the same videos.

    Returns:
        The videos that only the first had right, those that only the second had, and the
        two-sided binomial p (McNemar 1947, in its exact form).
    """
    one, other = np.asarray(one, bool), np.asarray(other, bool)
    first, second = int((one & ~other).sum()), int((other & ~one).sum())
    discordant = first + second
    tail = sum(comb(discordant, k) for k in range(min(first, second) + 1))
    # In whole numbers until the last step: 2^n is beyond a float for n > 1023.
    return first, second, min(1.0, 2 * tail / 2**discordant)


def difference(
    one: np.ndarray, other: np.ndarray, groups: tuple[str | None, ...]
) -> tuple[float, list[float], str]:
    """How much more often the first is right than the second, in -1..1.

    Args:
        one: (videos,) bool, whether the first network was right.
        other: (videos,) bool, the second on the same videos.
        groups: (videos,) names; a video with None is a group of its own.

    Returns:
        The difference of the top-1 shares, its 95 % interval by resampling whole groups, and a
        sentence that says how. Where they differ in no group, every resample says 0; the exact
        binomial bound on the share of groups in which they might takes its place.
    """
    values = np.asarray(one, np.int64) - np.asarray(other, np.int64)
    sizes, sums = by_group(values, groups)
    method = bootstrap_method(sizes, groups)
    if sums.any():
        return float(values.mean()), bootstrap(sizes, sums), method
    bound = 1 - 0.025 ** (1 / len(sizes))
    units = method.split(" over ")[1].split(",")[0]
    return (
        0.0,
        [-bound, bound],
        f"95 % exact binomial bound over {units}, since they differ in none.",
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values after Holm's correction (1979): of several tests at once, none too easily."""
    order = np.argsort(p_values, kind="stable")
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = highest
    return corrected
