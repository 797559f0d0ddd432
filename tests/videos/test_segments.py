import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter
from ar3d_keras.videos import keyframes
from ar3d_keras.videos.background import with_background
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.dataset import open_dataset
from ar3d_keras.videos.pack_index import PackSettings
from ar3d_keras.videos.packing import make_pack
from ar3d_keras.videos.reader import frame_index
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.segments import ends, frames_of, starts
from ar3d_keras.videos.sources import PackSource, UniformSampler, VideoSource
from ar3d_keras.videos.splits import Split, make_split
from ar3d_keras.videos.times import parse_stretch, parse_time
from ar3d_keras.videos.video import Video

SHAPE = ClipShape(frames=4, height=32, width=40, resize_height=40, resize_width=56, stride=2)


@pytest.fixture(scope="session")
def recordings(write_timed, make_once):
    """Four files of 10 seconds: 25 frames a second, 15, variable, and one that starts at 5 s."""

    def make(folder):
        write_timed(folder / "a.mp4", np.arange(250) / 25)
        write_timed(folder / "b.mkv", np.arange(150) / 15)
        uneven = np.cumsum([0, *([0.02, 0.06, 0.1, 0.02] * 50)])[:200]
        write_timed(folder / "c.mp4", uneven)
        write_timed(folder / "d.mkv", 5 + np.arange(100) / 10)

    return make_once("recordings", make)


def csv_of(folder, recordings, *rows, header="path,label,start,end"):
    folder.mkdir(exist_ok=True)
    for file in recordings.iterdir():
        if not (folder / file.name).exists():
            (folder / file.name).symlink_to(file)
    file = folder / "labels.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


ROWS = (
    "a.mp4,run,1,2", "a.mp4,walk,00:00:02.000,3.5", "a.mp4,run,8.5,9.9",
    "b.mkv,walk,0.5,2", "b.mkv,run,4,5",
    "c.mp4,walk,1,2.5", "c.mp4,run,4,6.5",
    "d.mkv,run,2,4", "d.mkv,walk,6,",
)  # fmt: skip


@pytest.fixture
def catalog(tmp_path, recordings):
    return open_catalog(csv_of(tmp_path / "data", recordings, *ROWS))


def source_of(catalog, clips=3):
    scanned = scan(catalog, workers=2)
    return VideoSource(
        catalog.root,
        catalog.videos,
        scanned.frames,
        catalog.class_names,
        SHAPE,
        UniformSampler(clips),
        numbers=scanned.numbers,
    )


def test_a_row_is_a_stretch_of_a_file(catalog):
    keys = [video.key for video in catalog.videos]
    assert keys[:3] == ["a.mp4#t=1,2", "a.mp4#t=2,3.5", "a.mp4#t=8.5,9.9"]
    assert keys[-1] == "d.mkv#t=6"
    assert catalog.videos[1] == Video("a.mp4", "walk", "a.mp4", None, {}, 2.0, 3.5)
    assert [video.row for video in catalog.videos[:3]] == [2, 3, 4]
    assert catalog.class_names == ("run", "walk")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("83.5", 83.5),
        ("1:23.5", 83.5),
        ("01:01:23.500", 3683.5),
        (".5", 0.5),
        ("1e-3", 0.001),
    ],
)
def test_times(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    "text", ["-1", "1,5", "nan", "inf", "1:75", "1e999", "a", "1:2:3:4", "٣", " "]
)
def test_what_is_no_time(text):
    with pytest.raises(UserError):
        parse_time(text)


def test_empty_cells():
    assert parse_stretch(" ", "") == (None, None)
    assert parse_stretch("", "2") == (0, 2)
    assert parse_stretch("1:00", "") == (60, None)


