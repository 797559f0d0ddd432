"""VIA 3, X-AnyLabeling, and the package's own table."""

import copy
import json

import pytest

from ar3d_keras.labels.label import Label
from ar3d_keras.labels.source import ImportOptions, open_source
from ar3d_keras.labels.webvtt import as_webvtt

VIA = {
    "project": {"pid": "__VIA_PROJECT_ID__", "pname": "hens", "vid_list": ["1", "2"]},
    "config": {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}}},
    "attribute": {
        "1": {"aname": "Activity", "anchor_id": "FILE1_Z2_XY0", "type": 4,
              "options": {"1": "Break egg", "2": "Pour"}, "default_option_id": ""},
        "2": {"aname": "Object", "anchor_id": "FILE1_Z1_XY1", "type": 1, "options": {}},
        "3": {"aname": "Person", "anchor_id": "FILE1_Z2_XY0", "type": 1, "options": {}},
    },
    "file": {
        "1": {"fid": 1, "fname": "kitchen.mp4", "type": 4, "loc": 1, "src": ""},
        "2": {"fid": 2, "fname": "yard.mp4", "type": 4, "loc": 3, "src": "cam/yard.mp4"},
    },
    "view": {"1": {"fid_list": [1]}, "2": {"fid_list": [2]}},
    "metadata": {
        "-glfwaaX": {"vid": "1", "flg": 0, "z": [2, 6.5], "xy": [], "av": {"1": "1"}},
        "+mHHT-tg": {"vid": "2", "flg": 0, "z": [1.12349, 5.31493], "xy": [], "av": {"1": "2"}},
        "fH-oMre1": {"vid": "1", "flg": 0, "z": [0.917], "xy": [2, 263, 184, 17, 13],
                     "av": {"2": "Egg"}},
    },
}  # fmt: skip
VIA_CSV = """# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)
# Notes:
# - metadata of {""1"":""3""} indicates attribute with id "1" set to an attribute option with id "3"
# SHAPE_ID = {"POINT":1,"RECTANGLE":2}
# FLAG_ID = {"RESERVED_FOR_FUTURE":1}
# ATTRIBUTE = {"1":{"aname":"Scene","anchor_id":"FILE1_Z2_XY0","type":1,"desc":"","options":{},"default_option_id":""},"4":{"aname":"Type","anchor_id":"FILE1_Z1_XY1","type":3,"desc":"","options":{"0":"Title"},"default_option_id":""}}
# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata
"1_j5sJvB9h","[""kitchen.mp4""]",0,"[1.124,5.31493]","[]","{""1"":""main title""}"
"1_zYQJk2sM","[""kitchen.mp4""]",0,"[2.41892]","[2,162.2,176.2,639.4,192.4]","{""4"":""0""}"
"1_vL68gsEX","[""kitchen.mp4""]",0,"[7.5]","[]","{""1"":""bell""}"
"""


def test_a_via_project(imported, refused):
    """Structure of the sample in https://gitlab.com/vgg/via/-/blob/master/via-3.x.y/CodeDoc.md."""
    assert imported(VIA) == ["cam/yard.mp4,Pour,1.123,5.315", "kitchen.mp4,Break egg,2,6.5"]
    assert imported.format == "via"
    several = copy.deepcopy(VIA)
    several["metadata"]["-glfwaaX"]["av"]["3"] = "Ada"
    refused(["`label_set`", "'Activity'", "'Person'"], several)
    assert imported(several, label_set=("Person",)) == ["kitchen.mp4,Ada,2,6.5"]


@pytest.mark.parametrize(
    "change",
    [{"z": [6, 2]}, {"z": [-1, 2]}, {"z": ["1,5", 2]}, {"z": [1, 2, 3]}, {"z": 5}, {"vid": "9"},
     {"av": {"1": "7"}}, {"av": []}],
)  # fmt: skip
def test_a_damaged_via_project(refused, change):
    broken = copy.deepcopy(VIA)
    broken["metadata"]["+mHHT-tg"] |= change
    refused(["metadata.+mHHT-tg"], broken)


def test_a_via_export(imported, refused):
    """Rows of `_via_import_export.js` (to_via3 CSV), with a whole comment block."""
    assert imported(VIA_CSV) == ["kitchen.mp4,main title,1.124,5.315"]
    assert any("1 events" in note for note in imported.notes)
    assert imported(VIA_CSV, point_seconds=1.0)[1] == "kitchen.mp4,bell,7,8"
    refused(["row 8"], VIA_CSV.replace("[1.124,5.31493]", "[5.4,5.31493]"))
    refused(["row 8"], VIA_CSV.replace("[1.124,5.31493]", "[1.124,"))
    refused(["row 10"], VIA_CSV.replace(',"{""1"":""bell""}"', ""))


