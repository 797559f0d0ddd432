import contextlib
import os

import pytest

from ar3d_keras.config import DataConfig, TrainConfig, to_json
from ar3d_keras.errors import UserError
from ar3d_keras.runs import (
    RunFolder,
    create_run,
    find_run,
    latest,
    read_history,
    unfinished_run,
)
from ar3d_keras.videos.catalog import Catalog, Video
from ar3d_keras.videos.splits import Split

ODD = [
    "a b.avi",
    "걷기.avi",
    'quo"te,.avi',
    "line\nbreak.avi",
    "return\r.avi",
    os.fsdecode(b"\xff.avi"),
]


def test_a_split_comes_back_whatever_the_names(tmp_path):
    videos = tuple(
        Video(f"x/{name}", "걷기, x", "g\r1" if i % 2 else None, None, {"Age": name, "note": ""})
        for i, name in enumerate(ODD)
    )
    assigned = ("train", "val", "test", None, "train", "test")
    split = Split(Catalog(tmp_path, videos), "csv", assigned)
    run = create_run(tmp_path, "r", "conv3d")
    run.write_split(split)
    again = run.split(tmp_path, "csv")
    assert again.catalog.videos == videos
    assert again.assigned == assigned
    assert again.leak == split.leak


def test_a_split_without_further_columns_is_read(tmp_path):
    text = "path,label,group,split\na/1.avi,a,,train\nb/1.avi,b,g,\n"
    (tmp_path / "split.csv").write_text(text)
    split = RunFolder(tmp_path).split(tmp_path, "csv")
    assert split.catalog.videos == (Video("a/1.avi", "a"), Video("b/1.avi", "b", "g"))
    assert split.assigned == ("train", None)
    RunFolder(tmp_path).write_split(split)
    assert (tmp_path / "split.csv").read_text().splitlines() == text.splitlines()


@pytest.mark.parametrize("content", [None, "path,label\nx,y\n", ""])
def test_a_damaged_split_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "split.csv").write_text(content)
    with pytest.raises(UserError, match=r"split\.csv"):
        RunFolder(tmp_path).split(tmp_path, "csv")


@pytest.mark.parametrize("path", ["../a.avi", "x/../../a.avi", "/etc/passwd"])
def test_a_split_that_leads_out_of_the_data_is_refused(tmp_path, path, user_error):
    run = RunFolder(tmp_path / "run")
    run.folder.mkdir()
    (run.folder / "split.csv").write_text(f"path,label,group,split\n{path},a,,train\n")
    record = {"begun": "2026-01-01", "data": {}, "split": {"scheme": "group"}, "class_names": []}
    for allowed in (False, True):
        config = to_json(TrainConfig(data=DataConfig(allow_outside=allowed)))
        run.write_record({**record, "config": config})
        with contextlib.nullcontext() if allowed else user_error(path, "`allow_outside`"):
            assert run.split(tmp_path / "data", "group").catalog.videos[0].path == path


def test_a_record_with_odd_names_comes_back(tmp_path):
    run = create_run(tmp_path, "r", "conv3d")
    run.write_record(
        {
            "begun": "2026-01-01",
            "config": {},
            "data": {},
            "split": {},
            "classes": [],
            "skipped": [{"path": name} for name in ODD],
        }
    )
    assert [skip["path"] for skip in run.record()["skipped"]] == ODD


def test_the_latest_run_is_the_one_begun_last(tmp_path):
    assert latest(tmp_path) is None
    for name, begun in (("b", "2026-01-02"), ("a", "2026-01-03"), ("c", "2026-01-01")):
        create_run(tmp_path, name, "conv3d").write_record({"begun": begun})
    (tmp_path / "no run").mkdir()
    assert latest(tmp_path).name == "a"
    assert find_run(None, tmp_path).name == "a"
    assert find_run("c", tmp_path).folder == find_run(str(tmp_path / "c"), tmp_path).folder


def test_the_unfinished_run_that_was_begun_last(tmp_path):
    rest = {"data": {}, "split": {"scheme": "group"}, "class_names": []}
    for name, begun, finished in (("a", 1, None), ("b", 3, None), ("c", 4, 8), ("d", 2, None)):
        record = {"begun": f"2026-01-0{begun}", "config": {"recipe": {"epochs": 8}}, **rest}
        record |= {"finished_epochs": finished} if finished else {}
        create_run(tmp_path, name, "conv3d").write_record(record)
    (create_run(tmp_path, "damaged", "conv3d").folder / "run.json").write_text("{")
    assert unfinished_run(tmp_path).name == "b"
    with RunFolder(tmp_path / "b").locked():  # a process trains it
        assert unfinished_run(tmp_path).name == "d"
    RunFolder(tmp_path / "a").update_record(finished_epochs=4)  # then `epochs` grew
    for name in "bd":
        RunFolder(tmp_path / name).update_record(finished_epochs=8)
    assert unfinished_run(tmp_path).name == "a"
    RunFolder(tmp_path / "a").update_record(finished_epochs=8)
    assert unfinished_run(tmp_path) is None


def test_what_a_killed_training_left_half_written_is_removed(tmp_path):
    run = create_run(tmp_path, "r", "conv3d")
    run.state.parent.mkdir()
    for name in (".state.12.part.npz", "state.npz", ".mine"):
        (run.state.parent / name).touch()
    (run.folder / ".history.12.part.csv").touch()
    with run.locked():
        pass
    assert {file.name for file in run.state.parent.iterdir()} == {"state.npz", ".mine"}
    assert [file.name for file in run.folder.glob("*.csv")] == []


@pytest.mark.parametrize("record", ["{", "[]", '{"other": 1}'])
def test_a_damaged_record_does_not_hide_other_runs(tmp_path, record):
    create_run(tmp_path, "good", "conv3d").write_record({"begun": "2026-01-01"})
    (create_run(tmp_path, "bad", "conv3d").folder / "run.json").write_text(record)
    assert latest(tmp_path).name == "good"


def test_history_is_read_up_to_an_epoch(tmp_path):
    file = tmp_path / "history.csv"
    assert read_history(file) == []
    file.write_text("epoch,loss\n1,0.5\n2,0.25\n")
    assert read_history(file, epochs=1) == [{"epoch": 1, "loss": 0.5}]
    assert read_history(file)[-1] == {"epoch": 2, "loss": 0.25}
