import csv
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.class_folders import NESTED, OUTSIDE
from ar3d_keras.videos.frame_folder import frame_files, natural_key
from ar3d_keras.videos.video import ReadError
from ar3d_keras.videos.video_files import (
    AUDIO,
    EMPTY,
    FOREIGN,
    HIDDEN,
    IMAGE,
    LOOP,
    OTHER,
    OTHER_PATTERN,
    SPECIAL,
)

CSV = "path,label\na/1.avi,a\nb/1.avi,b\n"


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def paths(catalog):
    return [video.path for video in catalog.videos]


def by_path(catalog):
    return {video.path: video for video in catalog.videos}


def ignored(catalog):
    return dict(catalog.ignored)


def csv_file(tmp_path, text, name="list.csv"):
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


# Class folders


def test_class_folders(tmp_path):
    touch(tmp_path, "run/b.avi", "run/a.MP4", "jump/c.mkv", "jump/notes.txt", "README.md")
    catalog = open_catalog(tmp_path)
    assert paths(catalog) == ["jump/c.mkv", "run/a.MP4", "run/b.avi"]
    assert [video.label for video in catalog.videos] == ["jump", "run", "run"]
    assert catalog.class_names == ("jump", "run")
    assert catalog.root == tmp_path.resolve()
    assert len(catalog) == 3
    assert not catalog.is_ucf
    assert {video.group for video in catalog.videos} == {None}


def test_data_may_be_text_and_relative(tmp_path, monkeypatch):
    touch(tmp_path / "data", "a/1.avi", "b/1.avi")
    monkeypatch.chdir(tmp_path)
    assert open_catalog("data").root == (tmp_path / "data").resolve()


def test_order_does_not_depend_on_the_file_system(tmp_path):
    names = [f"{label}/{number}.avi" for label in "ab" for number in range(30)]
    for folder, seed in (("one", 1), ("two", 2)):
        random.Random(seed).shuffle(names)
        touch(tmp_path / folder, *names)
    first, second = open_catalog(tmp_path / "one"), open_catalog(tmp_path / "two")
    assert paths(first) == paths(second) == sorted(names)
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize(
    "name",
    ["two words.avi", "한글 영상.avi", "line\nbreak.avi", "return\rback.avi", "-x.avi", "%d.avi"],
)
def test_names_with_odd_characters(tmp_path, name):
    touch(tmp_path, f"달리기 🏃/{name}", "b c/1.avi")
    assert f"달리기 🏃/{name}" in paths(open_catalog(tmp_path))


def test_a_name_that_is_not_utf8(tmp_path):
    touch(tmp_path, "a/1.avi", "b/1.avi", os.fsdecode(b"a/caf\xe9.avi"))
    catalog = open_catalog(tmp_path)
    assert os.fsencode(paths(catalog)[1]) == b"a/caf\xe9.avi"
    assert len(catalog.fingerprint) == 16


def test_hidden_files_are_ignored(tmp_path):
    touch(tmp_path, "a/1.avi", "b/1.avi", ".hidden/1.avi", "a/._1.avi", "a/.cut/1.jpg")
    touch(tmp_path, "a/frames/1.jpg", "a/frames/._1.jpg", "a/only_hidden/._1.jpg")
    assert paths(open_catalog(tmp_path)) == ["a/1.avi", "a/frames", "b/1.avi"]
    assert [file.name for file in frame_files(tmp_path / "a/frames")] == ["1.jpg"]


def test_empty_class_folders_are_no_classes(tmp_path):
    touch(tmp_path, "a/1.avi", "b/1.avi", "notes/x.txt")
    (tmp_path / "empty").mkdir()
    catalog = open_catalog(tmp_path)
    assert catalog.class_names == ("a", "b")
    assert ignored(catalog) == {"empty": EMPTY, "notes": EMPTY, "notes/x.txt": OTHER}
    assert any("'empty', 'notes'" in note for note in catalog.notes)


