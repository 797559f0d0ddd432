import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar3d_keras.errors import UserError
from ar3d_keras.videos.reader import (
    ReadError,
    cores,
    count_frames,
    decoding_threads,
    every_frame,
    load_cv2,
    mirror,
    read_frames,
)

cv2 = load_cv2()

SIZE = (48, 64)


@pytest.fixture(scope="module")
def video(write_video, tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "video.avi", 60)


@pytest.fixture(scope="module")
def folder(write_frames, tmp_path_factory):
    return write_frames(tmp_path_factory.mktemp("frames") / "clip", 30)


def fails(call, *parts):
    """`call` raises a ReadError that gives all `parts` as the reason, on one line."""
    with pytest.raises(ReadError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def unreadable(path, *parts):
    """Neither counted nor read, one by one or whole, for the same reason."""
    fails(lambda: count_frames(path), *parts)
    fails(lambda: read_frames(path, [0], SIZE), *parts)
    fails(lambda: list(every_frame(path, SIZE)), *parts)


# Frames by number


@settings(max_examples=30)
@given(wanted=st.lists(st.integers(0, 59), min_size=1, max_size=20))
def test_frames_of_a_file_in_any_order_with_repeats(video, frame_numbers, wanted):
    frames = read_frames(video, wanted, SIZE)
    assert frames.shape == (len(wanted), *SIZE, 3)
    assert frames.dtype == np.uint8
    assert frame_numbers(frames) == wanted


@settings(max_examples=20)
@given(wanted=st.lists(st.integers(0, 29), min_size=1, max_size=20))
def test_frames_of_a_folder_in_any_order_with_repeats(folder, frame_numbers, wanted):
    assert frame_numbers(read_frames(folder, np.array(wanted), SIZE)) == wanted


def test_every_frame_is_counted(video, folder, write_video, tmp_path):
    assert count_frames(video) == 60
    assert count_frames(str(folder)) == 30
    assert count_frames(write_video(tmp_path / "one.avi", 1)) == 1


def agrees(path, size=SIZE):
    """Decoded whole, a video has the frames that are counted, and the ones read by number."""
    whole = np.stack(list(every_frame(path, size)))[..., ::-1]
    assert len(whole) == count_frames(path)
    chosen = np.arange(len(whole))[:: 1 + len(whole) // 20]
    assert np.array_equal(whole[chosen], read_frames(path, chosen, size))


def test_a_whole_video_is_its_frames(video, folder):
    agrees(video)
    agrees(folder, (21, 33))


@pytest.mark.parametrize("folder", ["odd", "ucf101", "kth"])
def test_whole_real_videos_are_their_frames(realdata, folder):
    """Rotated ones, ones whose header lies, ones that end in the middle."""
    videos = [f for f in realdata(folder).rglob("*") if f.suffix in (".avi", ".mp4", ".mov")]
    for path in sorted(videos)[:6]:
        try:
            count_frames(path)
        except ReadError as error:
            fails(lambda path=path: list(every_frame(path, SIZE)), str(error))
        else:
            agrees(path)


@pytest.mark.parametrize(
    ("name", "codec"), [("x.mp4", "mp4v"), ("x.mkv", "XVID"), ("x.avi", "MJPG"), ("X.AVI", "XVID")]
)
def test_other_containers(write_video, frame_numbers, tmp_path, name, codec):
    path = write_video(tmp_path / name, 40, codec=codec)
    assert count_frames(path) == 40
    assert frame_numbers(read_frames(path, [39, 0, 17], SIZE)) == [39, 0, 17]


def test_colours_are_red_green_blue(tmp_path):
    (tmp_path / "clip").mkdir()
    red = np.full((*SIZE, 3), (10, 20, 250), np.uint8)  # OpenCV writes blue, green, red
    cv2.imencode(".png", red)[1].tofile(tmp_path / "clip/1.png")
    assert (read_frames(tmp_path / "clip", [0], SIZE)[0] == (250, 20, 10)).all()


def test_grey_and_transparent_images_become_rgb(tmp_path):
    (tmp_path / "clip").mkdir()
    for number, shape in enumerate([SIZE, (*SIZE, 4)]):
        cv2.imencode(".png", np.full(shape, 77, np.uint8))[1].tofile(
            tmp_path / f"clip/{number}.png"
        )
    assert (read_frames(tmp_path / "clip", [0, 1], SIZE) == 77).all()


def test_frames_are_resized_bilinearly(folder):
    full = read_frames(folder, [3], SIZE)[0]
    small = read_frames(folder, [3], (20, 31))[0]
    assert small.shape == (20, 31, 3)
    assert np.array_equal(small, cv2.resize(full, (31, 20), interpolation=cv2.INTER_LINEAR))
    assert np.array_equal(full, cv2.imread(str(folder / "img_4.png"))[..., ::-1])


def test_images_of_different_sizes_in_a_folder(write_frames, frame_numbers, tmp_path):
    write_frames(tmp_path / "big", 2, first=7, size=(96, 128))
    clip = write_frames(tmp_path / "clip", 2)
    shutil.copy(tmp_path / "big/img_1.png", clip / "img_3.png")
    assert frame_numbers(read_frames(clip, [0, 1, 2], SIZE)) == [0, 1, 7]


@settings(max_examples=40)
@given(
    wanted=st.lists(st.integers(0, 29), min_size=1, max_size=6),
    top=st.integers(0, 40), left=st.integers(0, 50), height=st.integers(1, 8),
    width=st.integers(1, 14), frames=st.booleans(),
)  # fmt: skip
def test_a_crop_is_a_part_of_the_whole(video, folder, wanted, top, left, height, width, frames):
    """Bit for bit, into an array that is there, which is all that is written."""
    path, crop = folder if frames else video, (slice(top, top + height), slice(left, left + width))
    out = np.full((len(wanted) + 1, height, width, 3), 77, np.uint8)
    found = read_frames(path, wanted, SIZE, crop=crop, out=out[:-1])
    assert np.array_equal(found, read_frames(path, wanted, SIZE)[:, *crop])
    assert np.shares_memory(found, out)
    assert (out[-1] == 77).all()


@settings(max_examples=40)
@given(sides=st.tuples(*[st.integers(1, 70)] * 3), seed=st.integers(0, 9))
def test_mirror(sides, seed):
    clip = np.random.default_rng(seed).integers(0, 256, (*sides, 3), np.uint8)
    expected = clip[:, :, ::-1].copy()
    mirror(clip)
    assert np.array_equal(clip, expected)


# Headers that lie


def test_a_file_cut_off_in_the_middle(write_video, frame_numbers, tmp_path):
    whole = write_video(tmp_path / "whole.avi", 60)
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    count = count_frames(cut)
    assert 5 < count < 55
    # What was counted can be read, and nothing more.
    assert frame_numbers(read_frames(cut, [0, count - 2], SIZE)) == [0, count - 2]
    assert read_frames(cut, [count - 1], SIZE).shape == (1, *SIZE, 3)
    fails(
        lambda: read_frames(cut, [0, count], SIZE), f"ends after {count} frames", f"frame {count}"
    )


def test_a_real_file_whose_header_promises_one_more(realdata):
    path = realdata("odd/flipping_a_pancake.mkv")
    assert count_frames(path) == 310
    assert read_frames(path, [309], SIZE).shape == (1, *SIZE, 3)
    fails(lambda: read_frames(path, [310], SIZE), "ends after 310 frames")


def test_frames_past_the_end_of_a_folder(folder):
    fails(lambda: read_frames(folder, [0, 30], SIZE), "ends after 30 frames", "frame 30")


def test_a_real_ucf101_video(realdata):
    path = next(realdata("ucf101/ApplyEyeMakeup").glob("*.avi"))
    assert count_frames(path) == 164
    frames = read_frames(path, range(0, 164, 10), (128, 171))
    assert 30 < frames.mean() < 220


def test_a_rotation_flag_is_respected(realdata):
    path = realdata("odd/video_90.mov")
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    assert capture.get(cv2.CAP_PROP_ORIENTATION_META) == 90
    lying = capture.read()[1]
    capture.release()
    upright = cv2.rotate(lying, cv2.ROTATE_90_CLOCKWISE)[..., ::-1]
    assert count_frames(path) == 3
    height, width = upright.shape[:2]
    assert np.array_equal(read_frames(path, [0], (height, width))[0], upright)


# Names


@pytest.mark.parametrize(
    "name",
    [
        b"%03d.avi", b"http:x.avi", b"concat:a|b.avi", b"a b.avi", b"a\nb.avi", b"a\rb.avi",
        "한글 영상.avi".encode(), b"caf\xe9.avi", b"-.avi", b"no suffix",
    ],
)  # fmt: skip
def test_odd_names(video, frame_numbers, tmp_path, monkeypatch, name):
    path = tmp_path / os.fsdecode(name)
    shutil.copyfile(video, path)
    monkeypatch.chdir(tmp_path)
    for given_name in (path, path.name):
        assert count_frames(given_name) == 60
        assert frame_numbers(read_frames(given_name, [5, 50], SIZE)) == [5, 50]


def test_odd_names_of_frames(write_frames, frame_numbers, tmp_path):
    clip = write_frames(tmp_path / "한글 clip\n", 3)
    for number, suffix in ((1, "PNG"), (2, "png"), (3, "png")):
        odd = os.fsdecode(b"%d \xe9 \xc3\xa9\n") + f"{number}.{suffix}"
        (clip / f"img_{number}.png").rename(clip / odd)
    (clip / "notes.txt").write_text("no image")
    assert count_frames(clip) == 3
    assert frame_numbers(read_frames(clip, [2, 0, 1], SIZE)) == [2, 0, 1]


# What cannot be read


def test_missing(tmp_path):
    unreadable(tmp_path / "missing.avi", "cannot be opened", "No such file")


def test_a_loop_of_links(tmp_path):
    (tmp_path / "loop.avi").symlink_to("loop.avi")
    unreadable(tmp_path / "loop.avi", "cannot be opened", "symbolic links")


def test_empty(tmp_path):
    (tmp_path / "x.avi").touch()
    unreadable(tmp_path / "x.avi", "the file is empty")


@pytest.mark.parametrize("content", [b"this is no video\n" * 50, bytes(5000), b"RIFF\0\0\0\0AVI "])
def test_not_a_video(tmp_path, content):
    (tmp_path / "x.avi").write_bytes(content)
    unreadable(tmp_path / "x.avi", "not a video")


def test_a_header_without_frames(video, tmp_path):
    (tmp_path / "x.avi").write_bytes(video.read_bytes()[:5700])
    fails(lambda: count_frames(tmp_path / "x.avi"))


def test_a_folder_without_images(tmp_path):
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip/notes.txt").touch()
    fails(lambda: count_frames(tmp_path / "clip"), "without images")
    fails(lambda: read_frames(tmp_path / "clip", [0], SIZE), "0 frames")


def test_no_permission(write_video, unprivileged):
    path = write_video(unprivileged / "locked/x.avi", 2)
    path.chmod(0)
    unreadable(path, "cannot be opened", "Permission denied")
    path.chmod(0o600)
    assert count_frames(path) == 2
    path.parent.chmod(0)
    try:
        unreadable(path, "cannot be opened", "Permission denied")
    finally:
        path.parent.chmod(0o700)


@pytest.mark.parametrize("damage", [b"", b"no image", None])
def test_a_damaged_image_in_a_folder(write_frames, frame_numbers, tmp_path, damage):
    clip = write_frames(tmp_path / "clip", 5)
    if damage is None:
        (clip / "img_3.png").unlink()
        (clip / "img_3.png").symlink_to("nowhere.png")
    else:
        (clip / "img_3.png").write_bytes(damage)
    fails(lambda: count_frames(clip), "img_3.png cannot be decoded")
    fails(lambda: read_frames(clip, [0, 2], SIZE), "img_3.png cannot be decoded")
    assert frame_numbers(read_frames(clip, [0, 4], SIZE)) == [0, 4]


def test_damaged_streams_do_not_write_to_the_terminal(write_video, tmp_path):
    """In a process of its own: FFmpeg's level is read once, and it writes past Python."""
    whole = write_video(tmp_path / "x.avi", 40).read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 3 : len(whole) // 2] = bytes(len(whole) // 2 - len(whole) // 3)
    (tmp_path / "x.avi").write_bytes(damaged)
    (tmp_path / "y.avi").write_bytes(b"no video")
    code = (
        "import sys; from ar3d_keras.videos.reader import *\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(count_frames(name))\n"
        "    except ReadError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "x.avi", tmp_path / "y.avi"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == ""


# OpenCV itself


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("libGL.so.1: cannot open shared object file", "UserError"),
        ("libgthread-2.0.so.0: cannot open shared object file", "UserError"),
        ("numpy.core.multiarray failed to import", "ImportError"),
    ],
)
def test_opencv_without_its_system_library(tmp_path, reason, expected):
    (tmp_path / "cv2.py").write_text(f"raise ImportError({reason!r})\n")
    code = (
        "from ar3d_keras.videos.reader import load_cv2\n"
        "try: load_cv2()\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    search = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": search},
    )  # fmt: skip
    assert done.stdout.startswith(f"{expected} ")
    assert reason in done.stdout
    if expected == "UserError":
        assert "apt-get install -y libgl1" in done.stdout
        assert "opencv-python-headless" in done.stdout


def test_decoding_threads():
    assert decoding_threads(3) == 3
    assert decoding_threads(None) == cores() >= 1
    with pytest.raises(UserError, match="`workers`"):
        decoding_threads(0)
