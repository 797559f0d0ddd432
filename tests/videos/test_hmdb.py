"""HMDB-51's names and lists, as they are published (serre-lab.clps.brown.edu)."""

import pytest

from ar3d_keras.cli import main
from ar3d_keras.videos.catalog import Catalog, Video, open_catalog
from ar3d_keras.videos.splits import make_split

# Lines of the real lists, their blank at the end included.
BRUSH_HAIR = """\
April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1 \n\
April_09_brush_hair_u_nm_np1_ba_goo_1.avi 1 \n\
Aussie_Brunette_Brushing_Long_Hair_brush_hair_u_nm_np1_fr_goo_1.avi 2 \n\
Brushing_Her_Hair__[_NEW_AUDIO_]_UPDATED!!!!_brush_hair_h_cm_np1_le_goo_1.avi 2 \n\
Brushing_Her_Hair__[_NEW_AUDIO_]_UPDATED!!!!_brush_hair_h_cm_np1_le_goo_3.avi 0 \n\
brushing_hair_brush_hair_f_cm_np2_ri_goo_0.avi 1 \n\
sarah_brushing_her_hair_brush_hair_h_cm_np1_ri_goo_0.avi 1 \n\
"""
PUSH = """\
American_History_X_push_u_nm_np1_ba_med_22.avi 2 \n\
Baby_Push_Cart_push_f_cm_np1_ri_bad_0.avi 1 \n\
Baby_Push_Cart_push_f_cm_np1_ri_bad_1.avi 1 \n\
Box_Pull_Push_push_f_cm_np1_ba_bad_0.avi 0 \n\
Box_Pull_Push_push_f_cm_np1_ba_bad_2.avi 2 \n\
Return_of_the_King_10_push_u_cm_np1_le_med_3.avi 1 \n\
"""


@pytest.fixture
def lists(tmp_path):
    """Split 1 of two classes."""
    folder = tmp_path / "testTrainMulti_7030_splits"
    folder.mkdir()
    (folder / "brush_hair_test_split1.txt").write_text(BRUSH_HAIR)
    (folder / "push_test_split1.txt").write_text(PUSH)
    return folder


def names(text):
    return [line.split()[0] for line in text.splitlines()]


@pytest.fixture
def data(tmp_path, write_video):
    """The videos of those lists, in folders by class."""
    for label, text in (("brush_hair", BRUSH_HAIR), ("push", PUSH)):
        for number, name in enumerate(names(text)):
            write_video(tmp_path / "hmdb51" / label / name, 8, first=number)
    return tmp_path / "hmdb51"


def test_a_film_is_a_group(data):
    groups = {video.path.split("/")[1]: video.group for video in open_catalog(data).videos}
    assert groups["April_09_brush_hair_u_nm_np1_ba_goo_1.avi"] == "brush_hair_April_09"
    assert groups["brushing_hair_brush_hair_f_cm_np2_ri_goo_0.avi"] == "brush_hair_brushing_hair"
    assert groups["Baby_Push_Cart_push_f_cm_np1_ri_bad_1.avi"] == "push_Baby_Push_Cart"
    assert len(set(groups.values())) == 9


def test_the_official_split(data, lists):
    split = make_split(open_catalog(data), "hmdb1", lists=lists)
    assigned = {
        video.path.split("/")[1]: name
        for video, name in zip(split.catalog.videos, split.assigned, strict=True)
    }
    listed = dict(line.split() for line in (BRUSH_HAIR + PUSH).splitlines())
    assert all((assigned[name] == "test") == (flag == "2") for name, flag in listed.items())
    assert all((assigned[name] is None) == (flag == "0") for name, flag in listed.items())
    # Of each class the last film that is no more than a tenth of the training videos, or one.
    assert [name for name, part in assigned.items() if part == "val"] == [
        "sarah_brushing_her_hair_brush_hair_h_cm_np1_ri_goo_0.avi",
        "Return_of_the_King_10_push_u_cm_np1_le_med_3.avi",
    ]
    assert split.leak.sentences()[0].startswith("No leak")
    assert split.notes == ("2 videos are marked as unused (0) in the lists and are left out.",)


def test_val_is_whole_films_of_at_most_a_tenth_of_a_class(lists, tmp_path):
    lines, videos = [], []
    for film in range(30):
        for clip in range(1 + film % 3):
            name = f"Film_{film:02d}_push_f_cm_np1_fr_bad_{clip}.avi"
            lines.append(f"{name} {2 if film < 9 else 1} \n")
            videos.append(Video(f"push/{name}", "push", f"push_Film_{film:02d}"))
    (lists / "push_test_split1.txt").write_text("".join(lines))
    videos += [
        Video(f"brush_hair/{n}", "brush_hair", n.rpartition("_brush")[0]) for n in names(BRUSH_HAIR)
    ]
    catalog = Catalog(tmp_path, tuple(sorted(videos, key=lambda video: video.path)))
    split = make_split(catalog, "hmdb1", lists=lists)
    val = [video for video in split.videos("val") if video.label == "push"]
    assert len(val) == 42 // 10
    assert {video.group for video in val} == {"push_Film_29", "push_Film_27"}
    assert not split.leak.has_leakage


def test_folders_of_frames_and_lists_that_do_not_match(data, lists, write_frames):
    one = data / "push/Baby_Push_Cart_push_f_cm_np1_ri_bad_0.avi"
    one.unlink()
    write_frames(one.with_suffix(""), 8)
    (data / "push/stranger.avi").write_bytes(b"x")
    (data / "push/American_History_X_push_u_nm_np1_ba_med_22.avi").unlink()
    split = make_split(open_catalog(data), "hmdb1", lists=lists)
    assert one.with_suffix("").name in [v.path.split("/")[1] for v in split.videos("train")]
    assert split.notes[1:3] == (
        "1 videos of the folder are in no list and are left out.",
        "1 videos of the lists are not in the folder.",
    )


def test_lists_that_are_missing_or_damaged_are_refused(data, lists, tmp_path, user_error):
    catalog = open_catalog(data)
    with user_error("`split_scheme` hmdb1", "`split_lists`"):
        make_split(catalog, "hmdb1")
    with user_error("brush_hair_test_split2.txt", "testTrainMulti_7030_splits"):
        make_split(catalog, "hmdb2", lists=lists)
    for line in ("name.avi\n", "name.avi 3\n", "name.avi one\n"):
        (lists / "push_test_split1.txt").write_text("a.avi 1\n" + line)
        with user_error("push_test_split1.txt line 2", "`split_lists`"):
            make_split(catalog, "hmdb1", lists=lists)


def test_show_clips_of_the_official_split(data, lists, tmp_path, capsys):
    """The command line takes the scheme, and a split without enough of a class says so."""
    code = main([
        "show-clips", "--data", str(data), "--split-scheme", "hmdb1", "--split-lists", str(lists),
        "--out", str(tmp_path / "clips.png"), "--height", "16", "--width", "16", "--frames", "4",
    ])  # fmt: skip
    assert code == 0
    assert (tmp_path / "clips.png").read_bytes()[:4] == b"\x89PNG"
