from pathlib import Path

import pytest

from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import Catalog, open_catalog
from ar3d_keras.videos.dataset import open_data
from ar3d_keras.videos.grouping import column_values, group_videos
from ar3d_keras.videos.splits import make_split
from ar3d_keras.videos.video import Video, labelled_video


def catalog_of(*paths, label=None):
    videos = [labelled_video(path, label or path.split("/")[0]) for path in paths]
    return Catalog(Path("/d"), tuple(videos))


def with_column(name, **values):
    return Catalog(
        "/d", tuple(Video(path, "c", None, None, {name: v}) for path, v in values.items())
    )


def groups(catalog):
    return [video.group for video in catalog.videos]


PATHS = "a/lab_x_1.mp4", "a/lab_y_1.mp4", "b/lab_x_2.mp4"


@pytest.mark.parametrize(
    "rule",
    [r"lab_(\w)_", r"(lab)_(?P<group>\w)_", r"(?:lab)_(.)", r"/lab_(?P<group>[xy])"],
)
def test_an_expression_gives_its_named_or_first_group(rule):
    assert groups(group_videos(catalog_of(*PATHS), rule)) == ["x", "y", "x"]


def test_an_expression_is_searched_in_the_path():
    assert groups(group_videos(catalog_of(*PATHS), r"^(\w)/")) == ["a", "a", "b"]


def test_it_replaces_the_groups_that_names_have():
    catalog = catalog_of("a/v_a_g01_c01.avi", "a/v_a_g02_c01.avi", "b/v_b_g01_c01.avi")
    assert groups(catalog) == ["a_g01", "a_g02", "b_g01"]
    assert groups(group_videos(catalog, r"_g(\d+)_")) == ["01", "02", "01"]


def test_videos_without_a_match_are_counted_and_named_and_have_no_group():
    catalog = group_videos(catalog_of(*PATHS, "b/other.mp4"), r"_(x|y)_")
    assert groups(catalog) == ["x", "y", "x", None]
    (note,) = catalog.group_notes
    assert "1 of 4" in note
    assert "'b/other.mp4'" in note


def test_a_group_that_takes_no_part_in_the_match_is_none():
    assert groups(group_videos(catalog_of(*PATHS), r"lab_(?:x|(y))_")) == [None, "y", None]


@pytest.mark.parametrize(
    "rule", ["lab_(", "[", "(?P<group>", "lab_x", "lab", "zzz(.)", "(lab)", ""]
)
def test_rules_that_cannot_group_are_refused(rule):
    with pytest.raises(UserError, match="`group_by`"):
        group_videos(catalog_of(*PATHS), rule)


def test_a_rule_that_groups_nothing_says_so():
    assert len(group_videos(catalog_of(*PATHS), "(.+)").group_notes) == 1


def test_a_column_gives_groups():
    catalog = with_column("Camera", a="left", b=" left ", c="right", d="")
    grouped = group_videos(catalog, "column:camera")
    assert groups(grouped) == ["left", "left", "right", None]
    assert "1 of 4" in grouped.group_notes[0]


@pytest.mark.parametrize("rule", ["column:site", "column:", "column:label"])
def test_a_missing_column_is_refused(rule):
    with pytest.raises(UserError, match="`group_by`"):
        group_videos(with_column("camera", a="1", b="2"), rule)


def test_a_constant_or_empty_column_is_refused():
    for values in ({"a": "1", "b": "1"}, {"a": "", "b": " "}):
        with pytest.raises(UserError, match="`group_by`"):
            group_videos(with_column("camera", **values), "column:camera")


def test_values_of_the_group_column():
    catalog = Catalog(Path("/d"), (Video("a", "c", "g1"), Video("b", "c")))
    assert column_values(catalog, "group", "split_by") == ["g1", ""]


def test_parent_is_the_folder_inside_the_class_folder():
    catalog = catalog_of("a/r1/1.mp4", "a/r2/1.mp4", "b/r1/2.mp4", "b/3.mp4")
    assert groups(group_videos(catalog, "parent")) == ["r1", "r2", "r1", None]
    catalog = catalog_of("tapes/t1/1.mp4", "tapes/t2/1.mp4", label="jump")
    assert groups(group_videos(catalog, "parent")) == ["tapes/t1", "tapes/t2"]


