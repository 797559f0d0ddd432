"""Catalogs, videos and packs in object stores: in memory, and on an S3 server on loopback."""

import numpy as np
import pytest

from ar3d_keras.cli import main
from ar3d_keras.progress import Reporter
from ar3d_keras.videos import isolation, remote
from ar3d_keras.videos.dataset import open_data, open_dataset
from ar3d_keras.videos.pack_index import PackSettings
from ar3d_keras.videos.packing import make_pack
from ar3d_keras.videos.packs import open_pack
from ar3d_keras.videos.reader import read_frames
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.splits import make_split
from ar3d_keras.videos.unlabelled import find_videos

fsspec = pytest.importorskip("fsspec")
SHAPE = ClipShape(frames=8, height=32, width=40, resize_height=40, resize_width=56, stride=2)
RAW = PackSettings("raw", 40, 56)


@pytest.fixture
def memory(ucf_set, monkeypatch):
    """memory://bucket/data: the videos of ucf_set, and a labels.csv."""
    system = fsspec.filesystem("memory", use_listings_cache=False)
    monkeypatch.setattr(remote, "_stamps", {})
    system.put(str(ucf_set), "/bucket/data", recursive=True)
    yield system
    system.rm("/bucket", recursive=True)


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("s3://b/k/v.avi", "s3://b/k/v.avi"),
        ("s3:/b/k/v.avi", "s3://b/k/v.avi"),
        ("/home/me/s3:/b/v.avi", "s3://b/v.avi"),
        ("gs://b/v", "gs://b/v"),
        ("/data/v.avi", None),
        ("C:/data/v.avi", None),
        ("rtsp://camera/1", None),
        ("odd-s3:/v.avi", None),
    ],
)
def test_what_is_remote(path, url):
    assert remote.is_remote(path) == (url is not None)
    assert url is None or remote.address(path) == url


def test_a_catalog_of_class_folders_and_of_a_csv(memory, ucf_set):
    memory.pipe("/bucket/data/notes.txt", b"none")
    catalog = open_data("memory://bucket/data")
    here = open_data(ucf_set)
    assert catalog.videos == here.videos and catalog.fingerprint == here.fingerprint
    rows = [f"{video.path},{video.label},g{i}" for i, video in enumerate(here.videos)]
    table = "\n".join(["path,label,group", *rows])
    memory.pipe("/bucket/data/labels.csv", table.encode())
    assert [v.group for v in open_data("memory://bucket/data").videos] == [
        v.group for v in open_data("memory://bucket/data/labels.csv").videos
    ]
    assert len(find_videos(["memory://bucket/data"])) == len(here)


def test_frames_and_the_scan_are_those_of_the_local_files(memory, ucf_set):
    catalog, here = open_data("memory://bucket/data"), open_data(ucf_set)
    assert scan(catalog, workers=2) == scan(here, workers=2)
    path = catalog.videos[0].path
    frames = [read_frames(root / path, [3, 17, 5], (40, 56)) for root in (catalog.root, here.root)]
    assert np.array_equal(*frames)


def test_a_video_that_is_missing_or_broken_is_one_video(memory):
    memory.pipe("/bucket/data/Archery/broken.avi", b"RIFF")
    memory.pipe("/bucket/data/Archery/gone.avi", b"RIFF")
    catalog = open_data("memory://bucket/data")
    memory.rm("/bucket/data/Archery/gone.avi")
    remote._stamps.clear()
    found = scan(catalog, workers=2)
    assert set(found.unreadable) == {"Archery/broken.avi", "Archery/gone.avi"}


def test_a_pack_of_remote_videos_is_that_of_the_local_ones(memory, ucf_set, tmp_path):
    made = []
    for data in ("memory://bucket/data", ucf_set):
        folder = tmp_path / str(len(made))
        make_pack(open_data(data), folder, RAW, workers=2, reporter=Reporter())
        made.append((folder / "shard-00000.bin").read_bytes())
    assert made[0] == made[1]


@pytest.fixture
def pack(ucf_set, tmp_path):
    return make_pack(open_data(ucf_set), tmp_path / "pack", RAW, workers=2, reporter=Reporter())


class Counted:
    """Counts the bytes that are read by ranges."""

    def __init__(self, system, monkeypatch):
        self.bytes, read = 0, system.cat_file

        def cat_file(path, start=None, end=None, **options):
            content = read(path, start=start, end=end, **options)
            self.bytes += len(content) if start is not None else 0
            return content

        monkeypatch.setattr(system, "cat_file", cat_file)


