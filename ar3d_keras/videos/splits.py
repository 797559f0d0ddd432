"""Which video trains, validates or tests, and how much the three share.

A split scheme assigns every video of a catalog to train, val or test. Each split carries its
leak report: how many videos of val and test were cut from a source recording (a group) that
training has seen too.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import Catalog, Video
from ar3d_keras.videos.hmdb import hmdb_lists

SPLITS = ("train", "val", "test")
SCHEMES = (
    *("csv", "group", "hmdb1", "hmdb2", "hmdb3", "kfold"),
    *("official1", "official2", "official3", "paper", "random"),
)
FOLDS = 5  # where nobody says how many

# UCF-101's three official splits hold out these groups (ucfTrainTestlist/testlist0N.txt).
_OFFICIAL_TEST = {1: range(1, 8), 2: range(8, 15), 3: range(15, 22)}
_OFFICIAL_VAL = range(22, 26)  # in the train list of all three
_GROUP_TEST, _GROUP_VAL = range(1, 6), range(6, 10)  # 2673 / 2192 / 8455 of UCF-101


@dataclass(frozen=True)
class Split:
    """Every video of a catalog, assigned.

    Attributes:
        scheme: the name of the rule; with folds, which of them tests ("kfold 2 of 5").
        assigned: one of SPLITS for each video, in the catalog's order; None leaves it out
            (a video that official lists do not name).
        notes: sentences that a reader of the result must know.
    """

    catalog: Catalog
    scheme: str
    assigned: tuple[str | None, ...]
    notes: tuple[str, ...] = ()

    def videos(self, name: str) -> tuple[Video, ...]:
        """The videos of "train", "val" or "test", in the catalog's order."""
        return tuple(
            video
            for video, split in zip(self.catalog.videos, self.assigned, strict=True)
            if split == name
        )

    @property
    def sizes(self) -> dict[str, int]:
        """The number of videos by split."""
        return {name: len(self.videos(name)) for name in SPLITS}

    @property
    def leak(self) -> "Leak":
        """What val and test share with what came before them."""
        groups = {name: [video.group for video in self.videos(name)] for name in SPLITS}

        def shared(name: str, *others: str) -> int:
            known = {group for other in others for group in groups[other]}
            return sum(group is not None and group in known for group in groups[name])

        return Leak(
            sizes=self.sizes,
            ungrouped=sum(group is None for name in SPLITS for group in groups[name]),
            val_train=shared("val", "train"),
            test_train=shared("test", "train"),
            test_train_val=shared("test", "train", "val"),
        )


@dataclass(frozen=True)
class Leak:
    """How many videos share a source recording across splits.

    Attributes:
        sizes: videos by split.
        ungrouped: videos whose source recording is unknown.
        val_train: videos of val with a training video from the same recording.
        test_train: videos of test with a training video from the same recording.
        test_train_val: the same, with training and validation taken together.
    """

    sizes: dict[str, int]
    ungrouped: int
    val_train: int
    test_train: int
    test_train_val: int

    @property
    def has_leakage(self) -> bool:
        """Whether any recording stands in two splits."""
        return bool(self.val_train or self.test_train_val)

    def sentences(self) -> list[str]:
        """The report: its first sentence is the verdict."""

        def share(count: int, split: str) -> str:
            total = self.sizes[split]
            return f"{count} of {total} {split} videos ({count / max(total, 1):.1%})"

        if self.test_train:
            lines = [
                f"LEAK: {share(self.test_train, 'test')} share a source recording with a "
                "training video, so the test score measures recognition of recordings too.",
                f"{share(self.val_train, 'val')} share one with a training video; "
                f"{share(self.test_train_val, 'test')} with a training or validation video.",
            ]
        elif self.val_train:
            lines = [
                f"LEAK: {share(self.val_train, 'val')} share a source recording with a training "
                "video, so the choice of the best epoch favours recognition of recordings.",
                f"{share(self.test_train_val, 'test')} share one with a validation video.",
            ]
        elif self.test_train_val:
            lines = [
                f"LEAK: {share(self.test_train_val, 'test')} share a source recording with a "
                "validation video, by which the best epoch was chosen."
            ]
        elif self.ungrouped == sum(self.sizes.values()):
            lines = [
                "Leak unknown: no video says which source recording it was cut from; "
                "a group column in the CSV would tell."
            ]
        else:
            lines = ["No leak: no source recording stands in two splits."]
        if 0 < self.ungrouped < sum(self.sizes.values()):
            lines.append(
                f"{self.ungrouped} videos name no source recording and count as their own."
            )
        return lines


