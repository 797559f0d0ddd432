"""A share of the training videos: nested, seeded, whole groups, every class."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.shares import keep_share
from ar3d_keras.videos.splits import Split
from ar3d_keras.videos.video import Video


def split_of(rows):
    """rows: (label, group, split) of each video."""
    videos = tuple(
        Video(path=f"{label}/{number}.avi", label=label, group=group)
        for number, (label, group, _) in enumerate(rows)
    )
    return Split(Catalog(Path("data"), videos), "group", tuple(name for *_, name in rows))


def keys(split):
    return {video.key for video in split.videos("train")}


TESTED = [("a", "t", "test"), ("b", "t", "test"), ("a", "v", "val"), ("b", "v", "val")]
CROSSED = [(label, f"g{g}", "train") for g in range(8) for label in "ab"] + TESTED
SINGLE = [("a", f"a{g}", "train") for g in range(8) for _ in range(2)]
SINGLE += [("b", f"b{g}", "train") for g in range(4)] + TESTED


@pytest.mark.parametrize("rows", [CROSSED, SINGLE])
@given(one=st.floats(0.25, 1), other=st.floats(0.25, 1), seed=st.integers(0, 99))
def test_a_smaller_share_is_a_part_of_a_larger_one(rows, one, other, seed):
    split = split_of(rows)
    small, large = (keep_share(split, share, seed) for share in sorted((one, other)))
    assert keys(small) <= keys(large) <= keys(split)
    for kept in (small, large):
        assert {video.label for video in kept.videos("train")} == {"a", "b"}
        groups = {video.group for video in kept.videos("train")}
        assert keys(kept) == {v.key for v in split.videos("train") if v.group in groups}
        assert kept.videos("test") == split.videos("test")
        assert kept.videos("val") == split.videos("val")


def test_the_share_is_reached_and_classes_stay_balanced():
    kept = keep_share(split_of(SINGLE), 0.5, seed=3)
    labels = [video.label for video in kept.videos("train")]
    assert 10 <= len(labels) <= 11
    assert labels.count("a") == 8  # half of its 16
    assert "0.5" in kept.notes[-1]
    assert keys(keep_share(split_of(CROSSED), 0.5, 0)) != keys(
        keep_share(split_of(CROSSED), 0.5, 1)
    )


def test_the_whole_is_the_split_itself():
    split = split_of(CROSSED)
    assert keep_share(split, 1.0, 0) is split


def test_videos_without_a_group_are_groups_of_their_own():
    rows = [("a", None, "train")] * 4 + [("b", None, "train")] * 4
    assert len(keys(keep_share(split_of(rows), 0.5, 0))) == 4


def test_a_class_without_videos_is_refused(user_error):
    with user_error("`train_share` 0.01", "class"):
        keep_share(split_of(SINGLE), 0.01, 0)
