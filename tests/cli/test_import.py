"""ar3d import: a table that the catalog opens, and errors of one line."""

import csv
import io
import json

import pytest

from ar3d_keras.cli import main

EVENTS = """Time,Media file path,Total length,FPS,Subject,Behavior,Behavioral category,Comment,Status
3.300,pen.mp4,359.960,25.0,hen,peck,,,START
7.750,pen.mp4,359.960,25.0,hen,peck,,,STOP
9.125,pen.mp4,359.960,25.0,hen,call,,,POINT
"""


@pytest.fixture
def events(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "pen.mp4").touch()
    file = tmp_path / "events.csv"
    file.write_text(EVENTS)
    return file


def test_import_writes_a_table_and_says_what_is_left_out(events, capsys):
    table = events.parent / "labels.csv"
    command = ["import", str(events), "--videos", str(events.parent / "videos")]
    assert main([*command, "--to", str(table)]) == 0
    assert table.read_text() == "path,label,start,end\nvideos/pen.mp4,peck,3.3,7.75\n"
    out = capsys.readouterr().out
    assert "--point-seconds" in out and "call" in out and "peck 1" in out
    assert main([*command, "--to", str(table), "--overwrite", "--point-seconds", "1"]) == 0
    assert table.read_text().endswith("videos/pen.mp4,call,8.625,9.625\n")


def test_files_of_several_formats_make_one_table(events, tmp_path):
    (tmp_path / "more.csv").write_text("path,label,start,end,group\nb.mp4,peck,1,2,barn\n")
    (tmp_path / "b.mp4").touch()
    (tmp_path / "pen.mp4").touch()
    table = tmp_path / "labels.csv"
    assert main(["import", str(events), str(tmp_path / "more.csv"), "--to", str(table)]) == 0
    assert table.read_text().splitlines() == [
        "path,label,start,end,group",
        "b.mp4,peck,1,2,barn",
        "pen.mp4,peck,3.3,7.75,",
    ]


def test_mistakes_name_the_flag(events, refused):
    table = events.parent / "labels.csv"
    assert "FILE" in refused("import", "--to", table)
    assert "--to" in refused("import", events, "--to", events)
    assert "--to" in refused("import", events, "--to", events.parent)
    assert "--to" in refused("import", events, "--to", events / "labels.csv")
    assert "--point-seconds" in refused("import", events, "--to", table, "--point-seconds", "nan")
    assert "--subject" in refused("import", events, "--to", table, "--subject", "cow")
    assert "--format" in refused("import", events, "--to", table, "--format", "via")
    assert not table.exists()
    table.write_text("mine")
    assert "--overwrite" in refused("import", events, "--to", table)
    assert table.read_text() == "mine"


def test_predictions_go_to_a_tool_and_come_back(trained, tiny_demo, tmp_path, capsysbinary):
    """Windows of a video -> BORIS, Label Studio, WebVTT, CSV, and back into a table."""
    video = tiny_demo / "Grow/v_Grow_g01_c01.avi"
    command = ["predict", str(video), "--run", str(trained), "--window-seconds", "0.4"]

    def written(form):
        assert main([*command, "--format", form]) == 0
        return capsysbinary.readouterr().out.decode()

    def table(text, name):
        (tmp_path / name).write_text(text)
        files = [str(tmp_path / name), "--videos", str(tiny_demo)]
        assert main(["import", *files, "--to", str(tiny_demo.parent / name), "--overwrite"]) == 0
        rows = (tiny_demo.parent / name).read_text().splitlines()[1:]
        (tiny_demo.parent / name).unlink()
        capsysbinary.readouterr()
        return rows

    rows = table(written("boris"), "a.boris")
    assert all(row.startswith(f"{tiny_demo.name}/Grow/v_Grow_g01_c01.avi,") for row in rows)
    tasks = json.loads(written("label-studio"))
    for task in tasks:  # a person accepts them
        task["annotations"] = [task.pop("predictions")[0]]
    assert table(json.dumps(tasks), "a.json") == rows
    ends = [row.split(",")[-2:] for row in rows]
    vtt = written("vtt")
    assert vtt.count("-->") == len(rows)
    assert vtt.startswith(f"WEBVTT\n\n00:00:{float(ends[0][0]):06.3f} --> 00:00:")
    predicted = written("csv")
    assert main([*command, "--csv"]) == 0
    assert capsysbinary.readouterr().out.decode() == predicted
    windows = [row for row in csv.DictReader(io.StringIO(predicted)) if row["rank"] == "1"]
    assert len(table(predicted, "a.csv")) == len(windows) >= len(rows)
    document = json.loads(written("json"))
    assert len(document["videos"][0]["windows"]) == len(windows)


def test_formats_of_predict_that_contradict_other_options(tiny_demo, refused):
    video = tiny_demo / "Grow/v_Grow_g01_c01.avi"
    for form in ("boris", "label-studio", "vtt"):
        assert "--window-seconds" in refused("predict", video, "--format", form)
    assert "--format" in refused("predict", video, "--format", "csv", "--json")
    assert "--format" in refused("predict", "--camera", "0", "--format", "json")
    several = ["--format", "vtt", "--window-seconds", "1"]
    assert "--format" in refused("predict", tiny_demo, *several)
