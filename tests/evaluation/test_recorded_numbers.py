"""The intervals and tests equal those of the hand-written code that scipy replaced.

The numbers were recorded with commit 2e0af9d; metrics.json must not change in any digit.
"""

import numpy as np
import pytest

from ar3d_keras.evaluation.metrics import top1_interval
from ar3d_keras.evaluation.significance import difference, mcnemar

# name: (videos, seed, rate, videos per group), top-1 interval, (difference, interval), mcnemar
RECORDED = {
    "all right, demo-like": (
        (24, 0, 1.1, 4),
        [0.5407418735600995, 1.0],
        0.0,
        [-0.4592581264399005, 0.4592581264399005],
        (0, 0, 1.0),
    ),
    "all wrong": (
        (10, 0, -1, 2),
        [0.0, 0.5218237501049815],
        0.0,
        [-0.5218237501049815, 0.5218237501049815],
        (0, 0, 1.0),
    ),
    "mixed": ((200, 1, 0.7, 5), [0.64, 0.75], 0.095, [0.02, 0.165], (54, 35, 0.05577832765373429)),
    "few groups": ((12, 2, 0.5, 4), [0.5, 0.75], 0.16666666666666666, [-0.25, 0.5], (4, 2, 0.6875)),
    "videos without groups": (
        (97, 4, 0.3, 0),
        [0.14432989690721648, 0.30927835051546393],
        0.1134020618556701,
        [0.010309278350515464, 0.21649484536082475],
        (18, 7, 0.043285250663757324),
    ),
    "large": (
        (13320, 5, 0.42, 25),
        [0.4150880723594138, 0.43121980517102465],
        0.1039039039039039,
        [0.09316716524071951, 0.1153530128316679],
        (3834, 2450, 1.0485609957969532e-68),
    ),
    "unequal": (
        (61, 6, 0.6, -1),
        [0.4657037919396466, 0.75],
        0.03278688524590164,
        [-0.13435997976220593, 0.1785943223443222],
        (17, 15, 0.860050065908581),
    ),
}


def is_right(videos, seed, rate):
    return np.random.default_rng(seed).random(videos) < rate


def group_names(videos, size):
    if size == 0:
        return (None,) * videos
    if size < 0:  # groups of many sizes, and videos without a group
        return tuple(None if n % 7 == 0 else f"g{int(n**0.5)}" for n in range(videos))
    return tuple(f"g{n // size}" for n in range(videos))


@pytest.mark.parametrize("recorded", RECORDED.values(), ids=RECORDED)
def test_recorded_numbers(recorded):
    (videos, seed, rate, size), interval, gap, gap_interval, (first, second, p) = recorded
    one, other = is_right(videos, seed, rate), is_right(videos, seed + 100, rate - 0.1)
    groups = group_names(videos, size)
    assert top1_interval(one, groups)[0] == interval
    assert difference(one, other, groups)[:2] == (gap, gap_interval)
    assert mcnemar(one, other) == (first, second, pytest.approx(p, rel=1e-13))
