"""ar3d check: the report's files, near-duplicates, and the verdict that later leak reports quote."""

import csv
import shutil

import pytest

from ar3d_keras.cli import main
from ar3d_keras.errors import UserError
from ar3d_keras.experiments.check import check
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.content import load_near_duplicates
from ar3d_keras.videos.dataset import with_near_duplicates
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
    monkeypatch.setattr("ar3d_keras.videos.scan.describe", None)
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
