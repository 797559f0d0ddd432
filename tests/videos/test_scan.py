import json
import os
import shutil
from pathlib import Path

import pytest

from ar3d_keras.videos.catalog import Catalog, open_catalog
from ar3d_keras.videos.scan import scan


@pytest.fixture
def data(ucf_set, tmp_path):
    """A set of its own with one good, one empty, one dangling and one damaged video more."""
    root = shutil.copytree(ucf_set, tmp_path / "data")
    (root / "Archery/empty.avi").touch()
    (root / "Archery/gone.avi").symlink_to("nowhere.avi")
    (root / "Archery/text.avi").write_text("no video\n" * 10)
    return root


def replace_but_keep_the_stamp(path):
    """Other content that decodes to nothing, at the same size and time of change."""
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def cache_files(cache_home):
    return list(cache_home.rglob("*.json"))


@pytest.mark.parametrize("workers", [1, 4])
def test_counts_and_reasons(data, write_video, write_frames, workers):
    write_video(data / "Archery/한글 x\n.avi", 33)
    write_frames(data / "Archery/folder", 7)
    done = []
    catalog = open_catalog(data)
    found = scan(catalog, workers=workers, progress=done.append)
    odd = {"Archery/한글 x\n.avi": 33, "Archery/folder": 7}
    ucf = {video.path: 20 for video in catalog.videos if video.ucf_group}
    assert found.frames == ucf | odd
    assert found.unreadable == {
        "Archery/empty.avi": "the file is empty",
        "Archery/gone.avi": "cannot be opened: No such file or directory",
        "Archery/text.avi": "not a video that can be decoded",
    }
    assert len(found.frames) == 12
    assert done == list(range(16))


def test_the_second_probe_does_not_decode(ucf_set, tmp_path, cache_home):
    root = shutil.copytree(ucf_set, tmp_path / "data")
    catalog = open_catalog(root)
    first = scan(catalog, workers=2)
    assert len(cache_files(cache_home)) == 1
    for video in catalog.videos:
        replace_but_keep_the_stamp(root / video.path)
    done = []
    assert scan(catalog, workers=2, progress=done.append) == first
    assert done[-1] == len(catalog)  # the bar is full, though there was nothing to do


def test_a_changed_video_is_probed_again(ucf_set, tmp_path, write_video):
    root = shutil.copytree(ucf_set, tmp_path / "data")
    catalog = open_catalog(root)
    first = scan(catalog, workers=2)
    longer, touched, gone, *others = (video.path for video in catalog.videos)
    write_video(root / longer, 25)
    replace_but_keep_the_stamp(root / touched)
    os.utime(root / touched, ns=(1, 1))
    (root / gone).unlink()
    for path in others:
        replace_but_keep_the_stamp(root / path)
    second = scan(catalog, workers=2)
    assert second.frames == {longer: 25} | {path: first.frames[path] for path in others}
    assert set(second.unreadable) == {touched, gone}


def test_a_folder_of_frames_that_grew_is_probed_again(write_frames, tmp_path):
    clip = write_frames(tmp_path / "data/a/clip", 3)
    write_frames(tmp_path / "data/b/clip", 3)
    os.utime(clip, ns=(1, 1))
    catalog = open_catalog(tmp_path / "data")
    assert scan(catalog, workers=1).frames == {"a/clip": 3, "b/clip": 3}
    shutil.copy(clip / "img_1.png", clip / "img_4.png")
    assert scan(catalog, workers=1).frames == {"a/clip": 4, "b/clip": 3}


def test_a_failure_is_not_remembered(make_ucf, unprivileged, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(unprivileged / ".cache"))
    root = make_ucf(unprivileged / "data", groups=1)
    catalog = open_catalog(root)
    locked = catalog.videos[0].path
    (root / locked).chmod(0)
    assert scan(catalog, workers=1).unreadable == {locked: "cannot be opened: Permission denied"}
    (root / locked).chmod(0o600)  # changes neither size nor time of change
    assert scan(catalog, workers=1).frames[locked] == 20


def test_a_part_of_a_catalog_keeps_what_is_known_of_the_rest(ucf_set, tmp_path, write_video):
    root = shutil.copytree(ucf_set, tmp_path / "data")
    catalog = open_catalog(root)
    first = scan(catalog, workers=2)
    changed = catalog.videos[0].path
    write_video(root / changed, 25)
    assert scan(Catalog(catalog.root, catalog.videos[:2]), workers=1).frames[changed] == 25
    for video in catalog.videos:
        replace_but_keep_the_stamp(root / video.path)
    assert scan(catalog, workers=2).frames == first.frames | {changed: 25}


