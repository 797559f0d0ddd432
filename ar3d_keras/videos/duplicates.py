"""Finds near-duplicates: videos that show the same recording, whatever their bytes.

A copy may be encoded again, scaled, cropped by a few per cent, cut at the ends, or mirrored. Videos
of one fixed camera have the same background, so pictures alone do not tell copies from other
recordings. What tells them apart is motion. A video is described by small gray pictures at equal
steps in time. A search for pairs has four stages, each for the pairs that the one before has left:

1. Mean picture and map of motion: each video keeps its most similar ones (a matrix product).
2. The coarse motion of both videos, correlated at every shift in time (Fourier transform).
3. The finer pictures at the best shift, also between two steps and with one of them cropped. Their
   mean pictures are compared, and then what differs from the mean, all over and in each half second.
4. Every frame, decoded again and reduced, at exactly the same moments. A person who repeats a gesture
   passes stage 3, but not at the same speed from frame to frame. Each video is also compared with the
   inner part of the other one, which is what a cropped copy shows.

`duplicate_search` has the first three stages, and `duplicate_frames` the last one.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from ar3d_keras.videos.descriptor import FEWEST_STEPS, Descriptor, moves
from ar3d_keras.videos.duplicate_frames import SAME_FRAMES, Frames, compare_frames
from ar3d_keras.videos.duplicate_search import Level, Pair

VERSION = 3  # of descriptors and thresholds; raise it when a result may change


def find_pairs(
    descriptors: Sequence[Descriptor],
    frames_of: Callable[[int], Frames] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Pair]:
    """Finds the near-duplicates among videos; those that do not move are not compared.

    Args:
        descriptors: one for each video.
        frames_of: gives every frame of a video by its index; called for the few pairs that the
            descriptors do not tell from copies. None: the fourth stage is left out, so repeated
            actions in front of one camera may be taken for copies.
        progress: called with the number of videos whose neighbors are known.

    Returns:
        The pairs, sorted.
    """
    moving = [index for index, descriptor in enumerate(descriptors) if moves(descriptor)]
    found: list[Pair] = []
    for step in sorted({descriptors[index].step for index in moving}):
        # Videos of another length may have another step; a pair is compared at the longer one.
        members = [
            index
            for index in moving
            if descriptors[index].step <= step
            and len(descriptors[index].pictures) * descriptors[index].step >= FEWEST_STEPS * step
        ]
        level = Level([descriptors[index].coarser(step) for index in members], step)
        own = np.array([descriptors[index].step == step for index in members])
        for pair in level.pairs(own, progress):
            one, other = members[pair.one], members[pair.other]
            found.append(Pair(one, other, pair.kind, pair.score, pair.shift))
    if frames_of is None:
        return sorted(found)
    recent = lru_cache(maxsize=64)(frames_of)
    verified = []
    for pair in sorted(found):
        score, shift = compare_frames(
            recent(pair.one),
            recent(pair.other),
            pair.shift,
            tolerance=max(descriptors[pair.one].step, descriptors[pair.other].step),
            mirrored=pair.kind == "mirrored",
        )
        if score >= SAME_FRAMES:
            verified.append(Pair(pair.one, pair.other, pair.kind, score, shift))
    return verified
