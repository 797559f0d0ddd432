"""Which videos train, validate and test, and how much the three splits share.

A split scheme assigns every video of a catalog to train, val or test. Each split has a leak
report: how many videos of val and test were cut from a source recording (a group) that training
sees too, and how many have the same bytes as a video of an earlier split.
"""

import itertools
import os
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import Catalog, first_names
from ar3d_keras.videos.column_splits import (
    grouped_by_column,
    left_out,
    split_by_column,
    split_by_date,
)
from ar3d_keras.videos.folds import (
    FOLD_SCHEMES,
    assign_fold,
    check_each_fold,
    check_fold,
    deal,
    group_counts,
    labels_and_groups,
    long_recording_hint,
    num_folds,
    one_fold_a_group,
    quietly,
    stratified_group_folds,
    untrained,
)
from ar3d_keras.videos.hmdb import hmdb_lists
from ar3d_keras.videos.leak import Leak
from ar3d_keras.videos.pieces import find_pieces
from ar3d_keras.videos.segments import by_file
from ar3d_keras.videos.video import SPLITS, Video

SCHEMES = (
    *("column", "csv", "date", "group", "hmdb1", "hmdb2", "hmdb3", "kfold", "logo"),
    *("official1", "official2", "official3", "paper", "random"),
)

# UCF-101's three official splits hold out these groups (ucfTrainTestlist/testlist0N.txt).
_OFFICIAL_TEST = {1: range(1, 8), 2: range(8, 15), 3: range(15, 22)}
_OFFICIAL_VAL = range(22, 26)  # in the train list of all three
_GROUP_TEST, _GROUP_VAL = range(1, 6), range(6, 10)  # 2673 / 2192 / 8455 of UCF-101


@dataclass(frozen=True)
class Split:
    """Every video of a catalog with its split.

    Attributes:
        scheme: the name of the split scheme; with folds, also which of them is the test split
            ("kfold 2 of 5").
        assigned: one of SPLITS for each video, in the catalog's order; None leaves it out
            (a video that is not in the official lists).
        notes: sentences that a reader of the result must know.
        copies: (key in val or test, key in an earlier split) of videos with the same bytes,
            see `leak.find_copies`.
        near_duplicates: (key in val or test, key in an earlier split) of videos with the same
            content, see `leak.find_near_duplicates`; None: `ar3d check` has not searched them.
    """

    catalog: Catalog
    scheme: str
    assigned: tuple[str | None, ...]
    notes: tuple[str, ...] = ()
    copies: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)
    near_duplicates: tuple[tuple[str, str], ...] | None = field(
        default=None, compare=False, repr=False
    )

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
    def evaluated(self) -> tuple[str, ...]:
        """The splits that a training is measured on: val, if it has videos, and test."""
        return ("val", "test") if self.sizes["val"] else ("test",)

    @property
    def leak(self) -> Leak:
        """What val and test share with the splits before them."""
        videos = {name: self.videos(name) for name in SPLITS}
        groups = {name: [video.group for video in videos[name]] for name in SPLITS}

        def shared(name: str, *others: str) -> int:
            known = {group for other in others for group in groups[other]}
            return sum(group is not None and group in known for group in groups[name])

        def members(name: str, keys: set[str]) -> int:
            return sum(video.key in keys for video in videos[name]) if keys else 0

        copied = {key for key, _ in self.copies}
        pieces = find_pieces(itertools.chain(*videos.values()))
        files = by_file(itertools.chain(*videos.values()))
        split_of = dict(zip((v.key for v in self.catalog.videos), self.assigned, strict=True))
        searched = self.near_duplicates is not None
        near = {key for key, _ in self.near_duplicates or ()}
        return Leak(
            sizes={name: len(videos[name]) for name in SPLITS},
            ungrouped=sum(group is None for name in SPLITS for group in groups[name]),
            val_train=shared("val", "train"),
            test_train=shared("test", "train"),
            test_train_val=shared("test", "train", "val"),
            val_copies=members("val", copied),
            test_copies=members("test", copied),
            pieces=len(pieces),
            recordings=len(pieces.recordings),
            torn_recordings=sum(
                len({split_of[video.key] for video in recording}) > 1
                for recording in pieces.recordings.values()
            ),
            group_command=_group_command(self.catalog, pieces.rule) if pieces.rule else "",
            divided_files=sum(_is_divided(rows, split_of) for rows in files.values()),
            val_near=members("val", near) if searched else None,
            test_near=members("test", near) if searched else None,
        )


def _is_divided(rows: Sequence[Video], split_of: Mapping[str, str | None]) -> bool:
    """Whether a file is in several splits without a group of it in two."""
    pairs = {(video.group, split_of[video.key]) for video in rows}
    groups, splits = (set(names) for names in zip(*pairs, strict=True))
    return len(splits) > 1 and len(groups) == len(pairs)


