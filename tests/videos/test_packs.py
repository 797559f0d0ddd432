"""Packs: what is written, that clips are those of the videos, and what damage says."""

import dataclasses
import json
import shutil
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar3d_keras.progress import Reporter
from ar3d_keras.videos import dataset as datasets
from ar3d_keras.videos import pack_index, pack_worker, packing, shards
from ar3d_keras.videos.dataset import open_data, open_dataset
from ar3d_keras.videos.pack_index import INDEX, JOURNAL, PackSettings, digest, is_pack
from ar3d_keras.videos.pack_journal import write_journal
from ar3d_keras.videos.packing import close_pack, make_pack
from ar3d_keras.videos.packs import open_pack
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.sources import PackSource, RandomSampler, UniformSampler, VideoSource
from ar3d_keras.videos.splits import make_split

SHAPE = ClipShape(frames=8, height=32, width=40, resize_height=40, resize_width=56, stride=2)
RAW = PackSettings("raw", 40, 56)
JPEG = PackSettings("jpeg", 40, 56, 95)
FLOW = PackSettings("raw", 40, 56, flow="dis")


class Listener(Reporter):
    def __init__(self):
        self.lines = []

    def log(self, text):
        self.lines.append(text)


def pack_of(data, folder, made_with=RAW, **options):
    options = {"workers": 3, "reporter": Reporter()} | options
    return make_pack(open_data(data), folder, made_with, **options)


def files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != packing.LOCK}


def sources(data, pack, shape, views):
    catalog = open_data(data)
    scanned = scan(catalog, workers=2)
    videos = [video for video in catalog.videos if video.path in scanned.frames]
    rest = videos, scanned.frames, catalog.class_names, shape, views
    return VideoSource(catalog.root, *rest), PackSource(pack, *rest)


@pytest.fixture(scope="module")
def odd_set(write_video, write_frames, tmp_path_factory):
    """Videos of 1, 3, 17, 40 and 90 frames, of several sizes, one as frames, and one that is none."""
    root = tmp_path_factory.mktemp("odd")
    write_video(root / "a/one.avi", 1)
    write_video(root / "a/three.mp4", 3, first=50, codec="mp4v")
    write_video(root / "a/long.avi", 90, first=100, size=(96, 80))
    write_video(root / "b/v.avi", 40, first=60)
    write_frames(root / "b/frames", 17, first=20)
    (root / "b/none.avi").write_bytes(b"RIFF and no more")
    return root


@pytest.fixture(scope="module")
def odd_packs(odd_set, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    return {
        s.codec: pack_of(odd_set, folder / s.codec, s, shard_bytes=200_000) for s in (RAW, JPEG)
    }


@pytest.fixture
def ucf_pack(ucf_set, tmp_path):
    return pack_of(ucf_set, tmp_path / "pack", shard_bytes=500_000)


# The same clips


def test_the_catalog_is_that_of_the_videos(odd_set, odd_packs):
    videos = open_data(odd_set)
    for pack in odd_packs.values():
        packed = open_data(pack.root)
        assert packed.videos == videos.videos
        assert packed.class_names == videos.class_names
        assert packed.fingerprint == videos.fingerprint
        scanned = scan(videos, workers=1)
        # A pack does not keep what only the data report shows.
        assert pack.scan(packed.videos) == dataclasses.replace(scanned, properties={})


def test_labels_groups_splits_and_columns_of_a_csv_are_kept(ucf_set, tmp_path):
    root = shutil.copytree(ucf_set, tmp_path / "data")
    rows = [
        f"{path.relative_to(root)},{i % 2},g{i},train,ünï"
        for i, path in enumerate(root.rglob("*.avi"))
    ]
    (root / "labels.csv").write_text("path,label,group,split,note\n" + "\n".join(rows))
    assert open_data(pack_of(root, tmp_path / "pack").root).videos == open_data(root).videos


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 1000),
    frames=st.integers(1, 20),
    stride=st.integers(1, 6),
    height=st.integers(1, 40),
    width=st.integers(1, 56),
    flip=st.booleans(),
    grid=st.booleans(),
    sampling=st.sampled_from(["stride", "uniform"]),
)
def test_raw_clips_are_those_of_the_videos_bit_for_bit(
    odd_set, odd_packs, seed, epoch, frames, stride, height, width, flip, grid, sampling
):
    shape = ClipShape(frames, height, width, 40, 56, stride, sampling=sampling)
    views = UniformSampler(2, 3) if grid else RandomSampler(seed, flip)
    decoded, packed = sources(odd_set, odd_packs["raw"], shape, views)
    assert len(decoded) == len(packed)
    for index in range(len(decoded)):
        clip = packed[index, epoch]
        assert clip.dtype == np.uint8 and clip.flags.c_contiguous
        assert np.array_equal(clip, decoded[index, epoch])
        out = np.full_like(clip, 7)
        assert packed.read(index, epoch, out) is out
        assert np.array_equal(out, clip)
    assert packed.failures == {}