def default_scheme(catalog: Catalog) -> str:
    """`csv` where the catalog assigns splits itself, else the leak-free `group`."""
    return "csv" if any(video.split for video in catalog.videos) else "group"


def make_split(
    catalog: Catalog,
    scheme: str,
    *,
    seed: int = 0,
    lists: str | os.PathLike | None = None,
    fold: int = 1,
    folds: int = FOLDS,
) -> Split:
    """Assigns every video of `catalog`.

    Args:
        catalog: the videos.
        scheme: `csv` (the catalog's split column), `group` (no recording in two splits, about
            64/16/20; on UCF-101's names groups 01-05 test and 06-09 val), `official1|2|3`
            (UCF-101's lists, validation being groups 22-25 of the train list), `paper`
            (per class, scikit-learn's train_test_split(0.2, random_state=42) twice; it leaks),
            `kfold` (the recordings are dealt into `folds` folds, each class evenly: fold `fold`
            tests, the next one validates, the rest trains; over all folds every video is tested
            once and validates once), or `random` (the same, but videos are dealt one by one,
            blind to recordings, so it leaks: the control that says what a leak is worth).
        seed: deals the folds, and shuffles the groups of scheme `group`; the other schemes draw
            nothing. All folds of one seed are of one deal.
        lists: the ucfTrainTestlist folder, for the official schemes; without it the same rule
            is read from the videos' names. For `hmdb1|2|3` (HMDB-51's lists, see `hmdb`), which
            need it, the testTrainMulti_7030_splits folder.
        fold: 1 to `folds`, for kfold and random.
        folds: 3 or more, likewise.

    Raises:
        UserError: an unknown scheme, or data that it cannot split.
    """
    notes: tuple[str, ...] = ()
    if scheme == "csv":
        assigned = _csv(catalog)
    elif scheme == "paper":
        assigned = _paper(catalog)
    elif scheme == "group":
        assigned = _group(catalog, seed)
    elif scheme in ("kfold", "random"):
        assigned, notes = _deal(catalog, seed, fold, folds, blind=scheme == "random")
        scheme = f"{scheme} {fold} of {folds}"
    elif scheme.startswith("official") and scheme in SCHEMES:
        number = int(scheme[-1])
        if lists is None:
            assigned = _official(catalog, number)
        else:
            assigned, notes = _official_lists(catalog, number, Path(lists))
    elif scheme.startswith("hmdb") and scheme in SCHEMES:
        assigned, notes = hmdb_lists(catalog, int(scheme[-1]), lists)
    else:
        raise UserError(f"no split scheme {scheme!r}: choose from {', '.join(SCHEMES)}")
    split = Split(catalog, scheme, tuple(assigned), (*notes, *_lacking(catalog, assigned)))
    _check_not_empty(split)
    return split


def _lacking(catalog: Catalog, assigned: Sequence[str | None]) -> Iterator[str]:
    """A sentence for val and test where a class has no video in them."""
    pairs = {(v.label, name) for v, name in zip(catalog.videos, assigned, strict=True)}
    for name in ("val", "test"):
        if lacking := [label for label in catalog.class_names if (label, name) not in pairs]:
            yield f"{len(lacking)} of {len(catalog.class_names)} classes have no {name} video: {', '.join(lacking)}."


def _check_not_empty(split: Split) -> None:
    for name in SPLITS:
        if not split.sizes[name]:
            raise UserError(
                f"split scheme {split.scheme} puts no video of {split.catalog.root} into {name}: "
                "add videos, or choose another --split-scheme"
            )
    trained = {video.label for video in split.videos("train")}
    if missing := [name for name in split.catalog.class_names if name not in trained]:
        raise UserError(
            f"split scheme {split.scheme} leaves class {missing[0]!r} without a training video: "
            "add videos of it from further recordings, or choose another --split-scheme"
        )


def _csv(catalog: Catalog) -> list[str | None]:
    for video in catalog.videos:
        if video.split is None:
            raise UserError(
                f"{video.path} has no split: fill the CSV's split column with train, val or test "
                "for every video, or choose another --split-scheme"
            )
    return [video.split for video in catalog.videos]


