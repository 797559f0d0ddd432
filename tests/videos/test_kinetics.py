"""Folders of train, val and test, and docs/kinetics.md's way from annotation files to a CSV."""

import re
from pathlib import Path

import pytest

from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.splits import default_scheme, make_split

DOC = Path(__file__).parents[2] / "docs" / "kinetics.md"
CLIPS = {
    "train": ["0347ZoDXyP0_000095_000105", "-3B32lodo2M_000059_000069", "-7kbO0v4hag_000107_000117"],
    "val": ["3E7Jib8Yq5M_000118_000128", "0347ZoDXyP0_000001_000011"],
    "test": ["1cBNJ9Fm3Fk_000054_000064", "_a0Q4ZmXyP0_000000_000010"],
}  # fmt: skip


def write(root, write_video, nested=True):
    for split, names in CLIPS.items():
        for number, name in enumerate(names):
            label = ("abseiling", "tai chi")[number % 2]
            folder = root / split / label if nested else root / split
            write_video(folder / f"{name}.mp4", 8, first=number, codec="mp4v")
    return root


def test_folders_of_train_val_and_test(tmp_path, write_video):
    catalog = open_catalog(write(tmp_path / "kinetics", write_video))
    assert catalog.class_names == ("abseiling", "tai chi")
    assert default_scheme(catalog) == "csv"
    split = make_split(catalog, "csv")
    assert split.sizes == {"train": 3, "val": 2, "test": 2}
    video = split.videos("train")[0]
    assert video.path == "train/abseiling/-7kbO0v4hag_000107_000117.mp4"
    assert video.group == "-7kbO0v4hag"
    assert split.leak.val_train == 1  # 0347ZoDXyP0, planted


def test_hidden_files_and_lists_beside_the_folders_do_not_matter(tmp_path, write_video):
    root = write(tmp_path / "kinetics", write_video)
    (root / "train.csv").write_text("label,youtube_id\n")
    (root / ".cache").mkdir()
    assert len(open_catalog(root)) == 7


@pytest.mark.parametrize(
    ("train", "val"), [("Train", "validation"), ("training", "valid"), ("TRAIN", "Validation")]
)
def test_other_names_of_the_splits(tmp_path, write_video, train, val):
    root = write(tmp_path / "kinetics", write_video)
    (root / "train").rename(root / train)
    (root / "val").rename(root / val)
    for name in ("__MACOSX", "annotations"):
        (root / name).mkdir()
        (root / name / "train.json").touch()
    catalog = open_catalog(root)
    assert make_split(catalog, "csv").sizes == {"train": 3, "val": 2, "test": 2}
    assert {path for path, _ in catalog.ignored} == {"__MACOSX", "annotations"}


def test_splits_without_class_folders_are_no_classes(
    tmp_path, write_video, write_frames, user_error
):
    write_video(tmp_path / "train/engine.avi")
    write_frames(tmp_path / "val/exam")
    with user_error("'train'", "'val'"):
        open_catalog(tmp_path)


def test_a_folder_of_test_videos_beside_class_folders_is_no_class(tmp_path, user_error):
    for name in ("run/1.avi", "jump/1.avi", "test/1.avi"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with user_error("'test'"):
        open_catalog(tmp_path)
    # A train is also a vehicle; what it counts as is in the notes.
    (tmp_path / "test").rename(tmp_path / "train")
    catalog = open_catalog(tmp_path)
    assert catalog.class_names == ("jump", "run", "train")
    assert "'train'" in catalog.notes[0]


def test_a_class_folder_beside_folders_of_splits_is_refused(tmp_path, write_video, user_error):
    write(tmp_path, write_video)
    write_video(tmp_path / "bus/1.avi")
    with user_error("'bus'", "test, train, val"):
        open_catalog(tmp_path)


def test_videos_beside_the_class_folders_of_a_split_are_named(tmp_path, write_video):
    root = write(tmp_path / "kinetics", write_video)
    write_video(root / "train/stray.avi")
    catalog = open_catalog(root)
    assert len(catalog) == 7
    assert [path for path, _ in catalog.ignored] == ["train/stray.avi"]


def test_folders_of_frames_by_split(tmp_path, write_frames):
    for split in ("train", "val", "test"):
        for label in "ab":
            write_frames(tmp_path / split / label / f"{split}{label}", 4)
    split = make_split(open_catalog(tmp_path), "csv")
    assert split.sizes == {"train": 2, "val": 2, "test": 2}


def test_a_split_that_is_missing_is_told(tmp_path, write_video, user_error):
    root = write(tmp_path / "kinetics", write_video)
    for file in sorted((root / "test").rglob("*.mp4")):
        file.unlink()
    with user_error("csv", "into test"):
        make_split(open_catalog(root), "csv")


@pytest.mark.parametrize("nested", [True, False])
def test_the_documented_way_from_annotations(nested, tmp_path, write_video, monkeypatch):
    root = write(tmp_path / "data/kinetics", write_video, nested)
    for split, names in CLIPS.items():
        lines = ["label,youtube_id,time_start,time_end,split"]
        for number, name in enumerate([*names, "goneGoneGon_000001_000011"]):
            film, start, end = name.rsplit("_", 2)
            lines.append(
                f"{('abseiling', 'tai chi')[number % 2]},{film},{int(start)},{int(end)},{split}"
            )
        (root / f"{split}.csv").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)
    exec(compile(code, str(DOC), "exec"), {})
    catalog = open_catalog(root)
    assert catalog.class_names == ("abseiling", "tai chi")
    split = make_split(catalog, default_scheme(catalog))
    assert split.sizes == {"train": 3, "val": 2, "test": 2}
    assert {video.group for video in split.videos("test")} == {"1cBNJ9Fm3Fk", "_a0Q4ZmXyP0"}