def test_folders_of_frames(tmp_path):
    touch(tmp_path, *(f"a/clip/img_{n}.jpg" for n in (10, 9, 1, 2)), "b/1.avi")
    assert paths(open_catalog(tmp_path)) == ["a/clip", "b/1.avi"]
    names = [file.name for file in frame_files(tmp_path / "a/clip")]
    assert names == ["img_1.jpg", "img_2.jpg", "img_9.jpg", "img_10.jpg"]
    assert frame_files(tmp_path / "nothing here") == []


@given(st.sets(st.integers(0, 10**6), min_size=1), st.sampled_from(["", "img_", "v1_f", "2024-"]))
def test_natural_order_is_the_order_of_numbers(numbers, prefix):
    names = [f"{prefix}{number}.jpg" for number in numbers]
    assert sorted(names, key=natural_key) == [f"{prefix}{n}.jpg" for n in sorted(numbers)]


@settings(max_examples=50)
@given(st.lists(st.text()))
def test_any_names_can_be_sorted(names):
    sorted(names, key=natural_key)


def test_superscripts_are_no_numbers(tmp_path):
    assert len(frame_files(touch(tmp_path, "1²2.jpg", "2²1.jpg", "3²1.jpg"))) == 3


def test_names_of_equal_number_keep_one_order(tmp_path):
    names = ["001.jpg", "01.jpg", "1.jpg"]
    assert [file.name for file in frame_files(touch(tmp_path, *reversed(names)))] == names


# One name pattern a folder of frames


def test_flow_beside_frames_is_not_read(tmp_path):
    """The layout of TSN and mmaction."""
    names = [f"a/clip/{kind}_{n:05}.jpg" for kind in ("img", "flow_x", "flow_y") for n in (1, 2, 3)]
    catalog = open_catalog(touch(tmp_path, *names, "b/1.avi"))
    frames = frame_files(tmp_path / "a/clip")
    assert [file.name for file in frames] == ["img_00001.jpg", "img_00002.jpg", "img_00003.jpg"]
    assert ignored(catalog) == {
        "a/clip/flow_x_#.jpg (3 images)": OTHER_PATTERN,
        "a/clip/flow_y_#.jpg (3 images)": OTHER_PATTERN,
    }


@pytest.mark.parametrize(
    ("names", "patterns"),
    [
        (["1.jpg", "2.jpg", "1.png", "2.png"], ["#.jpg (2)", "#.png (2)"]),
        (["1.jpg", "2.jpg", "1 (1).jpg"], ["#.jpg (2)", "# (#).jpg (1)"]),
        (["1.jpg", "1_mask.png"], ["#.jpg (1)", "#_mask.png (1)"]),
        (["left_1.jpg", "right_1.jpg"], ["left_#.jpg", "right_#.jpg"]),
        (["img_1.jpg", "img_1.png", "flow_x_1.jpg"], ["flow_x_#.jpg", "img_#.jpg", "img_#.png"]),
        (["a.jpg", "b.jpg"], ["a.jpg"]),
    ],
)
def test_images_of_several_patterns_are_refused_by_name(tmp_path, names, patterns):
    touch(tmp_path, *names)
    with pytest.raises(ReadError) as caught:
        frame_files(tmp_path)
    assert all(pattern in str(caught.value) for pattern in patterns)


def test_a_folder_of_several_patterns_is_listed_and_its_scan_names_it(tmp_path):
    catalog = open_catalog(touch(tmp_path, "a/x/1.jpg", "a/x/1.png", "a/1.avi", "b/1.avi"))
    assert paths(catalog) == ["a/1.avi", "a/x", "b/1.avi"]


def test_images_without_a_number_are_no_frames(tmp_path):
    touch(
        tmp_path, "a/clip/1.jpg", "a/clip/2.JPG", "a/clip/cover.jpg", "a/art/cover.jpg", "b/1.avi"
    )
    catalog = open_catalog(tmp_path)
    assert paths(catalog) == ["a/clip", "b/1.avi"]
    assert [file.name for file in frame_files(tmp_path / "a/clip")] == ["1.jpg", "2.JPG"]
    assert ignored(catalog) == {"a/art": EMPTY, "a/clip/cover.jpg (1 images)": OTHER_PATTERN}