def test_two_data_sets_do_not_share_a_cache(ucf_set, tmp_path, cache_home):
    for name in ("one", "two"):
        scan(open_catalog(shutil.copytree(ucf_set, tmp_path / name)), workers=2)
    assert len(cache_files(cache_home)) == 2


@pytest.mark.parametrize(
    "name", [b"caf\xe9.avi", b"line\nbreak.avi", b"return\rback.avi", b'comma, "quote".avi']
)
def test_odd_names_are_remembered(ucf_set, tmp_path, name):
    root = shutil.copytree(ucf_set, tmp_path / "data")
    odd = os.fsencode(root / "Archery") + b"/" + name
    shutil.copyfile(next(root.rglob("*.avi")), odd)
    catalog = open_catalog(root)
    first = scan(catalog, workers=1)
    assert first.frames[os.fsdecode(b"Archery/" + name)] == 20
    replace_but_keep_the_stamp(root / "Archery" / os.fsdecode(name))
    assert scan(catalog, workers=1) == first


@pytest.mark.parametrize("obstacle", ["file", "folder without permission"])
def test_a_cache_that_cannot_be_written(write_frames, unprivileged, monkeypatch, obstacle):
    write_frames(unprivileged / "data/a/clip", 3)
    write_frames(unprivileged / "data/b/clip", 4)
    home = unprivileged / "cache"
    if obstacle == "file":
        home.write_text("no folder")
    else:
        home.mkdir(mode=0o500)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    found = scan(open_catalog(unprivileged / "data"), workers=1)
    assert found.frames == {"a/clip": 3, "b/clip": 4}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\xfe\0", b"{", b"[]", b"3", b'{"x": 3}', b'{"x": []}', b"null",
        json.dumps({f"Archery/v_Archery_g0{n}_c01.avi": ["", 0] for n in range(6)}).encode(),
    ],
)  # fmt: skip
def test_a_damaged_cache_is_ignored(ucf_set, cache_home, content):
    catalog = open_catalog(ucf_set)
    first = scan(catalog, workers=2)
    (cache,) = cache_files(cache_home)
    whole = cache.read_bytes()
    cache.write_bytes(content)
    assert scan(catalog, workers=2) == first
    assert cache.read_bytes() == whole  # and mended


def test_counts_that_make_no_sense_are_ignored(ucf_set, cache_home):
    catalog = open_catalog(ucf_set)
    first = scan(catalog, workers=2)
    (cache,) = cache_files(cache_home)
    known = json.loads(cache.read_text())
    for wrong in (0, -1, "20", None, 20.0):
        cache.write_text(
            json.dumps({path: [stamp, wrong, *rest] for path, (stamp, _, *rest) in known.items()})
        )
        assert scan(catalog, workers=2) == first


def test_what_was_counted_before_an_interrupt_is_kept(ucf_set, tmp_path, cache_home):
    root = shutil.copytree(ucf_set, tmp_path / "data")
    catalog = open_catalog(root)

    def interrupt(done):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(catalog, workers=1, progress=interrupt)
    known = json.loads(cache_files(cache_home)[0].read_text())
    assert len(known) == 4
    for path in known:
        replace_but_keep_the_stamp(root / path)
    assert len(scan(catalog, workers=1).frames) == len(catalog)


def test_the_hash_is_of_the_content_alone(write_video, write_frames, tmp_path):
    root = tmp_path / "data"
    first = write_video(root / "a/one.avi", 3)
    (root / "b").mkdir()
    shutil.copy(first, root / "b/the same.avi")
    write_video(root / "b/another.avi", 3, first=9)
    clip = write_frames(root / "a/clip", 3)
    shutil.copytree(clip, root / "b/copied clip")
    write_frames(root / "b/longer clip", 4)
    found = scan(open_catalog(root), workers=2)
    assert set(found.hashes) == set(found.frames)
    assert found.hashes["a/one.avi"] == found.hashes["b/the same.avi"]
    assert found.hashes["a/clip"] == found.hashes["b/copied clip"]
    assert len(set(found.hashes.values())) == 4
    assert scan(open_catalog(root), workers=2) == found  # from the cache


def test_without_a_home_folder_nothing_is_cached(ucf_set, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert len(scan(open_catalog(ucf_set), workers=1).frames) == 10
