import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.grouping import group_videos
from ar3d_keras.videos.pieces import find_pieces, piece_of
from ar3d_keras.videos.splits import SPLITS, Split, make_split
from ar3d_keras.videos.video import Video, labelled_video


def videos_of(*paths):
    return [labelled_video(path, path.split("/")[0]) for path in paths]


def recordings_of(*paths):
    found = find_pieces(videos_of(*paths)).recordings
    return {name: {video.path for video in videos} for name, videos in found.items()}


@pytest.mark.parametrize(
    "marker",
    [
        *("_s000001", "-003", " (2)", "(2)", "_00012_00015", "_part2", ".001", "-Scene-004"),
        *("_0.50_2.75", "-00.00.01.000-00.00.05.000", "_clip3", " part 2", "-2", "_07"),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".3gp", ""])
def test_a_marker_is_what_follows_the_recording(marker, suffix):
    assert piece_of(f"c/lab cam{marker}{suffix}")[0] == "lab cam"


@pytest.mark.parametrize(
    "name",
    [
        *("0001.mp4", "12.avi", "2_7.mp4", "holiday.mp4", "person01.avi", "v_20240131.mp4"),
        *("cam_20240131_101500.mp4", "20240131-101500.mp4", "(1).mp4", "x_s1a.mp4", "001-002"),
    ],
)
def test_other_names_have_none(name):
    assert piece_of(f"c/{name}") is None


def test_two_pieces_make_a_recording_across_classes_and_with_the_bare_name():
    assert recordings_of(
        "jump/tape_s000001.mp4", "run/tape_s000002.mp4", "run/other_s000003.mp4",
        "run/b.mp4", "run/b (2).mp4",
    ) == {
        "tape": {"jump/tape_s000001.mp4", "run/tape_s000002.mp4"},
        "b": {"run/b.mp4", "run/b (2).mp4"},
    }  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        *("{}.mp4", "IMG_{:04}.MOV", "clip_{:03}.mp4", "wave_{:02}.mp4", "my wave ({}).mp4"),
        *("w_{}.mp4", "v_Wave_g{:02}_c01.avi", "dQw4w9WgXcQ_{:06}_000099.mp4"),
        "film{}_wave_f_cm_np1_fr_med_{}.avi",
    ],
)
def test_numbered_recordings_are_no_pieces(names):
    paths = [f"wave/{names.format(number, number)}" for number in range(1, 6)]
    assert recordings_of(*paths) == {}


def test_numbers_are_pieces_where_a_class_has_two_recordings():
    found = recordings_of(*(f"wave/{r}-{n}.mp4" for r in ("wave a", "wave b") for n in range(3)))
    assert {name: len(videos) for name, videos in found.items()} == {"wave a": 3, "wave b": 3}


def test_a_known_group_is_not_questioned():
    videos = [dataclasses.replace(video, group="g") for video in videos_of("c/x_s001", "c/x_s002")]
    assert not len(find_pieces(videos))
    assert find_pieces(videos).rule == ""


names = st.text("ab1 2_-.(s)p", min_size=1, max_size=8)
markers = st.sampled_from(
    [
        "",
        "_s0001",
        "_s0002",
        "-1",
        "-2",
        " (2)",
        "_3_4",
        "_20200101_1010",
        ".001",
        "_part1",
        "-pt 2",
    ]
)
paths = st.builds(
    lambda label, name, marker, suffix: f"{label}/{name}{marker}{suffix}",
    *(st.sampled_from(["a", "walk"]), names, markers, st.sampled_from([".mp4", ".b1", ""])),
)


@given(st.lists(paths, min_size=1, max_size=8, unique=True))
def test_the_proposed_rule_groups_the_pieces_as_they_were_found(paths):
    videos = videos_of(*paths)
    found = find_pieces(videos)
    assert all(len(pieces) > 1 for pieces in found.recordings.values())
    assert bool(found.rule) == bool(found.recordings)
    if not found.rule:
        return
    other = Video("other/0", "other")  # one group alone is refused
    catalog = Catalog(Path("/"), tuple(sorted([*videos, other], key=lambda video: video.path)))
    groups = {video.path: video.group for video in group_videos(catalog, found.rule).videos}
    for name, pieces in found.recordings.items():
        assert {groups[video.path] for video in pieces} == {name}
    assert None not in groups.values()


@given(
    st.lists(
        st.from_regex(r"[a-z]{3,6}[0-9]?", fullmatch=True), min_size=1, max_size=5, unique=True
    ),
    st.sampled_from(["_s{:06}", "_part{}", "-scene-{:03}"]),
    st.integers(2, 5),
)
def test_all_pieces_of_all_recordings_are_found(recordings, marker, count):
    paths = [f"c{n % 2}/{name}{marker.format(n)}.mp4" for name in recordings for n in range(count)]
    assert {name: len(videos) for name, videos in recordings_of(*paths).items()} == dict.fromkeys(
        recordings, count
    )


def a_catalog(**options):
    videos = [
        labelled_video(f"{label}/{tape}_s{n:06}.mp4", label)
        for label in "ab"
        for tape in ("t1", "t2", "t3", "t4", "t5")
        for n in range(4)
    ]
    return Catalog(Path("/data set"), tuple(videos), **options)


def test_pieces_in_two_splits_make_the_leak_report_loud_and_it_names_the_command():
    catalog = a_catalog(source="/data set/my.csv")
    leak = make_split(catalog, "group").leak
    assert leak.has_leakage
    assert (leak.pieces, leak.recordings) == (40, 5)
    assert leak.torn_recordings == 5
    (sentence,) = leak.sentences()
    assert "unknown" in sentence.lower()
    assert "No leak" not in sentence
    rule = find_pieces(catalog.videos).rule
    assert leak.group_command == f"python train.py --data '/data set/my.csv' --group-by '{rule}'"
    assert leak.group_command in sentence
    # The command does what it promises.
    grouped = make_split(group_videos(catalog, rule), "group").leak
    assert not grouped.has_leakage
    assert grouped.pieces == grouped.ungrouped == 0
    assert grouped.sentences()[0].startswith("No leak")


def test_pieces_in_one_split_are_named_without_alarm():
    catalog = a_catalog()
    split_of = {"t1": "test", "t2": "val"}
    assigned = tuple(split_of.get(v.path[2:4], "train") for v in catalog.videos)
    assert set(assigned) == set(SPLITS)
    leak = Split(catalog, "csv", assigned).leak
    assert (leak.pieces, leak.torn_recordings, leak.has_leakage) == (40, 0, False)
    assert "No leak" not in " ".join(leak.sentences())
