import time

import numpy as np
import pytest

from ar3d_keras.videos import keyframes
from ar3d_keras.videos.reader import frame_index, read_frames

SIZE = (48, 64)


def from_front(path, wanted):
    """The frames, by a process that knows no index."""
    keyframes._known.clear()
    return read_frames(path, wanted, SIZE)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {}),
        ("b.mp4", "libx264", {"x264-params": "open-gop=1:bframes=3:b-pyramid=normal"}),
        ("c.mkv", "libx264", {"bf": "3"}),
        ("d.ts", "libx264", {"bf": "2"}),
        ("e.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "0"}),
        ("f.avi", "mpeg4", {"qscale": "2"}),
        ("g.mov", "mjpeg", {"qscale": "2"}),
        ("h.mp4", "libx264", {"x264-params": "intra-refresh=1"}),
    ],
)
def test_a_seek_gives_what_decoding_from_the_front_gives(
    write_timed, frame_numbers, tmp_path, name, codec, options
):
    path = write_timed(tmp_path / name, np.arange(120) / 30, codec=codec, options=options, gop=10)
    index = frame_index(path)
    assert len(index.times) == 120
    assert index.times == pytest.approx(np.arange(120) / 30, abs=0.002)
    assert index.end == pytest.approx(4, abs=0.01)
    for wanted in ([0], [119], [60, 61], [5, 50, 118], [29, 30, 31], list(range(35, 75))):
        found = read_frames(path, wanted, SIZE)
        assert np.array_equal(found, from_front(path, wanted))
        if codec == "libx264":
            assert frame_numbers(found) == wanted
        assert frame_index(path) is not index  # from the cache, since `_known` was emptied
        assert np.array_equal(frame_index(path).times, index.times)


def test_key_frames_of_a_common_file_are_used(write_timed, tmp_path, monkeypatch):
    path = write_timed(tmp_path / "a.mp4", np.arange(120) / 30, gop=10)
    index = frame_index(path)
    assert index.keyframes[-1] == 110
    grabbed = []
    grab = keyframes.PyAVFrames.grab
    monkeypatch.setattr(keyframes.PyAVFrames, "grab", lambda self: grabbed.append(1) or grab(self))
    read_frames(path, [118], SIZE)
    assert len(grabbed) == 9


def test_a_seek_that_leads_elsewhere_falls_back_to_the_front(write_timed, tmp_path, monkeypatch):
    path = write_timed(tmp_path / "a.mp4", np.arange(120) / 30, gop=10)
    wanted = [50, 118]
    expected = from_front(path, wanted)
    frame_index(path)
    monkeypatch.setattr(keyframes.PyAVFrames, "seek", lambda self, stamp: None)
    assert np.array_equal(read_frames(path, wanted, SIZE), expected)


def test_times_are_those_of_the_frames(write_timed, tmp_path):
    """Variable frame rate, and a stream that does not start at zero."""
    times = np.cumsum([5, 0.04, 0.2, 0.04, 0.04, 1, 0.1])
    index = frame_index(write_timed(tmp_path / "a.mkv", times))
    assert index.times == pytest.approx(times - 5, abs=0.002)


def test_the_index_of_a_changed_file_is_made_anew(write_timed, tmp_path):
    path = write_timed(tmp_path / "a.mp4", np.arange(30) / 30)
    assert len(frame_index(path).times) == 30
    write_timed(path, np.arange(40) / 30)
    assert len(frame_index(path).times) == 40
    keyframes._known.clear()
    [cached] = (tmp_path / ".cache/ar3d_keras").glob("frames-*.npz")
    cached.write_bytes(b"damaged")
    assert len(frame_index(path).times) == 40


@pytest.mark.slow
def test_one_hour(write_timed, tmp_path, capsys):
    path = write_timed(tmp_path / "hour.mp4", np.arange(7200) / 2, gop=20)
    begun = time.perf_counter()
    frame_index(path)
    indexed = time.perf_counter()
    wanted = range(7120, 7136)
    clip = read_frames(path, wanted, SIZE)
    read = time.perf_counter()
    assert np.array_equal(clip, from_front(path, wanted))
    front = time.perf_counter()
    with capsys.disabled():
        print(
            f"\none hour: index {indexed - begun:.2f} s, clip of the last minute "
            f"{read - indexed:.3f} s, from the front {front - read:.2f} s"
        )
