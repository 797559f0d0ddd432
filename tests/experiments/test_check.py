"""ar3d check: the report's files, near-duplicates, and the verdict that later leak reports quote."""

import csv
import shutil

import numpy as np
import pytest

from ar3d_keras.cli import main
from ar3d_keras.errors import UserError
from ar3d_keras.experiments.check import check
from ar3d_keras.progress import Reporter
from ar3d_keras.videos import keyframes
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.content import load_near_duplicates
from ar3d_keras.videos.dataset import with_near_duplicates
from ar3d_keras.videos.isolation import Isolation
from ar3d_keras.videos.splits import make_split


@pytest.fixture
def data(tiny_demo, tmp_path, cache_home):
    """Six videos; the last one, in test, has the bytes of the first one, in train."""
    found = (
        sorted((tiny_demo / "MoveUp").iterdir())[:3] + sorted((tiny_demo / "Grow").iterdir())[:2]
    )
    folder = tmp_path / "data"
    folder.mkdir()
    splits = "train", "val", "test", "train", "val"
    rows = [["path", "label", "split"]]
    for path, split in zip(found, splits, strict=True):
        shutil.copy(path, folder / path.name)
        rows.append([path.name, path.parent.name, split])
    shutil.copy(found[0], folder / "again.avi")
    rows.append(["again.avi", "MoveUp", "test"])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder, found[0].name


def read(file):
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_report_has_a_page_and_two_tables(data, tmp_path):
    folder, first = data
    report = check(folder, html=tmp_path / "report", reporter=Reporter())
    assert [(p.one, p.other, p.kind) for p in report.pairs] == [("again.avi", first, "same bytes")]
    assert report.split.leak.test_near == 1 and report.split.leak.has_leakage
    page = (tmp_path / "report/report.html").read_text(encoding="utf-8")
    assert "data:image/jpeg;base64," in page and "http" not in page
    videos = {row["path"]: row for row in read(tmp_path / "report/videos.csv")}
    assert len(videos) == 6
    row = videos["again.avi"]
    assert (row["split"], row["width"], row["height"], row["codec"]) == (
        "test",
        "80",
        "60",
        "mpeg4",
    )
    assert float(row["rate"]) == 25 and row["near_duplicates"] == "1"
    assert float(row["seconds"]) == pytest.approx(int(row["frames"]) / 25, abs=0.01)
    (pair,) = read(tmp_path / "report/duplicates.csv")
    assert (pair["one_split"], pair["other_split"]) == ("test", "train")


def test_leak_reports_quote_what_check_found(data):
    folder, _ = data
    split = make_split(open_catalog(folder), "csv")
    assert with_near_duplicates(split).leak.test_near is None
    check(folder, reporter=Reporter())
    assert len(load_near_duplicates(split.catalog.content_fingerprint)) == 1
    leak = with_near_duplicates(split).leak
    assert (leak.val_near, leak.test_near, leak.has_leakage) == (0, 1, True)


def test_the_second_check_decodes_nothing(data, monkeypatch):
    folder, _ = data
    once = check(folder, reporter=Reporter())
    monkeypatch.setattr("ar3d_keras.videos.file_scanner.examine", None)
    again = check(folder, reporter=Reporter())
    assert again.pairs == once.pairs and again.scanned.properties == once.scanned.properties


def test_a_damaged_cache_of_descriptors_is_made_again(data, cache_home):
    folder, _ = data
    once = check(folder, reporter=Reporter())
    for file in cache_home.rglob("*.npz"):
        file.write_bytes(b"PK")
    assert check(folder, reporter=Reporter()).pairs == once.pairs


def test_html_may_be_a_file(data, tmp_path):
    check(data[0], html=tmp_path / "mine.html", reporter=Reporter())
    names = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert {"mine.html", "mine-videos.csv", "mine-duplicates.csv"} <= names


@pytest.mark.parametrize("options", [{"fold": 2}, {"run": "x", "split_scheme": "group"}])
def test_options_that_need_or_exclude_others(data, options):
    with pytest.raises(UserError):
        check(data[0], reporter=Reporter(), **options)


def test_a_report_is_written_although_a_video_cannot_be_decoded(data, tmp_path, capsys):
    folder, _ = data
    with (folder / "labels.csv").open("a") as file:
        file.write("bad.avi,Grow,train\n")
    (folder / "bad.avi").write_bytes(b"RIFF")
    assert main(["check", "--data", str(folder), "--html", str(tmp_path / "report")]) == 2
    rows = {row["path"]: row for row in read(tmp_path / "report/videos.csv")}
    assert rows["bad.avi"]["unreadable"] and not rows["bad.avi"]["frames"]


def rolling(path, seeds):
    """A video of 12 s; each 4 s show the motion of a disc that `seeds` names."""
    import av

    rate, size = 20, (48, 64)
    y, x = np.mgrid[: size[0], : size[1]]
    still = np.random.default_rng(0).uniform(40, 200, (6, 8)).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "15"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for seed in seeds:
            rng = np.random.default_rng(seed)
            waves = rng.uniform(0.5, 4, (2, 3)), rng.uniform(0, 6, (2, 3))
            for time in np.arange(4 * rate) / rate:
                sway = np.sin(waves[0] * time + waves[1]).mean(axis=1)
                at = size[0] * (0.5 + 0.4 * sway[0]), size[1] * (0.5 + 0.4 * sway[1])
                disc = (y - at[0]) ** 2 + (x - at[1]) ** 2 < 60
                gray = np.where(disc, 255, still).astype(np.uint8)
                picture = av.VideoFrame.from_ndarray(gray[..., None].repeat(3, 2), format="rgb24")
                container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def long_files(make_once):
    """a.mp4 and b.mp4: three scenes of 4 s; the last one of a is the first one of b."""

    def make(folder):
        rolling(folder / "a.mp4", (1, 2, 3))
        rolling(folder / "b.mp4", (3, 4, 5))

    return make_once("rolling", make)