@pytest.mark.parametrize("seed", range(3))
def test_jpeg_clips_show_the_same_windows_and_crops(odd_set, odd_packs, frame_numbers, seed):
    decoded, packed = sources(odd_set, odd_packs["jpeg"], SHAPE, RandomSampler(seed, True))
    for index in range(len(decoded)):
        one, other = decoded[index, seed], packed[index, seed]
        assert frame_numbers(one) == frame_numbers(other)
        assert np.abs(one.astype(int) - other).mean() < 2


def test_real_videos(realdata, tmp_path):
    """Real codecs: every frame of every file, against decoding that file from its front."""
    root = tmp_path / "data"
    for path in sorted(realdata("fight").glob("*/*.mp4"))[::30]:
        (root / path.parent.name).mkdir(parents=True, exist_ok=True)
        (root / path.parent.name / path.name).symlink_to(path)
    shape = ClipShape()
    pack = pack_of(root, tmp_path / "pack", PackSettings("raw", 128, 171))
    decoded, packed = sources(root, pack, shape, RandomSampler(5, True))
    for index in range(len(decoded)):
        assert np.array_equal(decoded[index, 2], packed[index, 2])


def test_a_dataset_from_a_pack_is_that_of_the_videos(ucf_set, ucf_pack):
    one, other = (
        open_dataset(make_split(open_data(root), "group"), SHAPE, workers=2, reporter=Reporter())
        for root in (ucf_set, ucf_pack.root)
    )
    assert other.pack is not None and one.pack is None
    assert one.frames == other.frames
    assert one.split.assigned == other.split.assigned
    for get in (
        lambda d: d.training(seed=1, flip=True),
        lambda d: d.evaluation("test", clips=2, crops=3),
    ):
        a, b = get(one), get(other)
        assert isinstance(b, PackSource)
        assert a.labels.tolist() == b.labels.tolist()
        for index in range(len(a)):
            assert np.array_equal(a[index, 3], b[index, 3])


def test_pages_are_given_back_and_clips_stay_right(odd_set, odd_packs, monkeypatch):
    monkeypatch.setattr(shards, "MAPPED_BYTES", 30_000)
    for pack in odd_packs.values():
        assert pack.verify(workers=3) == {}
    decoded, packed = sources(odd_set, odd_packs["raw"], SHAPE, RandomSampler(1, True))
    assert all(np.array_equal(decoded[i, 0], packed[i, 0]) for i in range(len(decoded)))


# How it is made


def test_shards_are_bounded_and_hold_everything_once(odd_packs):
    for pack in odd_packs.values():
        sizes = [len(content) for name, content in files(pack.root).items() if "shard" in name]
        assert sum(sizes) == pack.bytes
        for size in sizes:  # a video that is larger than a shard stands alone
            alone = any(packed.length == size for packed in pack.videos)
            assert size <= 200_000 or alone
        assert not is_pack(pack.source)
    assert odd_packs["jpeg"].bytes < odd_packs["raw"].bytes / 4
    assert len(sizes) >= 1


