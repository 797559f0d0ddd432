"""Kinetics, ActivityNet, and the list files of mmaction2 and SlowFast."""

import copy

import pytest

KINETICS = """label,youtube_id,time_start,time_end,split
abseiling,0wR5jVB-WPk,417,427,val
"dancing, slowly",--3caPS4FHF,36,46,train
zumba,zzzzzzzzzzz,0,10,validate
"""


def test_kinetics_csv(imported, refused, touch):
    """Structure of ActivityNet/Crawler/Kinetics/data/kinetics-600_val.csv.

    One film is there as a whole, and of one the stretch was cut out by a download tool.
    """
    videos = touch("abseiling/0wR5jVB-WPk_000417_000427.mp4", "films/--3caPS4FHF.mkv")
    assert imported(KINETICS, videos=videos) == [
        "videos/abseiling/0wR5jVB-WPk_000417_000427.mp4,abseiling,,,0wR5jVB-WPk,val",
        'videos/films/--3caPS4FHF.mkv,"dancing, slowly",36,46,--3caPS4FHF,train',
    ]
    assert imported.format == "kinetics"
    [note] = imported.notes
    assert "1 labels" in note and "zzzzzzzzzzz" in note
    refused(["`videos`", "row 2"], KINETICS)
    refused(["row 3"], KINETICS.replace("36,46", "46,36"), videos=videos)
    refused(["row 3"], KINETICS.replace("train", "blind"), videos=videos)
    refused(["row 4"], KINETICS.replace("zumba", ""), videos=videos)
    refused(["row 1", "label"], "youtube_id,time_start,time_end,split\nabc,1,2,test\n")


ACTIVITYNET = {
    "database": {
        "sJFgo9H6zNo": {
            "annotations": [
                {"label": "Fun sliding down", "segment": [0.0, 119.058]},
                {"label": "Fun sliding down", "segment": [119.21900594071892, 124.0004]},
            ],
            "duration": 124.23, "resolution": "640x360", "subset": "training",
            "url": "https://www.youtube.com/watch?v=sJFgo9H6zNo",
        },
        "V1zhqaGFY2A": {"annotations": [], "duration": 5.0, "subset": "testing"},
    },
    "taxonomy": [{"nodeId": 269, "nodeName": "Fun sliding down", "parentId": 267,
                  "parentName": "Playing"}],
    "version": "VERSION 1.3",
}  # fmt: skip


def test_activitynet_json(imported, refused, touch):
    """Fields that ActivityNet/Evaluation/eval_detection.py reads, of activity_net.v1-3.min.json."""
    videos = touch("v_sJFgo9H6zNo.mp4")
    assert imported(ACTIVITYNET, videos=videos) == [
        "videos/v_sJFgo9H6zNo.mp4,Fun sliding down,0,119.058,sJFgo9H6zNo,train",
        "videos/v_sJFgo9H6zNo.mp4,Fun sliding down,119.219,124,sJFgo9H6zNo,train",
    ]
    assert imported.format == "activitynet"
    assert any("V1zhqaGFY2A" in note for note in imported.notes)
    for segment in ([5, 4], [-1, 4], ["1,5", 4], [1], "x", [1, None]):
        broken = copy.deepcopy(ACTIVITYNET)
        broken["database"]["sJFgo9H6zNo"]["annotations"][1]["segment"] = segment
        refused(["database.sJFgo9H6zNo.annotations[1]"], broken, videos=videos)


def test_kinetics_json(imported, touch):
    """Structure of DeepMind's kinetics700 train.json: one annotation for each film."""
    document = {
        "---QUuC4vJs": {
            "annotations": {"label": "testifying", "segment": [84.0, 94.0]},
            "duration": 10.0, "subset": "validate",
            "url": "https://www.youtube.com/watch?v=---QUuC4vJs",
        }
    }  # fmt: skip
    videos = touch("---QUuC4vJs_000084_000094.mp4")
    assert imported(document, videos=videos) == [
        "videos/---QUuC4vJs_000084_000094.mp4,testifying,,,---QUuC4vJs,val"
    ]


def test_activitynet_annotations_of_mmaction(imported, touch):
    """Structure of mmaction2/docs/tutorials/new_dataset.md, "ActivityNet annotation"."""
    document = {
        "v_a1": {
            "duration_second": 211.53, "duration_frame": 6337, "fps": 30.0, "rfps": 29.95,
            "annotations": [{"segment": [30.025, 205.231], "label": "Rock climbing"}],
        }
    }  # fmt: skip
    assert imported(document, videos=touch("v_a1.mp4")) == [
        "videos/v_a1.mp4,Rock climbing,30.025,205.231,v_a1"
    ]


