"""BORIS: tables and projects."""

import copy
import json

import pytest

from ar3d_keras.labels import boris
from ar3d_keras.labels.label import Label, Media

TABULAR_7 = """Observation id,observation #1,,,,,,,
,,,,,,,,
Media file(s),,,,,,,,
,,,,,,,,
Player #1,pen_25fps.mp4,,,,,,,
,,,,,,,,
Observation date,2026-11-01 10:00:00,,,,,,,
,,,,,,,,
Time offset (s),0.0,,,,,,,
,,,,,,,,
independent variables,,,,,,,,
variable,value,,,,,,,
weather,rain,,,,,,,
,,,,,,,,
Time,Media file path,Total length,FPS,Subject,Behavior,Behavioral category,Comment,Status
3.300,pen_25fps.mp4,359.960,25.0,hen,peck,,,START
5.000,pen_25fps.mp4,359.960,25.0,hen,preen,,,START
7.750,pen_25fps.mp4,359.960,25.0,hen,peck,,,STOP
9.125,pen_25fps.mp4,359.960,25.0,hen,call,,,POINT
16.200,pen_25fps.mp4,359.960,25.0,hen,preen,,,STOP
"""
AGGREGATED = [
    "Observation id", "Observation date", "Description", "Media file", "Total length", "FPS",
    "Subject", "Behavior", "Behavioral category", "Modifiers", "Behavior type", "Start (s)",
    "Stop (s)", "Duration (s)", "Comment start", "Comment stop",
]  # fmt: skip
TABULAR_8 = [
    "Observation id", "Observation date", "Description", "Observation duration",
    "Observation type", "Source", "Time offset (s)", "Media duration (s)", "FPS", "Subject",
    "Behavior", "Behavioral category", "Behavior type", "Time", "Media file name", "Image index",
    "Image file path", "Comment",
]  # fmt: skip


def table(header, *rows):
    return "\n".join("\t".join([row.get(name, "") for name in header]) for row in
                     [dict(zip(header, header, strict=True)), *rows]) + "\n"  # fmt: skip


def aggregated(*rows):
    common = {"Observation id": "o", "Media file": "pen.mp4", "Subject": "No focal subject",
              "Behavior type": "STATE"}  # fmt: skip
    return table(AGGREGATED, *(common | row for row in rows))


def state(behavior, start, stop, **more):
    return {"Behavior": behavior, "Start (s)": start, "Stop (s)": stop, **more}


def test_tabular_events_of_boris_7(imported):
    """Structure of BORIS/tests/files/test_export_events_tabular.csv, with a point event."""
    rows = imported(TABULAR_7)
    assert imported.format == "boris"
    assert rows == ["pen_25fps.mp4,peck,3.3,7.75", "pen_25fps.mp4,preen,5,16.2"]
    assert any("1 events" in note and "call" in note for note in imported.notes)
    shifted = imported(TABULAR_7.replace("(s),0.0", "(s),2.5"))
    assert shifted[0] == "pen_25fps.mp4,peck,0.8,5.25"
    shifted = imported(TABULAR_7.replace("(s),0.0", "(s),-2.5"))
    assert shifted[0] == "pen_25fps.mp4,peck,5.8,10.25"
    assert "pen_25fps.mp4,call,8.125,10.125" in imported(TABULAR_7, point_seconds=2.0)


def test_tabular_events_of_boris_8(imported, refused):
    """Columns of `export_tabular_events` in BORIS/boris/export_observation.py (version 8).

    The second file of an observation starts where the first one ends.
    """
    common = {
        "Observation id": "o", "Source": "player #1:a.mp4;b.mp4|player #2:side.mp4",
        "Time offset (s)": "0.0", "Media duration (s)": "180.000;60.500|180.000",
        "Subject": "", "Behavior": "walk", "Comment": "says, so",
    }  # fmt: skip

    def event(kind, time, media, **more):
        return common | {"Behavior type": kind, "Time": time, "Media file name": media} | more

    pair = [event("START", "170.2", "a.mp4"), event("STOP", "180", "a.mp4")]
    later = [event("START", "190.04", "b.mp4"), event("STOP", "200.04", "b.mp4")]
    text = table(TABULAR_8, *pair, *later)
    assert imported(text) == ["a.mp4,walk,170.2,180", "b.mp4,walk,10.04,20.04"]
    refused(["row 2", "next file"], table(TABULAR_8, pair[0], later[1]))
    shifted = [each | {"Time offset (s)": "3.5"} for each in pair]
    assert imported(table(TABULAR_8, *shifted))[0] == "a.mp4,walk,166.7,176.5"
    shifted = [each | {"Time offset (s)": "175"} for each in pair]
    refused(["row 2"], table(TABULAR_8, *shifted))
    unknown = [each | {"Source": "", "Media duration (s)": ""} for each in (*pair, *later)]
    refused(["row 2", "durations"], table(TABULAR_8, *unknown))
    live = [each | {"Source": "Live observation", "Media file name": "NA"} for each in pair]
    refused(["without a video"], table(TABULAR_8, *live))


def test_aggregated_events(imported, refused):
    """Structure of BORIS/tests/files/test_export_aggregated_events_test_full_1.tsv."""
    point = state("call", "32.825", "32.825", **{"Behavior type": "POINT", "Duration (s)": "NA"})
    text = aggregated(state("walk", "10.250", "23.350"), point, state("walk", "1.800", "8.125"))
    assert imported(text) == ["pen.mp4,walk,1.8,8.125", "pen.mp4,walk,10.25,23.35"]
    assert imported.format == "boris-aggregated"
    assert imported(text, point_seconds=0.5)[2] == "pen.mp4,call,32.575,33.075"
    assert imported(text.replace("\t", ","), point_seconds=0.5) == imported(text, point_seconds=0.5)


