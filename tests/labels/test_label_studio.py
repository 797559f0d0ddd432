"""Label Studio: exports in, predictions out."""

import copy
import json

import pytest

from ar3d_keras.labels import label_studio
from ar3d_keras.labels.label import Label, Media


def ranged(start, end, label, name="videoLabels"):
    return {
        "id": f"{start}_{end}",
        "type": "timelinelabels",
        "from_name": name,
        "to_name": "video",
        "origin": "manual",
        "value": {"ranges": [{"start": start, "end": end}], "timelinelabels": [label]},
    }


def task(*results, video="/data/upload/1/3d3ad63e-park%20walk.mp4", by=1, **data):
    return {
        "id": 24,
        "data": {"video": video, **data},
        "annotations": [
            {"id": 23, "completed_by": by, "was_cancelled": False, "result": list(results)}
        ],
        "predictions": [],
    }


def test_an_export_with_timeline_labels(imported, refused):
    """Result JSON of https://labelstud.io/tags/timelinelabels in a task of the export guide.

    Frames count from 1 and the end is inside, as label-studio-ml-backend reads them.
    """
    tasks = [
        task(ranged(1, 25, "Walk"), ranged(26, 27, "Run"), fps=25),
        task(ranged(3, 5, "Walk"), video="/data/local-files/?d=sub/b%C3%A4r.mp4", fps="12.5"),
        {"id": 3, "data": {"video": "c.mp4"}, "annotations": [],
         "predictions": [{"result": [ranged(1, 2, "Run")]}]},
    ]  # fmt: skip
    assert imported(tasks) == [
        "park walk.mp4,Walk,0,1",
        "park walk.mp4,Run,1,1.08",
        "sub/bär.mp4,Walk,0.16,0.4",
    ]
    assert imported.format == "label-studio"
    assert any("1 tasks" in note for note in imported.notes)
    del tasks[0]["data"]["fps"]
    refused(["`frame_rate`", "[0].annotations[0].result[0]"], tasks)
    assert imported(tasks, frame_rate=50.0)[0] == "park walk.mp4,Walk,0,0.5"


def test_video_rectangles_are_lifespans(imported):
    """Result JSON of https://labelstud.io/tags/videorectangle."""
    box = {"x": 1, "y": 1, "width": 5, "height": 5, "rotation": 0}
    sequence = [
        {"frame": 1, "enabled": True, "time": 0.04, **box},
        {"frame": 50, "enabled": False, "time": 2, **box},
        {"frame": 76, "enabled": True, "time": 3.04, **box},
    ]
    region = {
        "type": "videorectangle",
        "from_name": "box",
        "to_name": "video",
        "value": {"framesCount": 100, "duration": 4, "sequence": sequence, "labels": ["Dog"]},
    }
    assert imported([task(region)]) == ["park walk.mp4,Dog,0,2", "park walk.mp4,Dog,3,4"]


def test_json_min_and_seconds(imported):
    """JSON-MIN of the export guide, and `Labels` on the sound of a video, which are in seconds."""
    short = [{"id": 1, "video": "a.mp4", "annotator": 1, "fps": 10, "videoLabels": [
        {"ranges": [{"start": 11, "end": 20}], "timelinelabels": ["Wave"]}]}]  # fmt: skip
    assert imported(short) == ["a.mp4,Wave,1,2"]
    sound = {"type": "labels", "from_name": "tricks", "to_name": "audio",
             "value": {"start": 1.5004, "end": 2.25, "channel": 0, "labels": ["Sit"]}}  # fmt: skip
    assert imported([task(sound)]) == ["park walk.mp4,Sit,1.5,2.25"]


def test_tags_and_annotators_are_chosen(imported, refused):
    two_tags = task(ranged(1, 5, "Walk"), ranged(1, 9, "Indoor", name="place"), fps=1)
    refused(["`label_set`", "'videoLabels'", "'place'"], [two_tags])
    assert imported([two_tags], label_set=("place",)) == ["park walk.mp4,Indoor,0,9"]
    two_people = task(ranged(1, 5, "Walk"), by={"email": "a@b.org"}, fps=1)
    two_people["annotations"] += task(ranged(1, 4, "Run"), by=7)["annotations"]
    refused(["`subject`", "'a@b.org'", "'7'"], [two_people])
    assert imported([two_people], subject=("7",)) == ["park walk.mp4,Run,0,4"]
    two_people["annotations"][0]["was_cancelled"] = True
    assert imported([two_people]) == ["park walk.mp4,Run,0,4"]
    shared = [task(ranged(1, 5, "Walk"), fps=1), task(ranged(1, 5, "Run"), video="b.mp4", by=2,
                                                      fps=1)]  # fmt: skip
    assert len(imported(shared)) == 2


@pytest.mark.parametrize(
    ("start", "end"), [(5, 4), (0, 4), (-3, 4), ("1", 4), (1.5, 4), (None, 4), (True, 4)]
)
def test_bad_ranges_are_named_by_their_place(refused, start, end):
    refused(["[0].annotations[0].result[1]"], [task(ranged(1, 2, "a"), ranged(start, end, "b"),
                                                    fps=25)])  # fmt: skip


def test_damaged_exports(refused):
    broken = task(ranged(1, 2, "a"), fps=25)
    for change in (
        lambda t: t["annotations"][0]["result"].__setitem__(0, 5),
        lambda t: t["annotations"][0]["result"][0].pop("value"),
        lambda t: t["annotations"][0]["result"][0].pop("from_name"),
        lambda t: t["annotations"][0]["result"][0]["value"].update(timelinelabels=["a", "b"]),
        lambda t: t["annotations"][0].update(result="x"),
        lambda t: t.update(data={"title": "x"}),
        lambda t: t.update(data=[]),
    ):
        changed = copy.deepcopy(broken)
        change(changed)
        refused(["[1]"], [broken, changed])
    refused(["damaged"], json.dumps([broken])[:-9])


def test_predictions_are_accepted_and_come_back(imported):
    """Task JSON of https://labelstud.io/guide/predictions; accepting copies the result."""
    labels = [
        Label("d/ä b.mp4", "Walk", 0.0, 10.0, score=0.75),
        Label("d/ä b.mp4", "Run", 10.0, 12.04, score=0.25),
        Label("c.mp4", "Run", 0.2, 1.4, score=0.5),
    ]
    media = {"d/ä b.mp4": Media(25.0), "c.mp4": Media(5.0)}
    tasks = json.loads(label_studio.as_predictions(labels, media))
    [first, second] = [task["predictions"][0] for task in tasks]
    assert first["score"] == 0.5 and second["result"][0]["score"] == 0.5
    for each in tasks:
        result = each.pop("predictions")[0]["result"]
        each["annotations"] = [{"id": 1, "completed_by": 1, "result": result}]
    assert imported(tasks) == [
        "c.mp4,Run,0.2,1.4",
        "d/ä b.mp4,Walk,0,10",
        "d/ä b.mp4,Run,10,12.04",
    ]