def _paper(catalog: Catalog) -> list[str | None]:
    """jfzhang95/pytorch-video-recognition, dataloaders/dataset.py, on sorted names.

    Per class 20 % test, then 20 % of the rest val: 8460 / 2159 / 2701 on UCF-101 (the paper
    prints 2156, which leaves three videos out of 13,320).
    """
    from sklearn.model_selection import train_test_split

    members: dict[str, list[int]] = defaultdict(list)
    for index, video in enumerate(catalog.videos):
        members[video.label].append(index)
    assigned: list[str | None] = ["train"] * len(catalog)
    for label, indices in members.items():
        if len(indices) < 3:
            raise UserError(
                f"class {label!r} has {len(indices)} video(s) in {catalog.root}, and split scheme "
                "paper needs at least 3 of each class: add videos or remove the class"
            )
        rest, test = train_test_split(indices, test_size=0.2, random_state=42)
        _, val = train_test_split(rest, test_size=0.2, random_state=42)
        for index in test:
            assigned[index] = "test"
        for index in val:
            assigned[index] = "val"
    return assigned


def _by_ucf_group(catalog: Catalog, test: range, val: range) -> list[str | None]:
    return [
        "test" if video.ucf_group in test else "val" if video.ucf_group in val else "train"
        for video in catalog.videos
    ]


def _official(catalog: Catalog, number: int) -> list[str | None]:
    if not catalog.is_ucf:
        stranger = next(video for video in catalog.videos if video.ucf_group is None)
        raise UserError(
            f"split scheme official{number} needs UCF-101's names v_Class_gNN_cNN.avi, and "
            f"{stranger.path} has none: choose another --split-scheme"
        )
    return _by_ucf_group(catalog, _OFFICIAL_TEST[number], _OFFICIAL_VAL)


def _official_lists(
    catalog: Catalog, number: int, folder: Path
) -> tuple[list[str | None], tuple[str, ...]]:
    """From trainlist0N.txt and testlist0N.txt: `Class/v_Class_gNN_cNN.avi [label]` lines.

    The label is in the train lists only (and 1-based), so the folder's name is the class; the
    folder HandstandPushups holds v_HandStandPushups_*, so names compare without case.
    """
    listed: dict[str, str] = {}
    for name in ("train", "test"):
        file = folder / f"{name}list{number:02d}.txt"
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{file} cannot be read ({error}): --split-lists must name UCF-101's "
                "ucfTrainTestlist folder"
            ) from None
        for line in lines:
            if line.strip():
                listed[_listed_name(line.split()[0])] = name
    assigned: list[str | None] = []
    for video in catalog.videos:
        name = listed.pop(_listed_name(video.path), None)
        assigned.append("val" if name == "train" and video.ucf_group in _OFFICIAL_VAL else name)
    notes = []
    if absent := assigned.count(None):
        notes.append(f"{absent} videos of the folder are in neither list and are left out.")
    if listed:
        notes.append(f"{len(listed)} videos of the lists are not in the folder.")
    return assigned, tuple(notes)


def _listed_name(path: str) -> str:
    """Without case and suffix: UCF-101 as folders of frames has the lists' names too."""
    return path.casefold().removesuffix(".avi")


def _group(catalog: Catalog, seed: int) -> list[str | None]:
    """No group in two splits; classes balanced; about 64/16/20."""
    if catalog.is_ucf and max(video.ucf_group for video in catalog.videos) <= 25:
        assigned = _by_ucf_group(catalog, _GROUP_TEST, _GROUP_VAL)
        found = Counter(
            (video.label, split) for video, split in zip(catalog.videos, assigned, strict=True)
        )
        full = all(found[label, split] for label in catalog.class_names for split in SPLITS)
        # A CSV may give such names groups of its own, which the numbers would tear apart.
        if full and not Split(catalog, "group", tuple(assigned)).leak.has_leakage:
            return assigned
    return _draw_groups(catalog, seed)