def _group_command(catalog: Catalog, rule: str) -> str:
    data = shlex.quote(str(catalog.source or catalog.root))
    return f"python train.py --data {data} --group-by {shlex.quote(rule)}"


def default_scheme(catalog: Catalog) -> str:
    """`csv` if the catalog has a split column, else `group`, which does not leak."""
    return "csv" if any(video.split for video in catalog.videos) else "group"


def make_split(
    catalog: Catalog,
    scheme: str,
    *,
    seed: int = 0,
    lists: str | os.PathLike | None = None,
    fold: int | None = None,
    folds: int | None = None,
    by: str | None = None,
    val_fold: bool = True,
) -> Split:
    """Assigns every video of `catalog` to train, val or test.

    Args:
        catalog: the videos.
        scheme: one of

            - `csv`: the catalog's split column.
            - `group`: no group in two splits, about 64/16/20 %; on UCF-101's names groups 01-05
              test and 06-09 validate.
            - `official1|2|3`: UCF-101's lists; groups 22-25 of the train list validate.
            - `hmdb1|2|3`: HMDB-51's lists, see `hmdb`.
            - `paper`: per class scikit-learn's train_test_split(0.2, random_state=42), twice; it
              leaks.
            - `kfold`: groups are dealt into `folds` folds, each class evenly. Fold `fold` tests,
              the next one validates, the others train, so that over all folds every video is
              tested once and validates once.
            - `logo`: leave one group out, or with `by` one value of that column; a fold for each;
              the next one validates.
            - `column`: no value of the column `by` in two splits, about 64/16/20 %.
            - `date`: by the dates in the column `by`; train is earliest and test latest.
            - `random`: as kfold, but videos are dealt one by one without regard to groups, so it
              leaks: a control that shows what a leak is worth.
        seed: for the folds of kfold and random, and the division in `group` and `column`. All folds of
            one seed belong to one deal.
        lists: the ucfTrainTestlist folder, for `official1|2|3`; None: the same rule is read from
            the videos' names. The testTrainMulti_7030_splits folder, for `hmdb1|2|3`.
        fold: from 1, for kfold, logo and random; None: 1.
        folds: at least 3, for kfold and random; None: 5.
        by: a column of the CSV, for column, date and logo; None with logo: the group.
        val_fold: for kfold, logo and random; False: the fold after the tested one trains.

    Raises:
        UserError: an unknown scheme, or data that it cannot split.
    """
    notes: tuple[str, ...] = ()
    fold = 1 if fold is None else fold
    if scheme == "csv":
        assigned = _csv(catalog)
    elif scheme == "paper":
        assigned = _paper(catalog)
    elif scheme == "group":
        assigned = _group(catalog, seed)
    elif scheme in ("column", "date"):
        if not by:
            raise UserError(f"`split_scheme` {scheme} needs `split_by`, the column to split by")
        if scheme == "column":
            assigned, notes = split_by_column(catalog, by, seed)
        else:
            assigned, notes = split_by_date(catalog, by)
        scheme = f"{scheme} {by}"
    elif scheme in FOLD_SCHEMES:
        left_from = grouped_by_column(catalog, by)
        folds = num_folds(left_from, scheme, folds)
        check_fold(fold, folds)
        if scheme == "logo":
            dealt = one_fold_a_group(left_from)
        else:
            dealt, notes = deal(catalog, seed, folds, by_video=scheme == "random")
        check_each_fold(catalog, dealt, scheme, val_fold=val_fold)
        assigned = assign_fold(len(catalog), dealt, fold, val_fold=val_fold)
        scheme = f"{scheme} {fold} of {folds}"
        if by:
            scheme, notes = f"{scheme} by {by}", left_out(catalog, by, assigned)
    elif scheme.startswith("official") and scheme in SCHEMES:
        number = int(scheme[-1])
        if lists is None:
            assigned = _official(catalog, number)
        else:
            assigned, notes = _official_lists(catalog, number, Path(lists))
    elif scheme.startswith("hmdb") and scheme in SCHEMES:
        assigned, notes = hmdb_lists(catalog, int(scheme[-1]), lists)
    else:
        raise UserError(f"no `split_scheme` {scheme!r}: choose from {', '.join(SCHEMES)}")
    notes = (*catalog.group_notes, *notes, *_lacking(catalog, assigned))
    split = Split(catalog, scheme, tuple(assigned), notes)
    _check_not_empty(split)
    return split