@pytest.mark.parametrize(
    "names",
    [
        ["1.0.jpg", "1.15.jpg", "1.2.jpg", "2.jpg", "10.05.jpg"],  # seconds
        ["t=0,25.png", "t=0,5.png", "t=1,0.png"],
        ["c1.8.jpg", "c1.9.jpg", "c1.10.jpg", "c1.11.jpg"],  # numbered parts
        ["10.9.30.jpg", "10.15.30.jpg", "11.0.0.jpg"],  # time of day
        ["2024-01-01 09.59.jpg", "2024-01-01 10.00.jpg", "2024-01-02 00.00.jpg"],
    ],
)
def test_time_stamps_come_in_order(tmp_path, names):
    assert [file.name for file in frame_files(touch(tmp_path, *reversed(names)))] == names


@given(st.sets(st.integers(0, 10**4), min_size=1))
def test_decimal_numbers_come_in_order(tmp_path_factory, hundredths):
    folder = tmp_path_factory.mktemp("frames")
    names = [f"frame_{number / 100}.jpg" for number in sorted(hundredths)]
    assert [file.name for file in frame_files(touch(folder, *names))] == names


# What is taken, and what is not


@pytest.mark.parametrize(
    "name",
    ["1.MTS", "1.m2ts", "1.vob", "1.gif", "1.asf", "1.mxf", "1.dv", "1.3g2", "1.avi ", "1.ogm"],
)
def test_every_container_is_taken_by_name(tmp_path, name):
    assert paths(open_catalog(touch(tmp_path, f"a/{name}", "b/1.avi"))) == [f"a/{name}", "b/1.avi"]


@pytest.mark.parametrize(
    ("head", "taken"),
    [
        (b"RIFF\0\0\0\0AVI LIST", True),
        (b"\0\0\0\x20ftypisom", True),
        (b"\x1aE\xdf\xa3", True),
        (b"OggS" + bytes(24) + b"\x80theora", True),
        (b"\0\0\x01\xba", True),
        ((b"G" + bytes(187)) * 3, True),
        ((bytes(4) + b"G" + bytes(187)) * 3, True),
        (b"RIFF\0\0\0\0WAVEfmt ", False),
        (b"\0\0\0\x20ftypheic", False),
        (b"\0\0\0\x20ftypM4A ", False),
        (b"OggS" + bytes(24) + b"\x01vorbis", False),
        (b"Just text. " * 100, False),
        (b"", False),
    ],
)
@pytest.mark.parametrize("name", ["recording", "recording.001", "readme.nfo"])
def test_other_names_are_recognized_by_content(tmp_path, head, taken, name):
    touch(tmp_path, "a/1.avi", "b/1.avi")
    (tmp_path / "a" / name).write_bytes(head)
    catalog = open_catalog(tmp_path)
    assert (f"a/{name}" in paths(catalog)) == taken
    assert ignored(catalog) == ({} if taken else {f"a/{name}": OTHER})


def test_what_is_not_taken_is_named_with_its_reason(tmp_path):
    touch(tmp_path, "a/1.avi", "b/1.avi", "stray.mp4", "README.md", ".git/config", "a/.DS_Store")
    touch(tmp_path, "a/cover.jpg", "a/sound.wav", "a/notes.txt", "a/.hidden.avi")
    touch(tmp_path, "a/@eaDir/1.avi/thumb_1.jpg", "a/thumbnails/1.jpg", "__MACOSX/a/1.avi")
    touch(tmp_path, "c/deep/1.avi", "c/deep/er/clip/1.jpg", "c/deep/x.txt")
    os.mkfifo(tmp_path / "a/pipe.avi")
    catalog = open_catalog(tmp_path)
    assert paths(catalog) == ["a/1.avi", "b/1.avi"]
    assert ignored(catalog) == {
        "stray.mp4": OUTSIDE,
        "__MACOSX": FOREIGN,
        "a/@eaDir": FOREIGN,
        "a/thumbnails": FOREIGN,
        "a/cover.jpg": IMAGE,
        "a/sound.wav": AUDIO,
        "a/notes.txt": OTHER,
        "a/.hidden.avi": HIDDEN,
        "a/pipe.avi": SPECIAL,
        "c": EMPTY,
        "c/deep/1.avi": NESTED,
        "c/deep/er/clip": NESTED,
    }