def test_parent_needs_folders():
    with pytest.raises(UserError, match="`group_by`"):
        group_videos(catalog_of("a/1.mp4", "b/1.mp4"), "parent")


def make(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"\0\0\0\x18ftypmp42" + path.encode())


def test_parent_takes_the_videos_below_class_folders(tmp_path):
    paths = [f"{c}/r{r}/{n}.mp4" for c in "ab" for r in range(3) for n in range(2)]
    make(tmp_path, *paths, "a/single.mp4")
    assert len(open_catalog_or_none(tmp_path)) <= 1
    catalog = open_data(tmp_path, "parent")
    assert sorted(video.path for video in catalog.videos) == sorted([*paths, "a/single.mp4"])
    assert {video.label for video in catalog.videos} == {"a", "b"}
    assert {video.group for video in catalog.videos} == {"r0", "r1", "r2", None}
    assert not make_split(catalog, "group").leak.has_leakage


def open_catalog_or_none(folder):
    try:
        return open_catalog(folder)
    except UserError:
        return ()


def test_parent_takes_nested_videos_of_given_splits(tmp_path):
    make(tmp_path, *(f"{s}/{c}/0.mp4" for s in ("train", "val", "test") for c in "ab"))
    make(tmp_path, *(f"{s}/{c}/r{s}/1.mp4" for s in ("train", "val", "test") for c in "ab"))
    catalog = open_data(tmp_path, "parent")
    assert len(catalog) == 12
    assert {(v.split, v.group) for v in catalog.videos if v.group} == {
        (s, f"r{s}") for s in ("train", "val", "test")
    }


def test_the_notes_are_in_the_split(tmp_path):
    paths = [f"{c}/r{r}_{n}.mp4" for c in "ab" for r in range(3) for n in range(2)]
    catalog = group_videos(catalog_of(*paths, "b/odd.mp4"), r"(r\d)_")
    assert catalog.group_notes[0] in make_split(catalog, "group").notes


def test_groups_change_the_fingerprint():
    catalog = catalog_of(*PATHS)
    assert group_videos(catalog, "lab_(.)").fingerprint != catalog.fingerprint


def test_an_empty_rule_is_refused(tmp_path):
    make(tmp_path, "a/1.mp4", "b/1.mp4")
    with pytest.raises(UserError, match="`group_by`"):
        open_data(tmp_path, "")


def segments_of(*rows):
    """Segments of one file: label, start, end."""
    return Catalog(
        Path("/d"), tuple(Video("a.mp4", c, "a.mp4", start=s, end=e) for c, s, e in rows)
    )


def test_blocks_of_time_group_the_segments_of_a_long_file():
    rows = ("x", 0, 5), ("y", 58, 63), ("y", 60.5, 70), ("x", 119.9999, 125), ("x", 200, None)
    assert groups(group_videos(segments_of(*rows), "block:60")) == [
        "a.mp4#t=0,60",
        "a.mp4#t=0,60",
        "a.mp4#t=0,60",  # it overlaps the one before, so they have frames in common
        "a.mp4#t=120,180",
        "a.mp4#t=180,240",
    ]
    assert groups(group_videos(segments_of(*rows), "block:1:00")) == groups(
        group_videos(segments_of(*rows), "block:60")
    )


@pytest.mark.parametrize("rule", ["block:", "block:0", "block:-5", "block:1,5", "block:x"])
def test_a_block_needs_a_length(rule):
    with pytest.raises(UserError, match="`group_by`"):
        group_videos(segments_of(("x", 0, 5), ("y", 60, 65)), rule)


def test_blocks_need_segments():
    with pytest.raises(UserError, match="`group_by`"):
        group_videos(catalog_of(*PATHS), "block:60")


def test_a_file_in_several_splits_is_in_the_leak_report():
    rows = [("xy"[n % 2], 10 * n, 10 * n + 5) for n in range(20)]
    catalog = group_videos(segments_of(*rows), "block:20")
    leak = make_split(catalog, "group").leak
    assert leak.divided_files == 1
    assert not leak.has_leakage
    assert "1 files" in leak.sentences()[0]
    with pytest.raises(UserError, match="block:"):  # the error of one group names the way out
        make_split(segments_of(*rows), "group")
