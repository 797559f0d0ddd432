import datetime
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ar3d_keras.config import DataConfig
from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.column_splits import grouped_by_column
from ar3d_keras.videos.folds import num_folds
from ar3d_keras.videos.splits import make_split
from ar3d_keras.videos.video import Video


def catalog_of(rows, column="site"):
    """Videos of (label, value) pairs."""
    videos = [
        Video(f"{n:04}.avi", label, extra={column: value}) for n, (label, value) in enumerate(rows)
    ]
    return Catalog(Path("/d"), tuple(videos))


def splits_of_values(split, column="site"):
    found = defaultdict(set)
    for video, name in zip(split.catalog.videos, split.assigned, strict=True):
        found[video.extra[column]].add(name)
    return found


def sites(*counts, labels="ab"):
    return catalog_of(
        [(label, f"s{n}") for n, count in enumerate(counts) for label in labels]
        + [(labels[k % len(labels)], f"s{n}") for n, c in enumerate(counts) for k in range(c)]
    )


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=3, max_size=12), st.integers(0, 2**32 - 1))
def test_no_value_is_in_two_splits_and_every_split_has_videos(counts, seed):
    split = make_split(sites(*counts), "column", by="site", seed=seed)
    assert all(len(names) == 1 for names in splits_of_values(split).values())
    assert all(split.sizes.values())
    assert make_split(sites(*counts), "column", by="site", seed=seed).assigned == split.assigned


def test_sizes_are_about_64_16_20():
    for seed in range(5):
        split = make_split(sites(*[8] * 25), "column", by="site", seed=seed)
        assert split.sizes == {"train": 160, "val": 40, "test": 50}
        assert split.scheme == "column site"


def test_another_seed_divides_otherwise():
    divided = {make_split(sites(*[8] * 25), "column", by="site", seed=s).assigned for s in range(5)}
    assert len(divided) == 5


def test_a_class_of_one_value_stays_in_training():
    rows = [("rare", "s0")] * 3 + [(label, f"s{n}") for n in range(6) for label in "ab"] * 2
    split = make_split(catalog_of(rows), "column", by="site")
    assert splits_of_values(split)["s0"] == {"train"}


def test_the_column_is_found_without_case():
    assert make_split(sites(3, 3, 3), "column", by="SITE").sizes["train"]


@pytest.mark.parametrize("scheme", ["column", "logo", "date"])
@pytest.mark.parametrize(
    "values", [("x",) * 4, ("2024-01-01", "2024-01-02") * 2, ("2024-01-01", "", "b", "c")]
)
def test_columns_that_cannot_split_are_refused(scheme, values):
    with pytest.raises(UserError):
        make_split(catalog_of([(label, v) for v in values for label in "ab"]), scheme, by="site")


@pytest.mark.parametrize("scheme", ["column", "logo", "date"])
def test_a_missing_column_is_refused(scheme):
    with pytest.raises(UserError, match="`split_by`"):
        make_split(sites(3, 3, 3), scheme, by="camera")


def test_logo_leaves_out_one_value_a_fold():
    catalog = sites(4, 2, 3, 5)
    assert num_folds(grouped_by_column(catalog, "site"), "logo") == 4
    tested = []
    for fold in range(1, 5):
        split = make_split(catalog, "logo", by="site", fold=fold)
        (test,) = {video.extra["site"] for video in split.videos("test")}
        (val,) = {video.extra["site"] for video in split.videos("val")}
        tested.append(test)
        assert val == f"s{fold % 4}"
        assert split.scheme == f"logo {fold} of 4 by site"
        assert test in split.notes[0]
        assert all(video.group is None for video in split.catalog.videos)
    assert tested == ["s0", "s1", "s2", "s3"]


DAYS = st.integers(0, 60).map(lambda n: datetime.date(2024, 1, 1) + datetime.timedelta(n))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("ab"), DAYS), min_size=6, max_size=60))
def test_dates_are_in_order_and_equal_ones_together(rows):
    assume(len({day for _, day in rows}) >= 3)
    catalog = catalog_of([(label, day.isoformat()) for label, day in rows], "recorded")
    try:
        split = make_split(catalog, "date", by="recorded")
    except UserError:  # a class is not in training
        return
    days = {name: [v.extra["recorded"] for v in split.videos(name)] for name in split.sizes}
    assert max(days["train"]) < min(days["val"])
    assert max(days["val"]) < min(days["test"])


def test_dates_are_divided_64_16_20():
    rows = [("ab"[n % 2], f"2024-01-01T{n // 60:02}:{n % 60:02}") for n in range(100)]
    split = make_split(catalog_of(rows[::-1], "recorded"), "date", by="recorded")
    assert split.sizes == {"train": 64, "val": 16, "test": 20}
    assert split.scheme == "date recorded"


def test_dates_with_and_without_times_and_zones():
    values = ["2024-01-01", "2024-01-01T12:00", "2024-01-02 01:00:30.5"]
    rows = [(label, value) for value in values for label in "ab"]
    split = make_split(catalog_of(rows), "date", by="site")
    assert splits_of_values(split) == dict(zip(values, [{"train"}, {"val"}, {"test"}], strict=True))
    # 01:00 in Seoul is earlier than 00:00 UTC of the same day.
    zoned = ["2024-01-02T00:00Z", "2024-01-02T01:00+09:00", "2024-01-02T12:00+00:00"]
    rows = [(label, value) for value in zoned for label in "ab"]
    assert splits_of_values(make_split(catalog_of(rows), "date", by="site")) == {
        zoned[0]: {"val"}, zoned[1]: {"train"}, zoned[2]: {"test"}
    }  # fmt: skip


@pytest.mark.parametrize("bad", ["31.12.2023", "2024-02-30", "yesterday", "2024-01-01T10:00Z"])
def test_what_is_no_date_is_refused_by_row(bad):
    rows = [(label, f"2024-01-0{n}") for n in range(1, 6) for label in "ab"]
    rows[7] = ("b", bad)
    with pytest.raises(UserError, match=r"0007\.avi"):
        make_split(catalog_of(rows), "date", by="site")


@pytest.mark.parametrize(
    "options",
    [
        {"split_scheme": "column"}, {"split_scheme": "date"},
        {"split_scheme": "kfold", "split_by": "site"}, {"split_scheme": "csv", "split_by": "site"},
        {"split_scheme": "column", "split_by": "site", "fold": 2},
    ],
)  # fmt: skip
def test_options_that_do_not_go_together(options):
    with pytest.raises(UserError):
        DataConfig(**options).validate()


def test_options_that_do():
    for scheme in ("column", "date", "logo"):
        DataConfig(split_scheme=scheme, split_by="site").validate()