def test_notes_count_and_name_the_first(tmp_path):
    touch(tmp_path, "a/1.avi", "b/1.avi", *(f"a/{n}.txt" for n in range(1234)))
    (note,) = open_catalog(tmp_path).notes
    assert "1,234" in note
    assert "'a/0.txt'" in note
    assert len(note) < 200


def test_an_error_says_what_was_not_taken(tmp_path, user_error):
    touch(tmp_path, "a/1.avi", *(f"b/{n}.mpx" for n in range(9)))
    with user_error("'a'", "9", "'b/0.mpx'"):
        open_catalog(tmp_path)


@pytest.mark.parametrize(
    "names", [("Left", "left"), ("Caf\u00e9", "Cafe\u0301"), ("a b", "a_b"), ("a", "a ")]
)
def test_class_names_that_look_alike_are_named(tmp_path, names):
    catalog = open_catalog(touch(tmp_path, *(f"{name}/1.avi" for name in (*names, "other"))))
    assert len(catalog.class_names) == 3
    (note,) = catalog.notes
    assert all(ascii(name) in note for name in names)


def test_what_was_ignored_is_no_part_of_a_catalog(tmp_path):
    touch(tmp_path, "a/1.avi", "b/1.avi")
    before = open_catalog(tmp_path)
    after = open_catalog(touch(tmp_path, "a/x.txt"))
    assert after == before
    assert after.fingerprint == before.fingerprint


# Symbolic links


def test_a_symlinked_class_folder_works(tmp_path):
    touch(tmp_path, "elsewhere/1.avi", "data/b/1.avi")
    (tmp_path / "data/a").symlink_to("../elsewhere")
    (tmp_path / "link").symlink_to("data")
    assert paths(open_catalog(tmp_path / "link")) == ["a/1.avi", "b/1.avi"]


def test_loops_of_links_end(tmp_path):
    touch(tmp_path, "a/1.avi", "b/1.avi")
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "root").symlink_to(".")
    (tmp_path / "b/loop").symlink_to("loop")
    (tmp_path / "b/loop.avi").symlink_to("loop.avi")
    # A video that leads nowhere is listed, so that the probe can name it and count it.
    catalog = open_catalog(tmp_path)
    assert paths(catalog) == ["a/1.avi", "b/1.avi", "b/loop.avi"]
    assert ignored(catalog)["root"] == LOOP


def test_data_that_is_a_loop_of_links(tmp_path, user_error):
    (tmp_path / "loop").symlink_to("loop")
    with user_error("loop", "symbolic links"):
        open_catalog(tmp_path / "loop")


# UCF-101's names


def test_ucf_names(tmp_path):
    touch(
        tmp_path,
        "HandstandPushups/v_HandStandPushups_g07_c02.avi",
        "Archery/v_Archery_g25_c01.avi",
        "Archery/v_Archery_g07_c04/1.jpg",
    )
    catalog = open_catalog(tmp_path)
    assert catalog.is_ucf
    assert [(video.ucf_group, video.group) for video in catalog.videos] == [
        (7, "Archery_g07"),
        (25, "Archery_g25"),
        (7, "HandstandPushups_g07"),
    ]


@pytest.mark.parametrize(
    "name",
    ["v_A_g01.avi", "v_A_gxx_c01.avi", "A_g01_c01.avi", "v_A_g01_c01_x.avi", "xv_A_g1_c1.avi"],
)
def test_names_that_are_not_ucf(tmp_path, name):
    catalog = open_catalog(touch(tmp_path, f"A/{name}", "B/v_B_g01_c01.avi"))
    assert not catalog.is_ucf
    assert by_path(catalog)[f"A/{name}"].group is None
    assert by_path(catalog)["B/v_B_g01_c01.avi"].group == "B_g01"


