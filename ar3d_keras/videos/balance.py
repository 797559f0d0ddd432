"""Imbalanced classes: balanced drawing, class weights, and which classes are rare."""

import numpy as np

from ar3d_keras.videos.splits import Split

FEW = 10  # a class with fewer training videos is rare, and so is one with
SHARE = 0.1  # less than this share of the largest class's


def balanced_order(labels: np.ndarray, *, seed: int, epoch: int) -> np.ndarray:
    """The clips of an epoch in which every class has equally many, in order.

    An epoch has as many clips as there are labels. Classes whose number does not divide it differ by
    one. A class with more videos than its share is sampled without replacement; a class with fewer
    repeats its videos evenly, each time with another random clip.

    Args:
        labels: int64 (videos,), the class of each training video; or of each of its clips, if an
            epoch has several.
        seed: the seed of the run.
        epoch: counted from 0. The result depends on nothing but these three.

    Returns:
        int64 (videos,): v + k * videos is the k-th further clip of video v, see
        `ClipSource.clip_spec`. Those with k = 0 are the clips that `epoch_order` visits.
    """
    videos, classes = len(labels), np.unique(labels)
    # The third number separates this stream from those of the specs and of `epoch_order`.
    entropy = np.random.SeedSequence((seed, epoch, 2**32 + 1))
    draw = np.random.Generator(np.random.Philox(entropy))
    shares = np.full(len(classes), videos // len(classes))
    shares[draw.permutation(len(classes))[: videos % len(classes)]] += 1
    clips = []
    for name, share in zip(classes, shares, strict=True):
        members = np.flatnonzero(labels == name)
        for further in range(-(-int(share) // len(members))):
            wanted = share - further * len(members)
            clips.append(draw.permutation(members)[:wanted] + further * videos)
    return draw.permutation(np.concatenate(clips))


def class_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Loss weights inversely proportional to the number of videos of a class.

    Args:
        labels: int64 (videos,), the class of each training video.
        num_classes: the number of classes.

    Returns:
        float32 (classes,), with mean 1 over the videos; 0 for a class without videos.
    """
    counts = np.bincount(labels, minlength=num_classes)
    weights = np.zeros(num_classes)
    present = counts > 0
    weights[present] = len(labels) / (present.sum() * counts[present])
    return weights.astype(np.float32)


def weigh(labels: np.ndarray, weights: np.ndarray, by_class: np.ndarray) -> np.ndarray:
    """The sample weights of a batch for a loss that is divided by the size of the batch.

    Args:
        labels: int64 (B,), or float32 (B, classes), the share of each class.
        weights: float32 (B,), 0 for a clip that could not be decoded, else 1.
        by_class: float32 (classes,), see `class_weights`.

    Returns:
        float32 (B,): the weight of each clip's class, or the mean over its shares. They are scaled
        by B / clips that could be decoded, so that the others do not dilute the loss.
    """
    decoded = np.count_nonzero(weights)
    of_labels = by_class[labels] if labels.ndim == 1 else labels @ by_class
    return (weights * of_labels * (len(weights) / max(int(decoded), 1))).astype(np.float32)


def rare_class_notes(split: Split) -> tuple[str, ...]:
    """A sentence that names the classes with few training videos; empty if there are none."""
    counts = dict.fromkeys(split.catalog.class_names, 0)
    for video in split.videos("train"):
        counts[video.label or ""] += 1
    most = max(counts.values())
    rare = [name for name, count in counts.items() if count < max(FEW, SHARE * most)]
    if not rare:
        return ()
    rarest = sorted(rare, key=counts.__getitem__)
    named = ", ".join(f"{name!r} {counts[name]}" for name in rarest[:10])
    more = f" and {len(rare) - 10} more" if len(rare) > 10 else ""
    return (
        f"{len(rare)} of {len(counts)} classes have few training videos (fewer than {FEW}, or less "
        f"than a tenth of the largest class, {most}): {named}{more}.",
    )
