"""A share of the training videos, for learning curves of data."""

import dataclasses
from collections import Counter

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos.splits import Split


def keep_share(split: Split, share: float, seed: int) -> Split:
    """The split with a part of its training videos; val and test stay.

    Whole groups are kept, so that fewer videos means fewer recordings, as it would if less had been
    filmed. They are taken in one order, always a group of the class that has the smallest part of
    its videos so far, so a smaller share is a part of every larger one.

    Args:
        split: which videos.
        share: of the training videos, above 0 and at most 1. Groups are taken until it is reached.
        seed: draws the order of the groups.

    Raises:
        UserError: a class has no training video left.
    """
    if share == 1:
        return split
    videos = split.videos("train")
    groups: dict[str, list[int]] = {}
    for place, video in enumerate(videos):
        groups.setdefault(video.group or f"\0{video.key}", []).append(place)
    kept = _first_groups(
        [Counter(videos[place].label for place in places) for places in groups.values()],
        share * len(videos),
        seed,
    )
    keys = {videos[place].key for number in kept for place in list(groups.values())[number]}
    labels = {video.label for video in videos if video.key in keys}
    if missing := [name for name in split.catalog.class_names if name not in labels]:
        raise UserError(
            f"`train_share` {share:g} keeps {len(keys)} of {len(videos)} training videos and none of "
            f"class {missing[0]!r}: give a larger share"
        )
    note = (
        f"Training uses {len(keys)} of {len(videos)} videos and {len(kept)} of {len(groups)} groups "
        f"(a share of {share:g})."
    )
    assigned = tuple(
        None if name == "train" and video.key not in keys else name
        for video, name in zip(split.catalog.videos, split.assigned, strict=True)
    )
    return dataclasses.replace(split, assigned=assigned, notes=(*split.notes, note))


def _first_groups(counts: list[Counter], wanted: float, seed: int) -> list[int]:
    """The first groups, in one order for each seed, that have `wanted` videos together.

    Args:
        counts: class -> videos, for each group.
        wanted: videos.
        seed: of the order.
    """
    totals = sum(counts, Counter())
    order = np.random.default_rng(seed).permutation(len(counts)).tolist()
    taken, kept = Counter(dict.fromkeys(totals, 0)), []
    while taken.total() < wanted - 1e-9:
        rarest = min(totals, key=lambda name: (taken[name] / totals[name], name))
        number = next(number for number in order if counts[number][rarest])
        order.remove(number)
        kept.append(number)
        taken.update(counts[number])
    return kept