def test_subjects_and_categories_are_chosen(imported, refused):
    text = aggregated(
        state("walk", "1", "2", Subject="cow 1", **{"Behavioral category": "move"}),
        state("eat", "1", "3", Subject="cow 1", **{"Behavioral category": "feed"}),
        state("eat", "4", "5", Subject="cow 2", **{"Behavioral category": "feed"}),
    )
    refused(["`label_set`", "'move'", "'feed'"], text)
    refused(["`subject`", "'cow 1'", "'cow 2'"], text, label_set=("feed",))
    assert imported(text, label_set=("feed",), subject=("cow 2",)) == ["pen.mp4,eat,4,5"]
    assert len(imported(text, label_set=("feed", "move"), subject=("cow 1", "cow 2"))) == 3


@pytest.mark.parametrize("removed", ["5.000", "16.200"])
def test_unpaired_events_are_named_by_row(refused, removed):
    lines = TABULAR_7.splitlines()
    text = "\n".join(line for line in lines if not line.startswith(removed))
    refused(["row 19" if removed == "5.000" else "row 17"], text)


@pytest.mark.parametrize(
    ("start", "stop"),
    [("3", "2"), ("2", "2"), ("-1", "2"), ("NaN", "2"), ("1,5", "2"), ("1", "inf"), ("", "2")],
)
def test_bad_times_are_named_by_row(refused, start, stop):
    refused(["row 3"], aggregated(state("walk", "1", "2"), state("walk", start, stop)))


def test_damaged_tables(refused):
    refused(["row 16"], TABULAR_7.replace(",START", "", 1))
    two_files = "Player #1,pen_25fps.mp4,,,,,,,\nPlayer #1,b.mp4,,,,,,,"
    refused(["durations"], TABULAR_7.replace("Player #1,pen_25fps.mp4,,,,,,,", two_files))
    refused(["row 16", "'BEGIN'"], TABULAR_7.replace("START", "BEGIN", 1))
    refused(["row 2"], aggregated(state("", "1", "2")))
    refused(["row 2"], 'Time,Subject,Behavior,Status\n1,"hen,peck,START\n')


PROJECT = {
    "time_format": "hh:mm:ss",
    "project_date": "2026-11-01T10:00:00",
    "project_name": "hens",
    "project_description": "",
    "project_format_version": "7.0",
    "subjects_conf": {"0": {"key": "1", "name": "hen", "description": ""}},
    "behaviors_conf": {
        "0": {"type": "Point event", "key": "p", "code": "call", "category": "", "modifiers": {}},
        "1": {"type": "State event", "key": "s", "code": "walk", "category": "", "modifiers": {}},
    },
    "observations": {
        "two files": {
            "file": {"1": ["a.mp4", "b.mp4"], "2": []},
            "type": "MEDIA",
            "date": "2026-11-01T10:00:00",
            "time offset": 0.0,
            "events": [
                [1.8, "", "walk", "", ""],
                [8.125, "", "walk", "", ""],
                [32.8, "", "call", "", ""],
                [187.765, "", "walk", "", ""],
                [200.0, "", "walk", "", ""],
            ],
            "media_info": {"length": {"a.mp4": 179.96, "b.mp4": 359.96}},
        },
        "live": {"file": [], "type": "LIVE", "time offset": 0.0, "events": [[2, "", "call", "", ""]]},
    },
}  # fmt: skip


def test_a_project(imported, refused):
    """Structure of BORIS/tests/files/test_without_media_files_paths.boris."""
    assert imported(PROJECT) == ["a.mp4,walk,1.8,8.125", "b.mp4,walk,7.805,20.04"]
    assert imported.format == "boris-project"
    assert len(imported.notes) >= 2
    shifted = copy.deepcopy(PROJECT)
    shifted["observations"]["two files"]["time offset"] = 1.5
    assert imported(shifted)[0] == "a.mp4,walk,0.3,6.625"
    broken = copy.deepcopy(PROJECT)
    del broken["observations"]["two files"]["events"][4]
    refused(["observations.two files.events[3]"], broken)
    broken = copy.deepcopy(PROJECT)
    broken["observations"]["two files"]["events"][1][0] = "1,5"
    refused(["observations.two files.events[1]", "1,5"], broken)
    broken["observations"]["two files"]["events"][1] = 5
    refused(["observations.two files.events[1]"], broken)
    broken["behaviors_conf"] = []
    refused(["behaviors_conf"], broken)


def test_a_written_project_has_the_keys_of_boris(imported):
    """Keys of EMPTY_PROJECT in BORIS/boris/config.py and of a project in BORIS/tests/files."""
    labels = [
        Label("d/a.mp4", "walk", 0.0, 10.0, score=0.75),
        Label("d/a.mp4", "eat", 10.0, 12.04),
        Label("b.mp4", "walk", 1.5, 2.25),
    ]
    media = {"d/a.mp4": Media(25.0, 12.04), "b.mp4": Media(29.97, None)}
    project = json.loads(boris.as_project(labels, media, date="2026-11-01T10:00:00"))
    assert project.keys() >= PROJECT.keys()
    observation = project["observations"]["d/a.mp4"]
    assert observation.keys() >= PROJECT["observations"]["two files"].keys()
    assert observation["media_info"]["length"] == {"d/a.mp4": 12.04}
    # The stop of one stands before the start of the next.
    assert [event[2] for event in observation["events"]] == ["walk", "walk", "eat", "eat"]
    assert observation["events"][0] == [0.0, "", "walk", "", "0.7500"]
    assert imported(project) == [
        "b.mp4,walk,1.5,2.25",
        "d/a.mp4,walk,0,10",
        "d/a.mp4,eat,10,12.04",
    ]