def _draw_groups(catalog: Catalog, seed: int) -> list[str | None]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    labels, groups = _labels_and_groups(catalog)
    for name, recordings in zip(catalog.class_names, _recordings(labels, groups), strict=True):
        if recordings < 3:
            raise UserError(
                f"class {name!r} has videos from {recordings} source recording(s), and a "
                "leak-free split needs at least 3, one each for train, val and test: "
                "add videos of it, or give a split column in a CSV"
            )
    assigned = np.array(["train"] * len(catalog), dtype=object)
    rest = np.arange(len(catalog))

    def leaves(fold: np.ndarray, recordings: int) -> bool:
        kept = np.setdiff1d(rest, fold)
        found = _recordings(labels[kept], groups[kept])
        return len(found) == len(catalog.class_names) and min(found) >= recordings

    for name, left in (("test", 2), ("val", 1)):  # recordings that each class has left after it
        folds = min(5, len(set(groups[rest])), int(np.bincount(labels[rest]).max()))
        # Where every video is its own group the two rules are one, and to keep groups together
        # takes seconds for ten thousand of them.
        if len(set(groups[rest])) == len(rest):
            splitter, kept = StratifiedKFold(folds, shuffle=True, random_state=seed), None
        else:
            splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
            kept = groups[rest]
        found = _quietly(splitter.split(rest, labels[rest], kept))
        candidates = [rest[fold] for _, fold in found]
        if not (allowed := [fold for fold in candidates if leaves(fold, left)]):
            # Few recordings, some of several classes: to take a single one always leaves enough.
            allowed = [rest[groups[rest] == group] for group in np.unique(groups[rest])]
        chosen = min(allowed, key=lambda fold: _imbalance(labels, rest, fold))
        assigned[chosen] = name
        rest = np.setdiff1d(rest, chosen)
    return list(assigned)


def _deal(
    catalog: Catalog, seed: int, fold: int, folds: int, *, blind: bool
) -> tuple[list[str | None], tuple[str, ...]]:
    """Fold `fold` tests, the next one (after the last comes the first) validates."""
    from sklearn.model_selection import StratifiedGroupKFold

    if folds < 3:
        raise UserError(f"--folds {folds} must be at least 3: one tests, one validates, one trains")
    if not 1 <= fold <= folds:
        raise UserError(f"--fold {fold} must be one of 1 to {folds}, the number of folds")
    labels, groups = _labels_and_groups(catalog)
    if blind:
        groups = np.arange(len(catalog))
    unit = "video(s)" if blind else "source recording(s)"
    for name, count in zip(catalog.class_names, _recordings(labels, groups), strict=True):
        if count < folds:
            raise UserError(
                f"class {name!r} has {count} {unit} in {catalog.root}, and each of {folds} folds "
                "needs one: add videos of it, or take fewer --folds"
            )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    dealt = list(splitter.split(labels, labels, groups))
    assigned = np.array(["train"] * len(catalog), dtype=object)
    assigned[dealt[fold - 1][1]] = "test"
    assigned[dealt[fold % folds][1]] = "val"
    notes = []
    if blind:
        notes.append(
            "Split scheme random does not look at source recordings: never report it alone."
        )
    elif not any(video.group for video in catalog.videos):
        notes.append("No video names a source recording, so each is dealt as a group of its own.")
    return list(assigned), tuple(notes)


def _labels_and_groups(catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
    """(videos,) integers, places in `catalog.classes`, and (videos,) names of groups."""
    labels = np.array([catalog.class_names.index(video.label) for video in catalog.videos])
    groups = np.array(
        # A video without a group is its own; the path cannot be the name of a group by accident.
        [f"group {v.group}" if v.group else f"video {v.path}" for v in catalog.videos]
    )
    return labels, groups


def _recordings(labels: np.ndarray, groups: np.ndarray) -> list[int]:
    """The number of source recordings of each class that occurs, by label."""
    pairs = Counter(label for label, _ in set(zip(labels.tolist(), groups.tolist(), strict=True)))
    return [pairs[label] for label in sorted(pairs)]


def _imbalance(labels: np.ndarray, rest: np.ndarray, fold: np.ndarray) -> float:
    """Distance of a fold's class counts from one fifth of each class; a class left out costs most."""
    wanted = np.bincount(labels[rest], minlength=labels.max() + 1) / 5
    counts = np.bincount(labels[fold], minlength=labels.max() + 1)
    return float(np.abs(counts - wanted).sum() + len(labels) * (counts == 0).sum())


def _quietly(folds) -> Sequence:
    """scikit-learn warns where a class has fewer videos than folds; the split is checked after."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return list(folds)