# CSV


def test_csv(tmp_path):
    text = "path,label,group,split,fold\nx/1.avi, run ,r1,train,0\nx/v_A_g03_c01.avi,jump,,,2\n"
    catalog = open_catalog(csv_file(tmp_path, text))
    videos = by_path(catalog)
    assert catalog.root == tmp_path.resolve()
    first, second = videos["x/1.avi"], videos["x/v_A_g03_c01.avi"]
    assert (first.label, first.group, first.split) == ("run", "r1", "train")
    assert first.extra == {"fold": "0"}
    # A UCF name tells its group where the CSV does not.
    assert (second.label, second.group, second.split) == ("jump", "jump_g03", None)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: text.replace("\n", "\n\n").encode(),
        lambda text: text.replace("a/1.avi", '"a/1.avi"').encode(),
        lambda text: text.replace("a/1.avi", "./a//1.avi").encode(),
    ],
    ids=["BOM", "CRLF", "no last line end", "blank lines", "quotes", "path not normal"],
)
def test_csv_as_other_programs_write_it(tmp_path, encode):
    assert paths(open_catalog(csv_file(tmp_path, encode(CSV)))) == ["a/1.avi", "b/1.avi"]


@pytest.mark.parametrize(
    "header",
    [
        "path,label,Split",
        "path,label, split",
        "PATH,Label,SPLIT ",
        "path,label,split,,",
        "path,label,\u200bsplit",
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_headers_compare_without_case_and_blanks(tmp_path, header, separator):
    text = f"{header}\na/1.avi,a,Train\nb/1.avi,b, validation,,,\n".replace(",", separator)
    catalog = open_catalog(csv_file(tmp_path, text))
    assert [(v.label, v.split, v.extra) for v in catalog.videos] == [
        ("a", "train", {}),
        ("b", "val", {}),
    ]


def test_the_separator_of_a_spreadsheet(tmp_path):
    text = "sep=;\r\npath;label\r\na/1.avi;a, b\r\nb/1.avi;c\r\n;\r\n"
    assert open_catalog(csv_file(tmp_path, text)).class_names == ("a, b", "c")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("path,label,label", "label"),
        ("path,label,split,Split", "split"),
        ("path,label,fold,FOLD", "fold"),
        ("path,label,splits", "splits"),
        ("path,label,spilt", "spilt"),
        ("path,label,Groups", "Groups"),
        ("path,label,group_id", "group_id"),
        ("path,label,start_s", "start_s"),
        ("path,label,Start (ms)", "Start (ms)"),
        ("path,label,t_begin", "t_begin"),
        ("path,label,onset", "onset"),
        ("path,label,end_frame", "end_frame"),
        ("path,label,stop time", "stop time"),
        ("path,label,start_timestamp", "start_timestamp"),
        ("path,label,from", "from"),
    ],
)
def test_double_and_similar_headers_are_refused(tmp_path, user_error, header, name):
    with user_error("list.csv", repr(name)):
        open_catalog(csv_file(tmp_path, f"{header}\na/1.avi,a,train\nb/1.avi,b,val\n"))


def test_other_columns_are_kept(tmp_path):
    text = "path,label,group,Age group,split,split2\na/1.avi,a,g,20,val,x\nb/1.avi,b,h,,test,\n"
    catalog = open_catalog(csv_file(tmp_path, text))
    assert catalog.videos[0].extra == {"Age group": "20", "split2": "x"}


def test_rows_are_numbered_as_an_editor_counts_lines(tmp_path, user_error):
    text = 'path,label,note\n\na/1.avi,a,"two\nlines"\n,,\n\nb/1.avi,,\n'
    with user_error("row 7", "no label"):
        open_catalog(csv_file(tmp_path, text))


@pytest.mark.parametrize("written", ["a\\1.avi", " a/1.avi", "a/1.avi ", ".\\a\\1.avi"])
def test_paths_as_windows_and_people_write_them(tmp_path, written):
    touch(tmp_path, "a/1.avi")
    catalog = open_catalog(csv_file(tmp_path, f"path,label\n{written},a\nb/1.avi,b\n"))
    assert paths(catalog) == ["a/1.avi", "b/1.avi"]