def test_a_remote_pack_gives_the_same_clips_by_ranges(memory, pack, monkeypatch):
    memory.put(str(pack.root), "/bucket/pack", recursive=True)
    monkeypatch.setattr(remote, "BLOCK", 1 << 16)
    counted = Counted(remote._file_system("memory"), monkeypatch)
    there = open_pack("memory://bucket/pack")
    key = there.videos[3].video.key
    source = open_dataset(
        make_split(open_data(pack.root), "group"), SHAPE, workers=1, reporter=Reporter()
    ).training(seed=1, flip=True)
    spec = source.clip_spec(0, 0)
    for _ in range(2):
        assert np.array_equal(there.read(key, spec, SHAPE), pack.read(key, spec, SHAPE))
    length = there.videos[3].length
    assert 0 < counted.bytes <= length + 3 * (1 << 16) < pack.bytes / 3
    assert there.verify(workers=2) == {}
    read = counted.bytes
    assert open_pack("memory://bucket/pack").verify(workers=2) == {}
    assert counted.bytes == read  # the second time from the cache
    content = bytearray(memory.cat_file("/bucket/pack/shard-00000.bin"))
    content[len(content) // 2] ^= 1
    memory.pipe("/bucket/pack/shard-00000.bin", bytes(content))
    assert len(open_pack("memory://bucket/pack").verify(workers=1)) == 1


def test_the_cache_is_bounded(memory, monkeypatch, cache_home):
    monkeypatch.setattr(remote, "BLOCK", 1000)
    monkeypatch.setenv("AR3D_REMOTE_CACHE_GB", "2e-5")  # 20 kB
    monkeypatch.setattr(remote, "_held", {})
    memory.pipe("/bucket/large", bytes(range(256)) * 400)
    with remote.open_binary("memory://bucket/large") as file:
        assert file.read() == bytes(range(256)) * 400
        file.seek(-10, 2)
        assert file.read() == bytes(range(246, 256))
    kept = sum(f.stat().st_size for f in (cache_home / "ar3d_keras/remote").iterdir())
    assert 15_000 < kept <= 20_000


def test_a_missing_library(monkeypatch, user_error):
    remote._file_system.cache_clear()
    monkeypatch.setattr(
        fsspec, "filesystem", lambda *_, **__: (_ for _ in ()).throw(ImportError("x"))
    )
    with user_error("ar3d-keras[cloud]"):
        open_data("gs://bucket/data")
    remote._file_system.cache_clear()


# An S3 server


@pytest.fixture(scope="module")
def server():
    moto = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(server, monkeypatch, ucf_set):
    import s3fs

    for name, value in (
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", server),
        ("AWS_MAX_ATTEMPTS", "1"),
    ):
        monkeypatch.setenv(name, value)
    isolation._end()  # the decoders of earlier tests do not know the server
    s3fs.S3FileSystem.clear_instance_cache()
    remote._file_system.cache_clear()
    monkeypatch.setattr(remote, "_stamps", {})
    system = remote._file_system("s3")
    system.mkdir("bucket")
    system.put(str(ucf_set), "bucket/data", recursive=True)
    yield system
    if system.exists("bucket"):
        system.rm("bucket", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()
    remote._file_system.cache_clear()


def test_packing_from_s3_and_reading_the_pack_there(s3, ucf_set, pack, tmp_path):
    """The videos are decoded in processes of their own, which read them from the server."""
    data = ["--data", "s3://bucket/data", "--resize", "40", "56"]
    assert main(["pack", *data, "--out", str(tmp_path / "s3")]) == 0
    shard = "shard-00000.bin"
    assert (tmp_path / "s3" / shard).read_bytes() == (pack.root / shard).read_bytes()
    s3.put(str(pack.root), "bucket/pack", recursive=True)
    assert main(["check", "--data", "s3://bucket/pack"]) == 0
    assert open_data("s3://bucket/pack").fingerprint == open_data(ucf_set).fingerprint


@pytest.mark.parametrize("data", ["s3://none/data", "s3://none/pack/labels.csv"])
def test_a_bucket_that_is_not_there(s3, data, capsys):
    assert main(["check", "--data", data]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and "s3://none" in error


def test_a_bucket_without_permission(s3, monkeypatch, capsys):
    def refused(*_, **__):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(s3, "find", refused)
    assert main(["check", "--data", "s3://bucket/data"]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and "Access Denied" in error


def test_a_bucket_that_vanishes_in_the_middle(memory, ucf_set, tmp_path, monkeypatch, user_error):
    """Nothing is lost, and the same command goes on."""
    catalog, system = open_data("memory://bucket/data"), remote._file_system("memory")
    read, count = system.cat_file, []

    def broken(*given, **options):
        count.append(1)
        if len(count) > 4:
            raise ConnectionError("no route to host")
        return read(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(system, "cat_file", broken)
        with user_error("memory://bucket/data", "no route to host"):
            make_pack(catalog, tmp_path / "pack", RAW, workers=1, reporter=Reporter())
    kept = (tmp_path / "pack/packing.jsonl").read_text().count("\n") - 1
    assert 0 < kept < len(catalog)
    make_pack(catalog, tmp_path / "pack", RAW, workers=1, reporter=Reporter())
    make_pack(open_data(ucf_set), tmp_path / "whole", RAW, workers=1, reporter=Reporter())
    name = "shard-00000.bin"
    assert (tmp_path / "pack" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_pack_cannot_be_written_there(ucf_set, capsys):
    assert main(["pack", "--data", str(ucf_set), "--out", "memory://bucket/p"]) == 2
    assert "--out" in capsys.readouterr().err