def _lacking(catalog: Catalog, assigned: Sequence[str | None]) -> Iterator[str]:
    """A sentence for val and for test if classes have no video in it."""
    pairs = {(v.label, name) for v, name in zip(catalog.videos, assigned, strict=True)}
    used = {name for _, name in pairs}
    for name in ("val", "test"):
        if name in used and (
            lacking := [label for label in catalog.class_names if (label, name) not in pairs]
        ):
            yield (
                f"{len(lacking)} of {len(catalog.class_names)} classes have no {name} video: "
                f"{first_names(lacking)}."
            )


def _check_not_empty(split: Split) -> None:
    for name in ("train", "test"):  # not every recipe needs val
        if not split.sizes[name]:
            raise UserError(
                f"split scheme {split.scheme} puts no video of {split.catalog.root} into {name}: "
                "add videos, or choose another `split_scheme`"
            )
    trained = {video.label for video in split.videos("train")}
    if missing := [name for name in split.catalog.class_names if name not in trained]:
        raise UserError(untrained(split.scheme, missing[0]))


def _csv(catalog: Catalog) -> list[str | None]:
    for video in catalog.videos:
        if video.split is None:
            raise UserError(
                f"{video.key} has no split: fill the CSV's split column with train, val or test "
                "for every video, or choose another `split_scheme`"
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
        members[video.label or ""].append(index)
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
            f"{stranger.key} has none: choose another `split_scheme`"
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
                f"{file} cannot be read ({error}): `split_lists` must name UCF-101's "
                "ucfTrainTestlist folder"
            ) from None
        for line in lines:
            if line.strip():
                listed[_listed_name(line.split()[0])] = name
    assigned: list[str | None] = []
    for video in catalog.videos:
        listed_name = _listed_name(video.path)
        part = listed.pop(listed_name) if listed_name in listed else None
        assigned.append("val" if part == "train" and video.ucf_group in _OFFICIAL_VAL else part)
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
    if catalog.is_ucf and all((video.ucf_group or 0) <= 25 for video in catalog.videos):
        assigned = _by_ucf_group(catalog, _GROUP_TEST, _GROUP_VAL)
        found = Counter(
            (video.label, split) for video, split in zip(catalog.videos, assigned, strict=True)
        )
        full = all(found[label, split] for label in catalog.class_names for split in SPLITS)
        # A CSV may give such names groups of its own, that the numbers would split.
        if full and not Split(catalog, "group", tuple(assigned)).leak.has_leakage:
            return assigned
    return _draw_groups(catalog, seed)


def _draw_groups(catalog: Catalog, seed: int) -> list[str | None]:
    from sklearn.model_selection import StratifiedKFold

    labels, groups = labels_and_groups(catalog)
    for name, count in zip(catalog.class_names, group_counts(labels, groups), strict=True):
        if count < 3:
            raise UserError(
                f"class {name!r} has videos of {count} group(s), and a "
                "leak-free split needs at least 3, one each for train, val and test: "
                "add videos of it, or give a split column in a CSV" + long_recording_hint(catalog)
            )
    assigned = np.array(["train"] * len(catalog), dtype=object)
    rest = np.arange(len(catalog))

    def leaves(fold: np.ndarray, groups_left: int) -> bool:
        kept = np.setdiff1d(rest, fold, assume_unique=True)
        found = group_counts(labels[kept], groups[kept])
        return len(found) == len(catalog.class_names) and min(found) >= groups_left

    for name, left in (("test", 2), ("val", 1)):  # groups that each class has left after it
        num_groups = int(np.count_nonzero(np.bincount(groups[rest])))
        folds = min(5, num_groups, int(np.bincount(labels[rest]).max()))
        # If every video is its own group the two rules are the same, and keeping groups together
        # takes longer.
        if num_groups == len(rest):
            splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
            found = [fold for _, fold in quietly(splitter.split(rest, labels[rest]))]
        else:
            found = stratified_group_folds(labels[rest], groups[rest], folds, seed)
        candidates = [rest[fold] for fold in found]
        if not (allowed := [fold for fold in candidates if leaves(fold, left)]):
            # Few groups, some of several classes: taking a single one always leaves enough.
            allowed = [rest[groups[rest] == group] for group in np.unique(groups[rest])]
        chosen = min(allowed, key=lambda fold: _imbalance(labels, rest, fold))
        assigned[chosen] = name
        rest = np.setdiff1d(rest, chosen, assume_unique=True)
    return list(assigned)


def _imbalance(labels: np.ndarray, rest: np.ndarray, fold: np.ndarray) -> float:
    """Distance of a fold's class counts from a fifth of each class; a missing class costs most."""
    wanted = np.bincount(labels[rest], minlength=labels.max() + 1) / 5
    counts = np.bincount(labels[fold], minlength=labels.max() + 1)
    return float(np.abs(counts - wanted).sum() + len(labels) * (counts == 0).sum())
