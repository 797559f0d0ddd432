"""Folds of a cross-validation: kfold, logo (leave one group out) and random."""

import warnings
from collections.abc import Sequence

import numpy as np

from ar3d_keras.config import FOLDS
from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import Catalog, first_names
from ar3d_keras.videos.frame_folder import natural_key

FOLD_SCHEMES = ("kfold", "logo", "random")


def num_folds(catalog: Catalog, scheme: str, folds: int | None = None) -> int:
    """How many folds a split scheme has.

    Args:
        catalog: the videos.
        scheme: `kfold`, `random`, or `logo`, which has a fold for each group.
        folds: for kfold and random; None: 5.

    Raises:
        UserError: a scheme without folds, or `logo` on fewer than three groups.
    """
    if scheme == "logo":
        return len(one_fold_a_group(catalog))
    if scheme not in FOLD_SCHEMES:
        raise UserError(
            f"`split_scheme` {scheme} has no folds: choose from {', '.join(FOLD_SCHEMES)}"
        )
    return FOLDS if folds is None else folds


def deal(
    catalog: Catalog, seed: int, folds: int, *, by_video: bool
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """The folds of `kfold` and `random`.

    Args:
        catalog: the videos.
        seed: for the deal.
        folds: at least 3.
        by_video: every video alone, without regard to groups.

    Returns:
        For each fold (videos of the fold,) integers, places in the catalog; and notes.

    Raises:
        UserError: too few or too many folds.
    """
    from sklearn.model_selection import KFold

    if folds < 3:
        raise UserError(f"`folds` must be at least 3 (test, validation, training), not {folds}")
    labels, groups = labels_and_groups(catalog)
    if by_video:
        groups = np.arange(len(catalog))
    unit = "videos" if by_video else "groups"
    distinct, members = np.unique(groups, return_inverse=True)
    if len(distinct) < folds:
        raise UserError(
            f"`folds` must be at most {len(distinct)}, the number of {unit} in {catalog.root}, "
            f"not {folds}" + long_recording_hint(catalog)
        )
    if np.bincount(labels).max() < folds:
        # No class can be in every fold, so there is nothing to balance.
        dealer = KFold(folds, shuffle=True, random_state=seed)
        dealt = [np.flatnonzero(np.isin(members, fold)) for _, fold in dealer.split(distinct)]
    else:
        dealt = stratified_group_folds(labels, groups, folds, seed)
    notes = []
    if by_video:
        notes.append("Split scheme random ignores groups: never report its result alone.")
    elif not any(video.group for video in catalog.videos):
        notes.append("No video has a group, so each is dealt as a group of its own.")
    counts = dict(zip(catalog.class_names, group_counts(labels, groups), strict=True))
    if scarce := [name for name, count in counts.items() if count < folds]:
        notes.append(
            f"{len(scarce)} of {len(counts)} classes have fewer {unit} than there are folds, so "
            f"some of the {folds} folds do not test them: {first_names(scarce)}."
        )
    return dealt, tuple(notes)


def one_fold_a_group(catalog: Catalog) -> list[np.ndarray]:
    """The folds of `logo`: the places of each group's videos, in natural order of the groups.

    Raises:
        UserError: no video has a group, or there are fewer than three.
    """
    if not any(video.group for video in catalog.videos):
        raise UserError(
            f"`split_scheme` logo leaves one group out, and no video of {catalog.root} has a "
            "group: add a group column in a CSV, set `group_by`, or choose kfold"
        )
    names, members = sorted(set(_group_names(catalog))), labels_and_groups(catalog)[1]
    if len(names) < 3:
        raise UserError(
            f"`split_scheme` logo needs at least 3 groups (test, validation, training), and "
            f"{catalog.root} has {len(names)}: add videos of further groups, or choose another "
            "scheme" + long_recording_hint(catalog)
        )
    order = sorted(range(len(names)), key=lambda index: natural_key(names[index]))
    return [np.flatnonzero(members == index) for index in order]


def long_recording_hint(catalog: Catalog) -> str:
    """What to do with segments of too few files, for the end of an error; empty for other videos."""
    if not any(video.is_segment for video in catalog.videos):
        return ""
    return "; `group_by` block:SECONDS divides long files into blocks of time"


def check_fold(fold: int, folds: int) -> None:
    """Raises UserError unless `fold` is one of 1 to `folds`."""
    if not 1 <= fold <= folds:
        raise UserError(f"`fold` must be one of 1 to {folds}, the number of folds, not {fold}")


def check_each_fold(
    catalog: Catalog, dealt: Sequence[np.ndarray], scheme: str, *, val_fold: bool = True
) -> None:
    """Checks all folds before one is trained; for `val_fold` see `assign_fold`.

    Raises:
        UserError: a fold is empty, or a class has no training video in one.
    """
    labels, _ = labels_and_groups(catalog)
    counts = np.bincount(labels)
    by_fold = [np.bincount(labels[fold], minlength=len(counts)) for fold in dealt]
    for number, tested in enumerate(by_fold, start=1):
        if not tested.any():
            raise UserError(
                f"fold {number} of {len(dealt)} would be empty: give fewer `folds`, or choose "
                "another `split_scheme`"
            )
        trained = counts - tested
        if val_fold:
            trained = trained - by_fold[number % len(by_fold)]
        if not trained.all():
            name = catalog.class_names[int(np.argmin(trained))]
            raise UserError(untrained(f"{scheme} {number} of {len(dealt)}", name))


def assign_fold(
    videos: int, dealt: Sequence[np.ndarray], fold: int, *, val_fold: bool = True
) -> list[str | None]:
    """Fold `fold` tests, and with `val_fold` the next one (after the last, the first) validates."""
    assigned = np.array(["train"] * videos, dtype=object)
    assigned[dealt[fold - 1]] = "test"
    if val_fold:
        assigned[dealt[fold % len(dealt)]] = "val"
    return list(assigned)


def labels_and_groups(catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
    """(videos,) integers, indices into `catalog.class_names`, and (videos,) numbers of groups.

    A group's number is its place among the sorted names of all groups.
    """
    label_of = {name: label for label, name in enumerate(catalog.class_names)}
    labels = np.array([label_of[video.label or ""] for video in catalog.videos])
    names = _group_names(catalog)
    number_of = {name: number for number, name in enumerate(sorted(set(names)))}
    return labels, np.array([number_of[name] for name in names])


def _group_names(catalog: Catalog) -> list[str]:
    """A video without a group is a group of its own.

    The prefix keeps its path from being the name of another group.
    """
    return [f"group {v.group}" if v.group else f"video {v.key}" for v in catalog.videos]


def group_counts(labels: np.ndarray, groups: np.ndarray) -> list[int]:
    """The number of groups of each class that occurs, by label."""
    if not len(labels):
        return []
    num_groups = int(groups.max()) + 1
    pairs = np.sort(labels.astype(np.int64) * num_groups + groups)
    counts = np.bincount(pairs[np.diff(pairs, prepend=-1) > 0] // num_groups)
    return counts[counts > 0].tolist()


def stratified_group_folds(
    labels: np.ndarray, groups: np.ndarray, folds: int, seed: int
) -> list[np.ndarray]:
    """The folds of scikit-learn's StratifiedGroupKFold(folds, shuffle=True, random_state=seed).

    They are equal. scikit-learn needs a minute for a hundred thousand groups, this a few seconds: it
    tries a group in all folds at once, and computes only what the classes of the group change.

    Args:
        labels: (videos,) integers.
        groups: (videos,) integers; at least `folds` different ones.
        folds: the number of folds.
        seed: for the order of groups that are equally unbalanced.

    Returns:
        For each fold (videos of the fold,) indices, ascending.
    """
    _, labels, totals = np.unique(labels, return_inverse=True, return_counts=True)
    _, members = np.unique(groups, return_inverse=True)
    num_groups, num_classes = members.max() + 1, len(totals)
    # The classes of each group and its videos of them: those of group g are first[g]:first[g + 1].
    pairs, counts = np.unique(members.astype(np.int64) * num_classes + labels, return_counts=True)
    owners, classes = np.divmod(pairs, num_classes)
    first = np.searchsorted(owners, np.arange(num_groups + 1))
    unevenness = np.empty(num_groups)
    for low in range(0, num_groups, 4096):  # all at once may need gigabytes
        high = min(low + 4096, num_groups)
        some = slice(first[low], first[high])
        table = np.zeros((high - low, num_classes))
        table[owners[some] - low, classes[some]] = counts[some]
        unevenness[low:high] = np.std(table, axis=1)
    shuffled = np.arange(num_groups)
    np.random.RandomState(seed).shuffle(shuffled)
    order = shuffled[np.argsort(-unevenness[shuffled], kind="stable")]

    in_fold, fold_of = np.zeros((folds, num_classes)), np.zeros(num_groups, int)
    sizes = [0] * folds
    each = np.eye(folds)[:, :, None]
    # (the fold that takes the group, class): the standard deviation of the folds' shares of a class
    spread = np.zeros((folds, num_classes))
    for group in order.tolist():
        mine, added = (part[first[group] : first[group + 1]] for part in (classes, counts))
        if len(mine) == 1 < num_classes:  # NumPy sums a single column in another order
            mine, added = np.repeat(mine, 2), np.repeat(added, 2)
        # (the fold that takes the group, fold, class of the group)
        shares = (in_fold[:, mine] + each * added) / totals[mine]
        spread[:, mine] = tried = _std_of_folds(shares)
        best = _best_fold(spread.mean(axis=1).tolist(), sizes)
        spread[:, mine] = tried[best]
        in_fold[best, mine] += added
        sizes[best] += int(counts[first[group] : first[group + 1]].sum())
        fold_of[group] = best
    return [np.flatnonzero(fold_of[members] == fold) for fold in range(folds)]


def _std_of_folds(shares: np.ndarray) -> np.ndarray:
    """`np.std(shares, axis=1)`, the same bits in a third of the time."""
    rest = shares - shares.sum(axis=1, keepdims=True) / shares.shape[1]
    return np.sqrt((rest * rest).sum(axis=1) / shares.shape[1])


def _best_fold(imbalance: Sequence[float], sizes: Sequence[float]) -> int:
    """The fold with the least imbalance; if two are close, the smaller one."""
    best, least, size = 0, imbalance[0], sizes[0]
    for fold in range(1, len(sizes)):
        is_close = abs(imbalance[fold] - least) <= 1e-8 + 1e-5 * abs(least)  # as numpy.isclose
        if imbalance[fold] < least or (is_close and sizes[fold] < size):
            best, least, size = fold, imbalance[fold], sizes[fold]
    return best


def untrained(scheme: str, class_name: str) -> str:
    """The message about a class without a training video."""
    return (
        f"split scheme {scheme} leaves class {class_name!r} without a training video: "
        "add videos of it from further recordings, or choose another `split_scheme`"
    )


def quietly(folds) -> Sequence:
    """Without scikit-learn's warning about classes with few videos; the split is checked later."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return list(folds)