def test_a_backslash_in_a_name_stays(tmp_path):
    touch(tmp_path, "a\\1.avi", "a/1.avi")
    catalog = open_catalog(csv_file(tmp_path, "path,label\na\\1.avi,a\nb/1.avi,b\n"))
    assert paths(catalog) == ["a\\1.avi", "b/1.avi"]


def test_absolute_paths_inside_the_folder(tmp_path):
    touch(tmp_path, "data/a/1.avi")
    (tmp_path / "link").symlink_to("data")
    for root in ("data", "link"):
        text = f"path,label\n{tmp_path}/data/a/1.avi,a\n{tmp_path}/{root}/b/1.avi,b\n"
        catalog = open_catalog(csv_file(tmp_path / root, text))
        assert paths(catalog) == ["a/1.avi", "b/1.avi"]


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1)


@given(names=st.sets(NAMES, min_size=2), label=st.text(st.characters(codec="utf-8"), min_size=1))
def test_csv_gives_back_any_name(tmp_path_factory, names, label):
    names = sorted(f"x{name}" for name in names)
    label = f"l{label}".replace("\0", "").strip()
    file = tmp_path_factory.getbasetemp() / "any.csv"
    with file.open("w", encoding="utf-8", newline="") as lines:
        rows = csv.writer(lines, quoting=csv.QUOTE_ALL)
        rows.writerow(["path", "label", "note"])
        rows.writerows(
            [name, label if place else "other", name] for place, name in enumerate(names)
        )
    catalog = open_catalog(file)
    assert paths(catalog) == names
    assert catalog.videos[-1].label == label
    assert [video.extra["note"] for video in catalog.videos] == names


def test_a_folder_with_a_labels_csv_is_that_csv(tmp_path):
    touch(tmp_path, "a/1.avi", "b/1.avi", "c/1.avi")
    csv_file(tmp_path, "path,label\na/1.avi,left\nc/1.avi,right\n", "labels.csv")
    catalog = open_catalog(tmp_path)
    assert paths(catalog) == ["a/1.avi", "c/1.avi"]
    assert catalog.class_names == ("left", "right")


def test_a_path_that_only_begins_with_two_dots_lies_inside(tmp_path):
    text = "path,label\n..a/1.avi,a\nx/../b/1.avi,b\n"
    assert paths(open_catalog(csv_file(tmp_path, text))) == ["..a/1.avi", "b/1.avi"]


def test_order_of_the_rows_does_not_matter(tmp_path):
    lines = [f"{n}.avi,{'ab'[n % 2]},g{n}" for n in range(20)]
    catalogs = []
    for seed in (1, 2):
        random.Random(seed).shuffle(lines)
        text = "\n".join(["path,label,group", *lines])
        catalogs.append(open_catalog(csv_file(tmp_path, text)))
    assert catalogs[0] == catalogs[1]
    assert catalogs[0].fingerprint == catalogs[1].fingerprint


# The fingerprint


def test_fingerprint_follows_the_data(tmp_path):
    touch(tmp_path / "one", "a/1.avi", "b/1.avi")
    base = open_catalog(tmp_path / "one").fingerprint
    assert base == open_catalog(tmp_path / "one").fingerprint
    assert len(base) == 16
    int(base, 16)
    (tmp_path / "one").rename(tmp_path / "two")  # where it stands does not matter
    assert open_catalog(tmp_path / "two").fingerprint == base
    (tmp_path / "two/a/1.avi").write_bytes(b"longer")
    changed = open_catalog(tmp_path / "two").fingerprint
    (tmp_path / "two/a/1.avi").rename(tmp_path / "two/b/2.avi")
    touch(tmp_path, "two/a/3.avi")
    assert len({base, changed, open_catalog(tmp_path / "two").fingerprint}) == 3


# What cannot be used


