"""States of videos, truncated files, and lists of videos to leave out."""

import csv
import dataclasses

import pytest

from ar3d_keras.cli import main
from ar3d_keras.errors import UserError
from ar3d_keras.experiments.check import check
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.dataset import open_data
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.status import skip_videos, states
from ar3d_keras.videos.truncation import missing_bytes

ENCODERS = {
    "mp4": ("libx264", {"movflags": "+faststart"}),
    "frag.mp4": ("libx264", {"movflags": "frag_keyframe+empty_moov"}),
    "mov": ("libx264", {"movflags": "+faststart"}),
    "avi": ("mpeg4", {}),
    "mkv": ("libx264", {}),
    "webm": ("libvpx", {}),
    "gif": ("gif", {}),
}


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """One video of each container, of 40 frames, and its first 6 tenths."""
    import av
    import numpy as np

    root = tmp_path_factory.mktemp("half")
    for name in ("whole", "half"):
        (root / name).mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), np.uint8)
    for suffix, (codec, options) in ENCODERS.items():
        file = root / "whole" / f"a.{suffix}"
        with av.open(str(file), "w", options=options) as container:
            stream = container.add_stream(codec, rate=20)
            stream.height, stream.width = 48, 64
            stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
            stream.gop_size = 10
            for picture in noise:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
            container.mux(stream.encode(None))
        content = file.read_bytes()
        (root / "half" / f"b.{suffix}").write_bytes(content[: len(content) * 6 // 10])
    return root


def test_files_that_are_cut_off_are_named(half):
    catalog = open_catalog(half)
    found = {s.path: s for s in states(catalog, scan(catalog, workers=2, descriptors=True), 16)}
    for suffix in ENCODERS:
        whole, part = found[f"whole/a.{suffix}"], found[f"half/b.{suffix}"]
        assert (whole.state, whole.frames) == ("ok", 40)
        assert whole.promised in (40, None)
        assert part.state == "cut off" and 0 < part.frames < 30, (suffix, part)
        assert missing_bytes(half / whole.path) == 0 < missing_bytes(half / part.path)
    short = states(catalog, scan(catalog, workers=2), 41)
    assert {s.state for s in short} == {"too short", "cut off"}


@pytest.mark.parametrize("head", [b"", b"RIFF", b"\x1aE\xdf\xa3", b"\0\0\0\1ftyp", b"GIF8"])
def test_a_file_of_a_few_bytes(tmp_path, head):
    (tmp_path / "x").write_bytes(head)
    assert missing_bytes(tmp_path / "x") >= 0
    assert missing_bytes(tmp_path / "y") == 0


@pytest.fixture
def data(ucf_set, tmp_path):
    for video in open_catalog(ucf_set).videos:
        (tmp_path / "data" / video.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / video.path).symlink_to(ucf_set / video.path)
    (tmp_path / "data/Archery/bad.avi").write_text("no video")
    return tmp_path / "data"


def test_the_list_of_check_is_what_skip_takes(data, tmp_path, capsys):
    report = tmp_path / "report"
    assert main(["check", "--data", str(data), "--html", str(report)]) == 2
    with (report / "skip.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["path"], row["state"], row["frames"]) == ("Archery/bad.avi", "unreadable", "0")
    with (report / "videos.csv").open(newline="") as file:
        assert {row["state"] for row in csv.DictReader(file)} == {"ok", "unreadable"}
    assert "Archery/bad.avi" in (report / "report.html").read_text()
    assert check(data, skip=report / "skip.csv", reporter=Reporter()) is not None
    left = open_data(data, skip=report / "skip.csv")
    assert len(left) == len(open_catalog(data)) - 1
    assert ("Archery/bad.avi", "listed in skip.csv") in left.ignored


@pytest.mark.parametrize(
    "text", ["path\nArchery/other.avi\n", "file\nx\n", "path\n" + "{archery}", None, '"path\n']
)
def test_lists_that_do_not_fit(data, tmp_path, text):
    catalog, file = open_catalog(data), tmp_path / "skip.csv"
    archery = "".join(f"{v.path}\n" for v in catalog.videos if v.label == "Archery")
    if text is not None:
        file.write_text(text.format(archery=archery))
    with pytest.raises(UserError, match="`skip`"):
        skip_videos(catalog, file)


def test_sizes_stay_beside_their_videos(data, tmp_path):
    catalog = open_catalog(data)
    sized = dataclasses.replace(catalog, sizes=tuple(range(len(catalog))))
    (tmp_path / "skip.csv").write_text("path\nArchery/bad.avi\n")
    place = [v.path for v in catalog.videos].index("Archery/bad.avi")
    assert place not in skip_videos(sized, tmp_path / "skip.csv").sizes


def test_links_out_of_the_root_are_reported(data, ucf_set):
    assert any("symbolic links" in note for note in open_catalog(data).notes)
    assert not any("symbolic links" in note for note in open_catalog(ucf_set).notes)


def test_a_csv_stays_in_its_folder_unless_it_may_leave(ucf_set, tmp_path):
    videos = open_catalog(ucf_set).videos
    rows = [f"{ucf_set / v.path},{v.label}\n" for v in videos]
    rows[0] = f"../{(ucf_set / videos[0].path).relative_to(tmp_path.parent)},x\n"
    (tmp_path / "labels.csv").write_text("path,label\n" + "".join(rows))
    with pytest.raises(UserError, match="`allow_outside`"):
        open_catalog(tmp_path / "labels.csv")
    catalog = open_catalog(tmp_path / "labels.csv", allow_outside=True)
    assert len(scan(catalog, workers=1).frames) == len(videos)
    assert any("allow_outside" in note for note in catalog.notes)
