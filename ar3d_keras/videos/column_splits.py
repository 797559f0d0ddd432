"""Splits by a column of the CSV: no value in two splits, a value left out, or by date."""

import dataclasses
import datetime
from collections.abc import Sequence

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import Catalog, first_names
from ar3d_keras.videos.folds import labels_and_groups
from ar3d_keras.videos.grouping import column_values

TRIALS = 200  # orders of the values that are tried; the best one is taken
TEST, VAL = 0.2, 0.16  # shares of the videos; training has the rest


def split_by_column(
    catalog: Catalog, column: str, seed: int
) -> tuple[list[str | None], tuple[str, ...]]:
    """Divides the values of a column so that none is in two splits, about 64/16/20 by videos.

    Of many random divisions it takes the one whose sizes and classes are closest to that.

    Args:
        catalog: the videos.
        column: its values are divided.
        seed: of the random divisions.

    Returns:
        The split of each video, and notes.

    Raises:
        UserError: the column is missing or has empty cells or fewer than three values; or every
            division leaves a class without a training video.
    """
    values = np.array(_full_column(catalog, column, "column"))
    names, places = np.unique(values, return_inverse=True)
    _check_values(catalog, column, names.tolist(), "column")
    labels, _ = labels_and_groups(catalog)
    counts = np.zeros((len(names), len(catalog.class_names)))
    np.add.at(counts, (places, labels), 1)
    draw = np.random.default_rng(np.random.SeedSequence((seed, 3)))
    test, val = min(
        (_cut(counts, draw.permutation(len(names))) for _ in range(TRIALS)),
        key=lambda parts: _cost(counts, *parts),
    )
    split_of = np.full(len(names), "train", dtype=object)
    split_of[test], split_of[val] = "test", "val"
    notes = (
        f"No value of column {column!r} is in two splits: test has {_listed(names[test])}, "
        f"val has {_listed(names[val])}.",
    )
    return list(split_of[places]), notes


def _cut(counts: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values of test and of val: the first ones of an order, as near to the shares as it goes."""
    share = counts.sum(axis=1)[order].cumsum() / counts.sum()
    test = 1 + int(np.abs(share[:-2] - TEST).argmin())
    val = test + 1 + int(np.abs(share[test:-1] - share[test - 1] - VAL).argmin())
    return np.sort(order[:test]), np.sort(order[test:val])


def _cost(counts: np.ndarray, test: np.ndarray, val: np.ndarray) -> float:
    """Distance of the sizes from the shares, class by class; a class missing in training is worst."""
    videos = counts.sum(axis=0)
    cost = 0.0
    for part, share in ((test, TEST), (val, VAL)):
        held = counts[part].sum(axis=0)
        cost += abs(held.sum() - share * videos.sum()) / videos.sum()
        cost += np.abs(held - share * videos).sum() / videos.sum() + np.mean(held == 0)
    trained = videos - counts[test].sum(axis=0) - counts[val].sum(axis=0)
    return float(cost + 100 * (trained == 0).sum())


def grouped_by_column(catalog: Catalog, column: str | None) -> Catalog:
    """The catalog with a column as the group, so that `logo` leaves out one value after another; None: as it is.

    Raises:
        UserError: the column is missing, has empty cells or fewer than three values.
    """
    if column is None:
        return catalog
    values = _full_column(catalog, column, "logo")
    _check_values(catalog, column, sorted(set(values)), "logo")
    videos = (
        dataclasses.replace(video, group=value)
        for video, value in zip(catalog.videos, values, strict=True)
    )
    return dataclasses.replace(catalog, videos=tuple(videos))


def left_out(catalog: Catalog, column: str, assigned: Sequence[str | None]) -> tuple[str, ...]:
    """The note that names the values of a fold of `logo`."""
    values = column_values(catalog, column, "split_by")
    held = {
        name: sorted({v for v, split in zip(values, assigned, strict=True) if split == name})
        for name in ("test", "val")
    }
    return (f"Column {column!r}: test is {_listed(held['test'])}, val is {_listed(held['val'])}.",)


def split_by_date(catalog: Catalog, column: str) -> tuple[list[str | None], tuple[str, ...]]:
    """Trains on the earliest videos, about 64 %, validates on the next 16, tests on the latest 20.

    Videos of one date, or of one date and time, are in one split.

    Args:
        catalog: the videos.
        column: ISO 8601 dates or dates with times, such as 2024-01-31 or 2024-01-31T10:15:00.

    Returns:
        The split of each video, and notes.

    Raises:
        UserError: the column is missing, a value is empty or no date, some have a time zone and
            others do not, or there are fewer than three dates.
    """
    values = _full_column(catalog, column, "date")
    dates = [_date(video.path, column, v) for video, v in zip(catalog.videos, values, strict=True)]
    if len({date.tzinfo is None for date in dates}) > 1:
        place = next(
            n for n, d in enumerate(dates) if (d.tzinfo is None) != (dates[0].tzinfo is None)
        )
        raise UserError(
            f"column {column!r}: {values[0]!r} of {catalog.videos[0].path} and {values[place]!r} of "
            f"{catalog.videos[place].path} do not compare: give all of them a time zone, or none"
        )
    moments = sorted(set(dates))
    _check_values(catalog, column, moments, "date")
    order = {moment: place for place, moment in enumerate(moments)}
    places = np.array([order[date] for date in dates])
    share = np.bincount(places).cumsum() / len(dates)
    val = 1 + int(np.abs(share[:-2] - (1 - TEST - VAL)).argmin())
    test = val + 1 + int(np.abs(share[val:-1] - (1 - TEST)).argmin())
    note = (
        f"Column {column!r}: train ends with {moments[val - 1].isoformat(' ')}, val is from "
        f"{moments[val].isoformat(' ')} on and test from {moments[test].isoformat(' ')} on."
    )
    return ["test" if p >= test else "val" if p >= val else "train" for p in places], (note,)


def _date(path: str, column: str, value: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(value)
    except ValueError:
        raise UserError(
            f"the row of {path}: {column} {value!r} is not a date: write it as 2024-01-31 or "
            "2024-01-31T10:15:00"
        ) from None


def _full_column(catalog: Catalog, column: str, scheme: str) -> list[str]:
    values = column_values(catalog, column, "split_by")
    empty = [v.path for v, value in zip(catalog.videos, values, strict=True) if not value]
    if empty:
        raise UserError(
            f"`split_scheme` {scheme} needs a value for every video, and column {column!r} is "
            f"empty for {len(empty)} of {len(values)} ({first_names(empty)}): fill it in"
        )
    return values


def _check_values(catalog: Catalog, column: str, values: Sequence, scheme: str) -> None:
    if len(values) < 3:
        raise UserError(
            f"`split_scheme` {scheme} needs at least 3 values (train, val, test), and column "
            f"{column!r} of {catalog.root} has {len(values)} "
            f"({first_names([str(value) for value in values])}): choose another column or scheme"
        )


def _listed(names: Sequence[str]) -> str:
    return first_names([str(name) for name in names])