@pytest.fixture
def classes(tmp_path):
    """mmaction2/tools/data/kinetics/label_map_k700.txt: a name a line."""
    file = tmp_path / "classes.txt"
    file.write_text("abseiling\nair drumming\nzumba\n")
    return file


def test_a_video_list(imported, refused, classes):
    """VideoDataset of mmaction2 and DATASET.md of SlowFast: "path label"."""
    text = "some/path/000.mp4 1\nsome/path/a b.mp4 0\n\nc.mp4 2\n"
    rows = [
        "c.mp4,zumba,,,train",
        "some/path/000.mp4,air drumming,,,train",
        "some/path/a b.mp4,abseiling,,,train",
    ]
    assert imported(text, name="train.csv", classes=classes) == rows
    assert imported(text, name="ucf101_train_split_1.txt", classes=classes) == rows
    unsplit = [row.removesuffix(",train") for row in rows]
    assert imported(text, name="list.txt", classes=classes) == unsplit
    commas = text.replace(" 0", ",0").replace(" 1", ",1").replace(" 2", ",2")
    options = {"format": "slowfast", "separator": ",", "classes": classes}
    assert imported(commas, name="list.txt", **options) == unsplit
    refused(["`classes`"], text)
    refused(["row 4", "3"], text.replace(" 2", " 3"), classes=classes)
    refused(["row 1"], text.replace(" 1", " -1"), format="mmaction", classes=classes)
    refused(["row 4"], text.replace(" 2", " 2.0"), classes=classes)
    # mmaction2/tests/data/annotations/video_test_list_multi_label.txt
    refused(["row 1"], "test.mp4 0 2\ntest.mp4 0 1 2\n", classes=classes)


def test_rawframe_lists(imported, refused, classes, tmp_path):
    """RawframeDataset of mmaction2, and tests/data/annotations/rawframe_test_list_with_offset.txt."""
    for name in ("some/dir-1", "imgs"):
        (tmp_path / name).mkdir(parents=True)
    assert imported("some/dir-1 163 1\nimgs 122 2\n", classes=classes) == [
        "imgs,zumba,,",
        "some/dir-1,air drumming,,",
    ]
    offsets = "imgs 50 75 1\n"
    refused(["row 1", "mmaction-offset"], offsets, classes=classes)
    options = {"format": "mmaction-offset", "classes": classes}
    assert imported(offsets, **options) == ["imgs,air drumming,2,5"]
    assert len(imported.notes) == 1
    assert imported(offsets, frame_rate=50.0, **options) == ["imgs,air drumming,1,2.5"]
    refused(["row 2"], offsets + "imgs 50 0 1\n", **options)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("1 Walk\n2 Run fast\n", "Walk"),  # UCF-101's classInd.txt
        ('{"Run fast": 1, "Walk": 0}', "Walk"),
        ("0 Walk\n1 Run fast", "Walk"),
        ("3 Walk\n1 Run fast", "3 Walk"),
    ],
)
def test_forms_of_class_files(imported, tmp_path, text, first):
    (tmp_path / "names").write_text(text)
    assert imported("a.mp4 0\n", classes=tmp_path / "names") == [f"a.mp4,{first},,"]


def test_bad_class_files(refused, tmp_path):
    for text in ("Walk\nWalk\n", '{"Walk": "0"}', '{"Walk"'):
        (tmp_path / "names").write_text(text)
        refused(["names"], "a.mp4 0\n", classes=tmp_path / "names")
    refused(["`classes`"], "a.mp4 0\n", classes=tmp_path / "missing")


def test_videos_are_found_wherever_they_were_labelled(imported, refused, touch):
    videos = touch("barn/cam1/a.mp4", "barn/cam2/a.mp4", "b.mp4")
    table = "path,label\n{}\nb.mp4,Run\n"
    found = "videos/barn/cam2/a.mp4,Walk,,"
    for path in ("cam2/a.mp4", "C:\\data\\cam2\\a.mp4", "/mnt/x/cam2/a.mp4"):
        assert found in imported(table.format(f"{path},Walk"), videos=videos)
    refused(["row 2", "cam1/a.mp4"], table.format("a.mp4,Walk"), videos=videos)
    refused(["`videos`"], table.format("C:\\data\\a.mp4,Walk"))
    refused(["row 2"], "path,label\nz.mp4,Walk\n", videos=videos)
    refused(["`to`"], "path,label\n../a.mp4,Walk\n")
    refused(["`videos`"], table.format("b.mp4,Walk"), videos=videos / "missing")


def test_options_out_of_range(refused):
    for value in (0.0, -1.0, float("nan"), float("inf")):
        refused(["`point_seconds`"], "path,label\na.mp4,Walk\n", point_seconds=value)
        refused(["`frame_rate`"], "path,label\na.mp4,Walk\n", frame_rate=value)