def test_frames_are_those_of_their_time_stamps(catalog, frame_numbers):
    scanned = scan(catalog, workers=2)
    assert scanned.numbers["a.mp4#t=1,2"] == range(25, 50)
    assert scanned.numbers["a.mp4#t=8.5,9.9"] == range(213, 248)
    assert scanned.numbers["b.mkv#t=0.5,2"] == range(8, 30)
    assert scanned.numbers["c.mp4#t=1,2.5"] == range(20, 51)  # four frames in 0.2 s
    assert scanned.numbers["d.mkv#t=2,4"] == range(20, 40)  # from its first frame on
    assert scanned.numbers["d.mkv#t=6"] == range(60, 100)
    assert scanned.frames["c.mp4#t=1,2.5"] == 31
    assert scan(catalog, workers=1) == scanned
    keyframes._known.clear()
    assert scan(catalog, workers=1) == scanned  # from the cache
    source = source_of(catalog)
    for index in range(len(source)):
        video = source.videos[index // 3]
        window = source.clip_spec(index, 0).window
        numbers = scanned.numbers[video.key]
        assert frame_numbers(source[index, 0]) == [numbers[place] for place in window]


@given(
    st.lists(st.floats(0.01, 1), min_size=1, max_size=30),
    st.floats(0, 10),
    st.floats(0.01, 10),
)
def test_a_frame_belongs_to_the_segment_that_its_time_is_in(steps, start, length):
    times = np.cumsum([0, *steps])
    video = Video("a", "b", start=start, end=start + length)
    found = list(frames_of(video, times))
    assert found == [n for n, t in enumerate(times) if starts(video, t) and not ends(video, t)]
    # Stretches that follow each other share no frame and lose none.
    following = frames_of(Video("a", "b", start=start + length), times)
    assert following.start == (found[-1] + 1 if found else following.start)
    assert all(starts(video, times[n]) for n in following)


def test_pieces_of_a_file_stay_together(catalog):
    assert {video.group for video in catalog.videos} == {"a.mp4", "b.mkv", "c.mp4", "d.mkv"}
    split = make_split(catalog, "kfold", folds=3)
    assert not split.leak.has_leakage
    assert make_split(catalog, "random", folds=3).leak.has_leakage


def test_groups_of_a_csv(tmp_path, recordings):
    header = "path,label,start,end,group"
    rows = "a.mp4,x,1,2,day1", "a.mp4,y,3,4,", "b.mkv,x,1,2,day1", "c.mp4,y,0,9,", "d.mkv,x,,,"
    videos = open_catalog(csv_of(tmp_path / "d", recordings, *rows, header=header)).videos
    assert [video.group for video in videos] == ["day1", "day1", "day1", "c.mp4", None]
    rows = "a.mp4,x,1,2,day1", "a.mp4,y,3,4,day2"
    with pytest.raises(UserError, match=r"row 3.*day2.*row 2"):
        open_catalog(csv_of(tmp_path / "d", recordings, *rows, header=header))


@pytest.mark.parametrize(
    ("rows", "row"),
    [
        (["a.mp4,run,2,2"], 2),
        (["a.mp4,run,3,2"], 2),
        (["a.mp4,run,-1,2"], 2),
        (["a.mp4,run,nan,2"], 2),
        (['a.mp4,run,"1,5",2'], 2),
        (["a.mp4,run,,0"], 2),
        (["a.mp4,run,1,2", "a.mp4,run,1,2.0"], 3),
        (["a.mp4,run,1,3", "a.mp4,walk,2,4"], 3),
        (["a.mp4,run,,", "a.mp4,walk,2,4"], 3),
        (["a.mp4,run,2,", "a.mp4,walk,4,"], 3),
    ],
)
def test_a_row_that_cannot_be_used(tmp_path, recordings, user_error, rows, row):
    file = csv_of(tmp_path / "d", recordings, *rows, "b.mkv,run,1,2", "b.mkv,walk,2,3")
    with user_error(f"row {row}"):
        open_catalog(file)


@pytest.mark.parametrize("row", ["a.mp4,run,9,11", "a.mp4,run,11,12", "a.mp4,run,1.001,1.03"])
def test_a_row_that_does_not_fit_its_file(tmp_path, recordings, user_error, row):
    catalog = open_catalog(csv_of(tmp_path / "d", recordings, *ROWS[3:], row))
    with user_error("row 8"):
        scan(catalog, workers=1)
    with user_error("row 8"):
        make_pack(
            catalog, tmp_path / "pack", PackSettings("raw", 40, 56), workers=1, reporter=Reporter()
        )


def test_clipping(tmp_path, recordings):
    rows = "a.mp4,run,1,3", "a.mp4,walk,2,4", "a.mp4,run,2.5,3", "b.mkv,run,8,99"
    file = csv_of(tmp_path / "d", recordings, *rows)
    catalog = open_catalog(file, clip_segments=True)
    assert [video.key for video in catalog.videos] == [
        "a.mp4#t=1,2", "a.mp4#t=2,2.5", "a.mp4#t=2.5,3", "b.mkv#t=8,99",
    ]  # fmt: skip
    assert scan(catalog, workers=1, clip_segments=True).frames["b.mkv#t=8,99"] == 30
    with pytest.raises(UserError):  # nothing would be left of one of them
        open_catalog(
            csv_of(tmp_path / "d", recordings, "a.mp4,run,1,3", "a.mp4,walk,1,2"),
            clip_segments=True,
        )


def test_rows_of_one_label_may_overlap(tmp_path, recordings):
    rows = "a.mp4,run,1,3", "a.mp4,run,2,4", "b.mkv,walk,1,2"
    catalog = open_catalog(csv_of(tmp_path / "d", recordings, *rows))
    assert list(scan(catalog, workers=1).frames.values()) == [50, 50, 15]


def test_a_segment_of_an_unreadable_file_is_named(tmp_path, recordings):
    file = csv_of(tmp_path / "d", recordings, *ROWS, "e.mp4,run,1,2", "e.mp4,walk,2,3")
    (file.parent / "e.mp4").write_bytes(b"no video" * 100)
    scanned = scan(open_catalog(file), workers=2)
    assert set(scanned.unreadable) == {"e.mp4#t=1,2", "e.mp4#t=2,3"}
    assert len(scanned.frames) == len(ROWS)


def test_a_segment_that_is_shorter_than_a_clip_starts_over(tmp_path, recordings, frame_numbers):
    rows = "a.mp4,run,1,1.08", "b.mkv,walk,1,2"
    source = source_of(open_catalog(csv_of(tmp_path / "d", recordings, *rows)), clips=1)
    assert frame_numbers(source[0, 0]) == [25, 26, 25, 26]


def test_a_file_with_a_time_base_of_zero(tmp_path, write_timed):
    """FFmpeg assumes one where the file has none; a file that it gets wrong is named."""
    times = np.arange(60) / 20
    for name in ("a.mp4", "b.mp4", "c.avi"):
        write_timed(tmp_path / name, times, codec="mpeg4" if name == "c.avi" else "libx264")
    data = bytearray((tmp_path / "b.mp4").read_bytes())
    place = data.index(b"mdhd") + 16  # version and flags, two dates, then the time scale
    data[place : place + 4] = bytes(4)
    (tmp_path / "b.mp4").write_bytes(data)
    data = bytearray((tmp_path / "c.avi").read_bytes())
    place = data.index(b"strh") + 8 + 20  # dwScale
    data[place : place + 4] = bytes(4)
    (tmp_path / "c.avi").write_bytes(data)
    rows = "a.mp4,x,1,2", "a.mp4,y,2,2.5", "b.mp4,x,1,2", "c.avi,y,1,2"
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,start,end", *rows]))
    scanned = scan(open_catalog(tmp_path), workers=1)
    assert set(scanned.unreadable) == {"b.mp4#t=1,2"}
    assert scanned.frames["a.mp4#t=1,2"] == 20
    assert scanned.frames["c.avi#t=1,2"] > 0


def test_time_stamps_that_go_back(tmp_path, write_timed, frame_numbers):
    """Two recordings in one transport stream: the second one begins at 0 again."""
    parts = [
        write_timed(tmp_path / f"{first}.ts", np.arange(40) / 20, range(first, first + 40))
        for first in (0, 40)
    ]
    (tmp_path / "a.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    rows = "a.ts,x,1,1.5", "a.ts,y,2.5,3"
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,start,end", *rows]))
    catalog = open_catalog(tmp_path)
    index = frame_index(tmp_path / "a.ts")
    assert np.all(np.diff(index.times) > 0)
    assert len(index.times) == 80 and not len(index.keyframes)  # decoded from the front
    assert index.end == pytest.approx(4, abs=0.3)
    source = source_of(catalog, clips=1)
    for place in range(2):
        numbers = source._numbers[catalog.videos[place].key]
        window = source.clip_spec(place, 0).window
        assert frame_numbers(source[place, 0]) == [numbers[n] for n in window]
    assert frame_numbers(source[1, 0])[0] > 40


def test_a_class_with_segments_of_one_file_is_noted(tmp_path, recordings):
    rows = "a.mp4,run,1,2", "b.mkv,run,1,2", "a.mp4,wave,3,4", "a.mp4,wave,5,6"
    notes = open_catalog(csv_of(tmp_path / "d", recordings, *rows)).notes
    notes = [note for note in notes if note.startswith("class")]  # the files are links
    assert len(notes) == 1
    assert "'wave'" in notes[0]


@pytest.mark.parametrize("flow", [None, "farneback"])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_pack_has_the_clips_of_its_segments(catalog, tmp_path, flow, workers):
    settings = PackSettings("raw", 40, 56, flow=flow)
    pack = make_pack(catalog, tmp_path / "pack", settings, workers=workers, reporter=Reporter())
    scanned = scan(catalog, workers=2)
    packed = pack.scan(pack.catalog.videos)
    assert packed.frames == scanned.frames
    assert packed.hashes == scanned.hashes
    assert pack.catalog.fingerprint == catalog.fingerprint
    assert sum(p.frames for p in pack.videos) == sum(map(len, scanned.numbers.values()))
    source = source_of(catalog)
    shape = ClipShape(**vars(SHAPE) | {"flow": flow})
    source.shape = shape
    rest = catalog.videos, scanned.frames, catalog.class_names, shape, UniformSampler(3)
    from_pack = PackSource(pack, *rest)
    for index in range(len(source)):
        assert np.array_equal(source[index, 0], from_pack[index, 0])


def test_a_pack_that_was_stopped_is_the_same_pack(catalog, tmp_path, monkeypatch):
    settings = PackSettings("raw", 40, 56)
    whole = make_pack(catalog, tmp_path / "one", settings, workers=1, reporter=Reporter())
    half = type(catalog)(catalog.root, catalog.videos[::2])
    make_pack(half, tmp_path / "two", settings, workers=1, reporter=Reporter())
    pack = make_pack(catalog, tmp_path / "two", settings, workers=1, reporter=Reporter())
    assert pack.scan(catalog.videos) == whole.scan(catalog.videos)
    assert not pack.verify(workers=1)


def test_background(catalog):
    found = with_background(catalog, "none", SHAPE, seed=1, workers=1)
    added = [video for video in found.videos if video.label == "none"]
    assert len(found) == len(catalog) + len(added) > len(catalog)
    assert found.class_names == ("none", "run", "walk")
    for video in added:
        assert video.group == video.path
        for other in catalog.videos:
            if other.path == video.path:
                end = 10 if other.end is None else other.end
                assert video.end <= other.start or video.start >= end
    seconds = sum(video.end - video.start for video in added)
    assert 4 < seconds < 10  # run has 8.9 s, walk 8.5 s, in pieces of 1.5 s
    assert found == with_background(catalog, "none", SHAPE, seed=1, workers=1)
    assert any(
        found.videos != with_background(catalog, "none", SHAPE, seed=s, workers=1).videos
        for s in range(2, 6)
    )
    assert len(scan(found, workers=1).frames) == len(found)  # none is beyond its file


def test_background_has_the_group_and_the_columns_of_the_segment_before_it(catalog):
    """A file may have several groups (blocks of time), and columns such as a date."""
    videos = tuple(
        dataclasses.replace(v, group=f"g{n}", extra={"day": str(n)})
        for n, v in enumerate(catalog.videos)
    )
    known = dataclasses.replace(catalog, videos=videos)
    found = with_background(known, "none", SHAPE, seed=1, workers=1)
    for video in found.videos:
        if video.label == "none":
            rows = [v for v in videos if v.path == video.path]
            before = [v for v in rows if (v.start or 0) <= video.start] or rows[:1]
            assert (video.group, video.extra) == (before[-1].group, before[-1].extra)


def test_background_that_cannot_be(catalog, ucf_set, user_error):
    with user_error("`background`", "run"):
        with_background(catalog, "run", SHAPE, seed=0)
    with user_error("`background`"):
        with_background(open_catalog(ucf_set), "none", SHAPE, seed=0)
    with user_error("`background`"):
        with_background(catalog, "none", ClipShape(frames=99, stride=9), seed=0)


def test_a_dataset_of_segments(catalog):
    assigned = {"a.mp4": "train", "b.mkv": "val", "c.mp4": "test", "d.mkv": "train"}
    split = Split(catalog, "csv", tuple(assigned[video.path] for video in catalog.videos))
    dataset = open_dataset(split, SHAPE, workers=1)
    assert len(dataset.training(seed=0, flip=False)) == 5
    assert split.copies == ()
    source = dataset.evaluation("test")
    assert source[0, 0].shape == SHAPE.array