def test_nothing_there(tmp_path, user_error):
    with user_error("`data`", "missing"):
        open_catalog(tmp_path / "missing")


def test_an_address_is_no_folder(user_error):
    with user_error("`data`", "http:/x/y"):
        open_catalog(Path("http://x/y"))


@pytest.mark.parametrize("files", [(), ("readme.txt",), ("1.avi",), ("a/1.txt",), ("a/b/1.avi",)])
def test_no_videos(tmp_path, user_error, files):
    with user_error(str(tmp_path), "labels.csv"):
        open_catalog(touch(tmp_path, *files))


def test_one_class_only(tmp_path, user_error):
    with user_error("only one class", "'a'", "two"):
        open_catalog(touch(tmp_path, "a/1.avi", "a/2.avi"))


def test_data_that_is_neither_folder_nor_file(tmp_path, user_error):
    os.mkfifo(tmp_path / "pipe")
    with user_error("pipe", "`data`"):
        open_catalog(tmp_path / "pipe")


@pytest.mark.parametrize("locked", [".", "a"])
@pytest.mark.parametrize("mode", [0o000, 0o300, 0o600])
def test_a_folder_that_may_not_be_read(unprivileged, user_error, locked, mode):
    root = touch(unprivileged / "data", "a/1.avi", "b/1.avi")
    (root / locked).chmod(mode)
    try:
        if (locked, mode) == ("a", 0o600):  # it can be listed: the probe names its files
            assert len(open_catalog(root)) == 2
        else:
            with user_error("data", "Permission denied"):
                open_catalog(root)
    finally:
        (root / locked).chmod(0o700)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("path,name\n1.avi,a\n", ["no column 'label'", "path, name"]),
        ("1.avi,a\n2.avi,b\n", ["no column 'path'"]),
        ("path|label\n1.avi|a\n", ["column 'path'", "path|label"]),
        ("path,label\n1.avi,a\n../2.avi,b\n", ["row 3", "outside"]),
        ("path,label\n1.avi,a\nx/../../2.avi,b\n", ["row 3", "outside"]),
        ("path,label\n/tmp/1.avi,a\n", ["row 2", "outside"]),
        ("path,label\nC:\\videos\\1.avi,a\n", ["row 2", "outside"]),
        ("path,label,\n1.avi,a,x\n", ["row 2", "more cells"]),
        ("path,label\n..,a\n", ["row 2", "outside"]),
        ("path,label,split\n1.avi,a,dev\n", ["row 2", "'dev'", "train, val, test"]),
        ("path,label\n1.avi,\n", ["row 2", "no label"]),
        ("path,label\n1.avi,  \n", ["row 2", "no label"]),
        ("path,label\n1.avi\n", ["row 2", "no label"]),
        ("path,label\n,a\n", ["row 2", "no path"]),
        ("path,label\n1.avi,a\n./1.avi,b\n", ["row 3", "twice"]),
        ("path,label\n1,5.avi,a\n", ["row 2", "more cells", "quotes"]),
        ("path,label\n1\0.avi,a\n", ["row 2", "zero byte"]),
        ('path,label\n"1.avi,a\n', ["cannot be read as a CSV"]),
        ("path,label\n1.avi,a\n2.avi,a\n", ["only one class"]),
        ("path,label\n", ["lists no videos"]),
        ("", ["lists no videos"]),
        (bytes(range(256)) * 8, ["cannot be read as a CSV"]),
        (b"\0" * 64, ["list.csv"]),
        ("path,label\n1.avi,été\n".encode("latin-1"), ["cannot be read as a CSV in UTF-8"]),
        ("path,label\n" + "x" * 200_000 + ",a\n", ["cannot be read as a CSV"]),
    ],
)
@pytest.mark.parametrize("name", ["list.csv", "labels.csv"])
def test_a_csv_that_cannot_be_used(tmp_path, user_error, text, parts, name):
    file = csv_file(tmp_path, text, name)
    with user_error(*(part.replace("list.csv", name) for part in parts)):
        open_catalog(file if name == "list.csv" else tmp_path)
