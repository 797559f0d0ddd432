"""Which videos a path stands for."""

import os

from ar3d_keras.videos.unlabelled import find_videos


def found(*paths):
    return [video.path for video in find_videos(paths).videos]


def test_a_file_is_a_video_whatever_its_name(tmp_path, monkeypatch):
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "camera-3").touch()
    monkeypatch.chdir(tmp_path)
    assert found("clip.mp4", tmp_path / "camera-3") == ["clip.mp4", f"{tmp_path}/camera-3"]
    assert {video.label for video in find_videos(["clip.mp4"]).videos} == {None}


def test_a_folder_is_walked_in_natural_order(tmp_path):
    for name in ("b/video10.avi", "b/video9.AVI", "a/deep/er/x.webm", "notes.txt", ".hidden/y.avi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = ["a/deep/er/x.webm", "b/video9.AVI", "b/video10.avi"]
    assert found(tmp_path) == [f"{tmp_path}/{name}" for name in names]


def test_a_folder_of_frames_is_one_video(write_frames, tmp_path):
    write_frames(tmp_path / "set/one")
    write_frames(tmp_path / "set/two")
    assert found(tmp_path / "set") == [f"{tmp_path}/set/one", f"{tmp_path}/set/two"]
    assert found(tmp_path / "set/two") == [f"{tmp_path}/set/two"]


def test_pictures_beside_videos_are_none(tmp_path):
    for name in ("video.mp4", "video.jpg"):
        (tmp_path / name).touch()
    assert found(tmp_path) == [f"{tmp_path}/video.mp4"]


def test_a_video_that_is_named_twice_is_taken_once(tmp_path):
    (tmp_path / "video.mp4").touch()
    assert found(tmp_path / "video.mp4", tmp_path) == [f"{tmp_path}/video.mp4"]


def test_a_loop_of_links_ends(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/video.mp4").touch()
    (tmp_path / "videos/again").symlink_to(tmp_path)
    (tmp_path / "videos/loop.mp4").symlink_to("loop.mp4")
    names = ["videos/loop.mp4", "videos/video.mp4"]
    assert found(tmp_path) == [f"{tmp_path}/{name}" for name in names]


def test_names_that_are_no_utf_8(tmp_path):
    name = os.fsdecode(b"caf\xe9.mp4")
    (tmp_path / name).touch()
    assert found(tmp_path) == [f"{tmp_path}/{name}"]


def test_paths_that_lead_nowhere(tmp_path, user_error):
    with user_error(f"no video at {tmp_path}/gone.mp4", "No such file"):
        find_videos([tmp_path / "gone.mp4"])
    with user_error(f"no videos in {tmp_path}"):
        find_videos([tmp_path])


def test_what_is_not_a_video_is_named(tmp_path, write_frames):
    write_frames(tmp_path / "frames", 3)
    for name in ("flow_x_1.png", "cover.png"):
        (tmp_path / "frames" / name).touch()
    for name in ("clip.MTS", "clip.avi ", "readme.nfo", "cover.jpg", "sound.mp3", "@eaDir/x.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    catalog = find_videos([tmp_path])
    assert [os.path.relpath(v.path, tmp_path) for v in catalog.videos] == [
        *("clip.MTS", "clip.avi ", "frames")
    ]
    ignored = {os.path.relpath(path, tmp_path): reason for path, reason in catalog.ignored}
    assert set(ignored) == {
        *("readme.nfo", "cover.jpg", "sound.mp3", "@eaDir"),
        *("frames/flow_x_#.png (1 images)", "frames/cover.png (1 images)"),
    }
    assert len(catalog.notes) == len(set(ignored.values())) == 5


def test_addresses_and_pipes_are_refused(tmp_path, user_error):
    for address in ("http://x/y.mp4", "rtsp://camera/1"):
        with user_error("--camera"):
            find_videos([address])
    os.mkfifo(tmp_path / "pipe.avi")
    with user_error("pipe.avi", "--camera"):
        find_videos([tmp_path / "pipe.avi"])


def test_a_folder_that_is_closed(unprivileged, user_error):
    closed = unprivileged / "closed"
    closed.mkdir(mode=0)
    with user_error("no video at", "Permission denied"):
        find_videos([closed])


def test_real_folders(realdata):
    assert len(found(realdata("frames"))) == 4
    assert len(found(realdata("odd"), realdata("kth"), realdata("ucf101"))) == 7