def segments_csv(folder, files, *rows):
    folder.mkdir()
    for file in files.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "labels.csv").write_text("\n".join(["path,label,start,end,split", *rows]) + "\n")
    return folder


def test_segments_are_compared_and_not_their_files(
    long_files, tmp_path, cache_home, monkeypatch, capsys
):
    rows = (
        "a.mp4,x,0,4,train", "a.mp4,y,4,8,train", "a.mp4,x,8,12,train", "a.mp4,x,9,12,train",
        "b.mp4,x,0,4,test", "b.mp4,y,4.5,8,test", "b.mp4,x,8,12,val",
    )  # fmt: skip
    data = segments_csv(tmp_path / "data", long_files, *rows)
    opened = []
    decode = keyframes.make_index
    monkeypatch.setattr(
        keyframes, "make_index", lambda *a, **k: opened.append(a[0].name) or decode(*a, **k)
    )
    monkeypatch.setattr(Isolation, "call", lambda self, examine, path, **k: examine(path, **k))
    report = check(data, html=tmp_path / "report", reporter=Reporter())
    assert sorted(opened) == ["a.mp4", "b.mp4"]  # described and indexed in one pass
    assert len(report.scanned.descriptors) == 7
    shown = {(p.one, p.other, p.kind): p.shift for p in report.pairs}
    copies = {
        ("a.mp4#t=8,12", "b.mp4#t=0,4", "copy"): pytest.approx(0, abs=0.06),
        ("a.mp4#t=9,12", "b.mp4#t=0,4", "copy"): pytest.approx(1, abs=0.06),
    }
    assert shown == copies | {("a.mp4#t=8,12", "a.mp4#t=9,12", "overlap"): -1}
    leak = report.split.leak
    assert (leak.val_near, leak.test_near) == (0, 1)
    videos = {row["path"]: row for row in read(tmp_path / "report/videos.csv")}
    assert videos["b.mp4#t=4.5,8"]["seconds"] == "3.5"
    assert videos["b.mp4#t=4.5,8"]["frames"] == "70"
    assert [videos[key]["near_duplicates"] for key in ("a.mp4#t=0,4", "a.mp4#t=9,12")] == ["0", "2"]
    # Leak reports of training quote it, and a second check decodes no file.
    split = make_split(open_catalog(data), "csv")
    assert with_near_duplicates(split).leak.test_near == 1
    opened.clear()
    assert check(data, reporter=Reporter()).pairs == report.pairs and not opened


def test_segments_of_files_with_equal_bytes(long_files, tmp_path, cache_home):
    rows = "a.mp4,x,0,4,", "a.mp4,y,4,8,", "c.mp4,x,1,3,", "c.mp4,y,8,10,"
    data = segments_csv(tmp_path / "data", long_files, *rows)
    shutil.copy(long_files / "a.mp4", data / "c.mp4")
    pairs = check(data, reporter=Reporter()).pairs
    assert [(p.one, p.other, p.kind, p.shift) for p in pairs] == [
        ("a.mp4#t=0,4", "c.mp4#t=1,3", "same bytes", -1)
    ]


def test_segments_beyond_their_file_are_refused_or_clipped(
    long_files, tmp_path, cache_home, capsys
):
    data = segments_csv(tmp_path / "data", long_files, "a.mp4,x,0,4,", "b.mp4,y,8,20,")
    assert main(["check", "--data", str(data)]) == 2
    assert "row 3" in capsys.readouterr().err
    assert main(["check", "--data", str(data), "--segments", "clip"]) == 0


def test_regions_of_one_picture_have_their_own_descriptors(long_files, tmp_path, cache_home):
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.mp4").symlink_to(long_files / "a.mp4")
    header = "path,label,start,end,left,top,right,bottom"
    rows = "a.mp4,x,0,4,0,0,32,48", "a.mp4,y,0,4,32,0,64,48", "a.mp4,y,0,4,0,0,640,48"
    (data / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    with pytest.raises(UserError, match="1 of 3"):
        check(data, html=tmp_path / "report", reporter=Reporter())
    found = read(tmp_path / "report/videos.csv")
    assert [bool(row["unreadable"]) for row in found] == [False, True, False]
    assert not read(tmp_path / "report/duplicates.csv")


def test_groups_and_columns_as_in_training(write_timed, tmp_path, cache_home, user_error):
    nested = tmp_path / "nested"
    for label in "xy":
        for person in "abc":
            write_timed(nested / label / person / "1.mp4", np.arange(8) / 10, size=(24, 32))
    report = check(nested, group_by="parent", split_scheme="logo", fold=2, reporter=Reporter())
    assert {video.group for video in report.split.videos("test")} == {"b"}
    rows = [f"{file.relative_to(nested)},{file.parts[-3]},2024-01-0{n}"
            for n, file in enumerate(sorted(nested.rglob("*.mp4")), 1)]  # fmt: skip
    (nested / "labels.csv").write_text("\n".join(["path,label,day", *rows]))
    with user_error("`split_by`"):
        check(nested, split_by="day", reporter=Reporter())
    with user_error("`split_by`"):
        check(nested, split_scheme="column", split_by="hour", reporter=Reporter())