SIDECAR = {
    "version": "1.0.0", "type": "video_classification", "video": "sample.mp4", "fps": 30.0,
    "duration_ms": 120000, "width": 1920, "height": 1080, "labels": ["run", "walk"],
    "label_colors": {"run": "#ff7f0e"},
    "segments": [
        {"id": "s1234567890", "label": "run", "start_ms": 1000, "end_ms": 3501, "start_frame": 30,
         "end_frame": 105, "description": "The person starts running."},
        {"id": "s1234567891", "label": "walk", "start_ms": 3501, "end_ms": 9000},
    ],
}  # fmt: skip


def test_an_x_anylabeling_sidecar(imported, refused):
    """Structure of X-AnyLabeling/docs/en/video_classifier.md, "Data Format"."""
    assert imported(SIDECAR) == ["sample.mp4,run,1,3.501", "sample.mp4,walk,3.501,9"]
    assert imported.format == "x-anylabeling"
    for change in ({"start_ms": 9000}, {"start_ms": -1}, {"label": ""}, {"end_ms": "5"}):
        broken = copy.deepcopy(SIDECAR)
        broken["segments"][1] |= change
        refused(["segments[1]"], broken)
    refused(["segments[0]"], json.dumps(SIDECAR).replace("1000,", "NaN,"))


def test_the_table_comes_back_unchanged(imported):
    text = (
        "path,label,start,end,group,split\n"
        '"a, b.mp4",Stand up,0,1.001,barn,train\n'
        "c.mp4,Walk,,,yard,test\n"
        "c.mp4,Walk,3723.25,4000,yard,test\n"
    )
    assert imported(text) == text.splitlines()[1:]
    assert imported.format == "csv"
    clock = "path;label;start;end\nc.mp4;Walk;01:02:03.250;01:06:40\n"
    assert imported(clock + clock.splitlines()[1]) == ["c.mp4,Walk,3723.25,4000"]


def test_predictions_as_csv(imported):
    text = "path,start,end,rank,class,probability\na.mp4,0,2,1,Run,0.9\na.mp4,0,2,2,Sit,0.1\n"
    assert imported(text) == ["a.mp4,Run,0,2"]


@pytest.mark.parametrize(
    "row",
    ["a.mp4,Walk,2,2", "a.mp4,Walk,3,2", "a.mp4,Walk,-1,2", "a.mp4,Walk,NaN,2", "a.mp4,Walk,1,",
     'a.mp4,Walk,"1,5",2', "a.mp4,,1,2", ",Walk,1,2", "a.mp4,Walk,1,2,3", "a.mp4,Walk"],
)  # fmt: skip
def test_bad_rows_of_a_table(refused, row):
    refused(["row 3"], f"path,label,start,end\na.mp4,Walk,1,2\n{row}\n")


def test_an_almost_known_column(refused):
    refused(["'starts'"], "path,label,starts,end\na.mp4,Walk,1,2\n")


@pytest.mark.parametrize(
    "content",
    ["just text\n", "", "\n\n", "a,b\n1,2\n", "# a comment\n", '{"a": 1}', "[]", "[1, 2]", '"text"', "{", "[[[",
     '{"observations": 1}', "null"],
)  # fmt: skip
def test_foreign_files_are_refused(refused, content):
    refused(["labels.txt"], content)
    for format in ("boris", "boris-aggregated", "boris-project", "label-studio", "via", "csv",
                   "x-anylabeling", "kinetics", "activitynet", "mmaction", "slowfast",
                   "mmaction-offset"):  # fmt: skip
        refused(["labels.txt"], content, format=format)


def test_a_file_that_is_no_text(tmp_path, user_error):
    (tmp_path / "a.csv").write_bytes(b"path,label\ncaf\xe9.mp4,Walk\n")
    for file in (tmp_path / "a.csv", tmp_path / "missing.csv", tmp_path):
        with user_error(str(file)):
            open_source(file, ImportOptions())


def test_webvtt(user_error):
    """Cues of https://www.w3.org/TR/webvtt1/: a clock with milliseconds, escaped text."""
    labels = [
        Label("a.mp4", "Sit & <stand>", 0.0, 1.5, score=0.875),
        Label("a.mp4", "Run\n--> away", 3599.9996, 3723.25),
    ]
    assert as_webvtt(labels).decode() == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nSit &amp; &lt;stand&gt; 87.5%\n\n"
        "01:00:00.000 --> 01:02:03.250\nRun --&gt; away\n"
    )
    with user_error("`format`"):
        as_webvtt([Label("a", "x", 0, 1), Label("b", "x", 0, 1)])