@pytest.mark.parametrize("made_with", [RAW, JPEG, FLOW], ids=["raw", "jpeg", "flow"])
def test_the_number_of_threads_changes_no_byte(ucf_set, tmp_path, made_with):
    one = pack_of(ucf_set, tmp_path / "one", made_with, workers=1, shard_bytes=300_000)
    many = pack_of(ucf_set, tmp_path / "many", made_with, workers=5, shard_bytes=300_000)
    assert files(one.root) == files(many.root)


def test_a_video_larger_than_memory_allows_waits_in_a_file(odd_set, tmp_path, monkeypatch):
    expected = files(pack_of(odd_set, tmp_path / "one").root)
    monkeypatch.setattr(pack_worker, "SPOOL_BYTES", 10_000)
    assert files(pack_of(odd_set, tmp_path / "two").root) == expected


def test_what_cannot_be_decoded_is_in_the_index_with_its_reason(odd_packs):
    (failed,) = (packed for packed in odd_packs["raw"].videos if packed.reason)
    assert failed.video.path == "b/none.avi"
    assert failed.reason == "not a video that can be decoded"
    assert failed.frames == 0


def test_nothing_to_decode(tmp_path, user_error):
    for name in ("a/1.avi", "b/1.avi"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    for _ in range(2):
        with user_error("no video of", "/1.avi: the file is empty"):
            pack_of(tmp_path, tmp_path / "pack")
    assert not is_pack(tmp_path / "pack")


class Stopped(BaseException):
    pass


def stop_after(monkeypatch, videos):
    """The process ends, as far as files show it, when so many videos have been packed."""
    append, count = packing._Packing._append, []

    def counted(self, *arguments):
        if len(count) == videos:
            raise Stopped
        count.append(append(self, *arguments))

    monkeypatch.setattr(packing._Packing, "_append", counted)


@pytest.mark.parametrize("made_with", [RAW, FLOW], ids=["raw", "flow"])
@pytest.mark.parametrize("harm", ["nothing", "torn line", "bytes more", "bytes lost", "flipped"])
def test_a_stopped_pack_goes_on_and_ends_as_one_made_in_one_go(
    ucf_set, tmp_path, monkeypatch, harm, made_with
):
    whole = files(pack_of(ucf_set, tmp_path / "whole", made_with, shard_bytes=400_000).root)
    folder = tmp_path / "pack"
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(Stopped):
            pack_of(ucf_set, folder, made_with, shard_bytes=400_000)
    shard = max(folder.glob("shard-*"))
    if harm == "torn line":
        with (folder / JOURNAL).open("a") as journal:
            journal.write('12345678 {"path": "a')
    if harm == "bytes more":
        shard.write_bytes(shard.read_bytes() + b"half a video")
        (folder / "shard-00007.bin").write_bytes(b"and more")
    if harm == "bytes lost":
        shard.write_bytes(shard.read_bytes()[:-100])
    if harm == "flipped":
        shard.write_bytes(shard.read_bytes()[:-100] + bytes(100))
    listener, seen = Listener(), []
    decode = pack_worker.PackWorker.__call__
    monkeypatch.setattr(
        pack_worker.PackWorker, "__call__", lambda *given: seen.append(1) or decode(*given)
    )
    pack_of(ucf_set, folder, made_with, shard_bytes=400_000, reporter=listener)
    kept = 5 if harm in ("nothing", "torn line", "bytes more") else 4
    assert listener.lines[0] == f"continuing after {kept} of 10 videos"
    assert listener.lines[1].startswith(f"packed {10 - kept} videos in ")
    assert len(seen) == 10 - kept
    assert files(folder) == whole


def test_killed_between_the_index_and_the_journals_end(ucf_set, ucf_pack):
    write_journal(ucf_pack.root, RAW, [p for p in ucf_pack.videos if p.frames])
    before = files(ucf_pack.root)
    del before[JOURNAL]
    assert pack_of(ucf_set, ucf_pack.root).videos == ucf_pack.videos
    assert files(ucf_pack.root) == before


@pytest.mark.parametrize(
    ("line", "told"),
    [('{"version": 6}', "begun as a pack of version 6"), ("dust", "is damaged")],
)
def test_an_unfinished_pack_that_cannot_be_continued(ucf_set, tmp_path, user_error, line, told):
    (tmp_path / JOURNAL).write_text(f"{zlib.crc32(line.encode()) * (line != 'dust'):08x} {line}\n")
    (tmp_path / "shard-00000.bin").write_bytes(b"something of worth")
    with user_error(str(tmp_path), told, "remove it and pack again"):
        pack_of(ucf_set, tmp_path)
    assert (tmp_path / "shard-00000.bin").read_bytes() == b"something of worth"


def test_a_finished_pack_is_left_as_it_is(ucf_set, ucf_pack):
    names = files(ucf_pack.root)
    before = {name: (ucf_pack.root / name).stat() for name in names}
    pack_of(ucf_set, ucf_pack.root)
    for name, was in before.items():  # it was read, and not written
        now = (ucf_pack.root / name).stat()
        assert (now.st_ino, now.st_mtime_ns, now.st_ctime_ns) == (
            was.st_ino, was.st_mtime_ns, was.st_ctime_ns
        )  # fmt: skip


def test_an_unfinished_pack_can_be_closed_used_and_continued(
    ucf_set, tmp_path, monkeypatch, user_error
):
    folder = tmp_path / "pack"
    with user_error("no unfinished pack"):
        close_pack(open_data(ucf_set), folder, reporter=Reporter())
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        with pytest.raises(Stopped):
            pack_of(ucf_set, folder)
    closed = close_pack(open_data(ucf_set), folder, reporter=Reporter())
    reasons = [packed.reason for packed in closed.videos]
    assert (reasons.count(None), reasons.count(packing.NOT_PACKED)) == (6, 4)
    opened_late = open_dataset(
        make_split(open_data(folder), "group"),
        SHAPE,
        workers=1,
        reporter=Reporter(),
        splits=["test"],
    )
    assert set(opened_late.unreadable.values()) <= {packing.NOT_PACKED}
    assert closed.verify(workers=2) == {}
    whole = pack_of(ucf_set, folder)
    assert all(packed.frames == 20 for packed in whole.videos)


def test_new_and_changed_videos_are_packed_and_no_others(
    ucf_set, write_video, tmp_path, user_error
):
    root = shutil.copytree(ucf_set, tmp_path / "data")
    pack = pack_of(root, tmp_path / "pack")
    changed, gone, *kept = pack.videos
    write_video(root / changed.video.path, 25, first=77)
    write_video(root / "Archery/v_Archery_g09_c01.avi", 9)
    (root / gone.video.path).unlink()
    with user_error("1 of 10 videos", "have changed", changed.video.path, "`ar3d pack` command"):
        pack.check_unchanged()
    again = pack_of(root, pack.root)
    again.check_unchanged()
    assert again.verify(workers=1) == {}
    assert again.catalog.videos == open_data(root).videos
    assert all(packed in again.videos for packed in kept)
    decoded, packed = sources(root, again, SHAPE, RandomSampler(0, True))
    assert all(np.array_equal(decoded[i, 0], packed[i, 0]) for i in range(len(decoded)))


def test_a_failure_that_was_mended_is_packed(odd_set, write_video, tmp_path):
    root = shutil.copytree(odd_set, tmp_path / "data")
    pack_of(root, tmp_path / "pack")
    write_video(root / "b/none.avi", 5)
    assert all(packed.frames for packed in pack_of(root, tmp_path / "pack").videos)


def flip_a_bit(file, place):
    content = bytearray(file.read_bytes())
    content[place] ^= 4
    file.write_bytes(content)


DAMAGE = {
    "bit": lambda shard: flip_a_bit(shard, 100_000),
    "bits": lambda shard: [flip_a_bit(shard, place) for place in range(0, 400_000, 30_000)],
    "table": lambda shard: flip_a_bit(shard, -3),
    "cut": lambda shard: shard.write_bytes(shard.read_bytes()[:-1000]),
    "empty": lambda shard: shard.write_bytes(b""),
    "missing": lambda shard: shard.unlink(),
    "longer": lambda shard: shard.write_bytes(shard.read_bytes() + b"more"),
    "index": lambda shard: flip_a_bit(shard.with_name(INDEX), 200),
    "no index": lambda shard: shard.with_name(INDEX).write_bytes(b""),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_pack_is_mended_in_place(ucf_set, ucf_pack, damage, number):
    before = files(ucf_pack.root)
    DAMAGE[damage](ucf_pack.root / f"shard-{number:05d}.bin")
    assert files(ucf_pack.root) != before
    told = Listener()
    pack_of(ucf_set, ucf_pack.root, reporter=told, shard_bytes=500_000)
    assert files(ucf_pack.root) == before, told.lines


def test_a_damaged_video_that_is_gone_is_named(ucf_set, tmp_path):
    root = shutil.copytree(ucf_set, tmp_path / "data")
    pack = pack_of(root, tmp_path / "pack")
    gone = next(packed for packed in pack.videos if packed.offset == 0)
    flip_a_bit(tmp_path / "pack/shard-00000.bin", 10)
    (root / gone.video.path).write_bytes(b"")
    again = {p.video.path: p for p in pack_of(root, tmp_path / "pack").videos}
    assert again[gone.video.path].reason and not again[gone.video.path].frames
    assert sum(packed.frames > 0 for packed in again.values()) == len(pack.videos) - 1


# What is refused


@pytest.mark.parametrize("asked", [JPEG, FLOW, dataclasses.replace(RAW, height=41)])
def test_other_settings_than_the_pack_was_begun_with(ucf_set, ucf_pack, asked, user_error):
    with user_error("other settings (raw, 40x56)", str(asked)):
        pack_of(ucf_set, ucf_pack.root, asked)


def test_other_videos_than_the_pack_was_begun_with(odd_set, ucf_pack, user_error):
    before = files(ucf_pack.root)
    with user_error("a pack of other videos", str(odd_set)):
        pack_of(odd_set, ucf_pack.root)
    assert files(ucf_pack.root) == before


def test_a_folder_of_other_things(ucf_set, tmp_path, user_error):
    (tmp_path / "thesis.txt").write_text("ten years")
    with user_error(str(tmp_path), "holds other files (thesis.txt)"):
        pack_of(ucf_set, tmp_path)
    with user_error("cannot be made"):
        pack_of(ucf_set, tmp_path / "thesis.txt")


def opened(root, shape=SHAPE):
    split = make_split(open_data(root), "group")
    return open_dataset(split, shape, workers=2, reporter=Reporter())


def test_a_pack_of_another_version(ucf_pack, user_error):
    content = json.loads((ucf_pack.root / INDEX).read_text())
    content["version"] = 6
    (ucf_pack.root / INDEX).write_text(json.dumps({**content, "sha256": digest(content)}))
    with user_error("a pack of version 6 and this ar3d_keras reads version 5"):
        opened(ucf_pack.root)


@pytest.mark.parametrize(
    ("old", "new"), [("Archery/v", "Archery/w"), ("{", "["), ('"source"', '"sauce"')]
)
def test_a_changed_index(ucf_pack, user_error, old, new):
    index = ucf_pack.root / INDEX
    index.write_text(index.read_text().replace(old, new, 1))
    with user_error(str(index), "is damaged", "pack again"):
        opened(ucf_pack.root)


def test_a_missing_or_short_shard(ucf_pack, user_error):
    shard = ucf_pack.root / "shard-00000.bin"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    with user_error(str(shard), f"has {len(content) - 1} bytes instead of {len(content)}"):
        opened(ucf_pack.root)
    shard.unlink()
    with user_error(str(shard), "is missing"):
        opened(ucf_pack.root)


def test_a_half_written_pack(ucf_set, tmp_path, monkeypatch, user_error):
    stop_after(monkeypatch, 3)
    with pytest.raises(Stopped):
        pack_of(ucf_set, tmp_path / "pack")
    with user_error(str(tmp_path / "pack"), "a pack that is not finished", "--close"):
        opened(tmp_path / "pack")


def test_frames_of_another_size(ucf_pack, user_error):
    with user_error("holds frames of 40x56", "resizes to 48x56", "`resize` to 40 56"):
        opened(ucf_pack.root, dataclasses.replace(SHAPE, resize_height=48))


def test_videos_that_changed_or_are_gone(ucf_set, tmp_path, user_error):
    root = shutil.copytree(ucf_set, tmp_path / "data")
    pack = pack_of(root, tmp_path / "pack")
    first, second = (packed.video.path for packed in pack.videos[:2])
    (root / first).unlink()
    opened(pack.root)  # a single one that is gone is fine, and so are all
    (root / second).write_bytes((root / second).read_bytes() + b"\0")
    with user_error("1 of 10 videos in", "have changed since they were packed", second):
        opened(pack.root)
    shutil.rmtree(root)
    opened(pack.root)


def flip(pack, place):
    shard = pack.root / "shard-00000.bin"
    content = bytearray(shard.read_bytes())
    content[place] ^= 1
    shard.write_bytes(content)


@settings(max_examples=25)
@given(place=st.integers(0, 10**9), codec=st.sampled_from(["raw", "jpeg"]))
def test_a_flipped_byte_never_gives_a_wrong_clip(
    odd_set, odd_packs, tmp_path_factory, place, codec
):
    """In a large pack: every clip is right or is named as damaged."""
    original = odd_packs[codec]
    folder = shutil.copytree(original.root, tmp_path_factory.mktemp("flipped") / "pack")
    pack = open_pack(folder)
    flip(pack, place % (folder / "shard-00000.bin").stat().st_size)
    _, right = sources(odd_set, original, SHAPE, UniformSampler(6))
    _, packed = sources(odd_set, pack, SHAPE, UniformSampler(6))
    damaged = open_pack(folder).verify(workers=2)
    assert len(damaged) == 1
    for index in range(len(packed)):
        clip = packed[index, 0]
        assert clip is None or np.array_equal(clip, right[index, 0])
    assert set(packed.failures) <= set(damaged)
    assert all("checksum" in reason for reason in packed.failures.values())


def test_a_flipped_byte_in_a_small_pack_is_refused_at_once(ucf_pack, user_error, monkeypatch):
    second = next(p for p in ucf_pack.videos if p.shard == 0 and p.offset)
    flip(ucf_pack, second.offset + 5000)
    told = second.video.path, "frame 0 in shard-00000.bin is damaged"
    with user_error("1 of 10 videos in the pack", *told):
        opened(ucf_pack.root)
    monkeypatch.setattr(datasets, "SMALL_PACK", 0)  # in a large one, when it is read
    opened(ucf_pack.root)


def test_paths_that_are_not_in_the_pack(ucf_set, ucf_pack):
    catalog = open_data(ucf_set)
    stranger = dataclasses.replace(catalog.videos[0], path="Archery/other.avi")
    assert "not in the pack" in ucf_pack.scan([stranger]).unreadable["Archery/other.avi"]


def test_settings_and_lines_survive_json(odd_packs):
    for packed in odd_packs["raw"].videos:
        again = pack_index.PackedVideo.from_json(json.loads(json.dumps(packed.to_json())))
        assert again == packed
