"""The needed frames of a video are those of a full decoding, or the file is said to differ."""

import functools
import itertools
import math
import shutil

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ar3d_keras.inference.timeline import DiffersError, small_windows
from ar3d_keras.videos import needed_frames as module
from ar3d_keras.videos.needed_frames import Needed, needed_frames, packet_times
from ar3d_keras.videos.parts import Part
from ar3d_keras.videos.reader import timed_frames
from ar3d_keras.videos.sampling import ClipShape

FRAMES, RATE = 150, 25
# Three B frames after each other, although the noise changes from frame to frame.
X264 = {"g": "24", "x264-params": "scenecut=0:b-adapt=0:bframes=3"}
FILES = {
    "b_frames.mp4": ("libx264", X264),
    "b_frames.mkv": ("libx264", X264),
    "b_frames.ts": ("libx264", X264),
    "no_b_frames.mp4": ("libx264", X264 | {"x264-params": "bframes=0"}),
    "open_gop.mp4": (
        "libx264",
        X264 | {"x264-params": "open-gop=1:scenecut=0:b-adapt=0:bframes=3"},
    ),
    "hevc.mp4": (
        "libx265",
        {"preset": "ultrafast", "x265-params": "log-level=none:scenecut=0:b-adapt=0:bframes=3"},
    ),
    "mpeg4.mp4": ("mpeg4", {"bf": "2"}),
    "vp8.webm": ("libvpx", {"deadline": "realtime"}),
    "mjpeg.avi": ("mjpeg", {}),
    "mpeg4.avi": ("mpeg4", {"bf": "2"}),
}


def picture(number):
    """A moving scene with noise, so that each frame has content of its own."""
    draw = np.random.default_rng(number)
    frame = np.full((48, 64, 3), 40, np.uint8)
    frame[10:34, number % 50 : number % 50 + 12] = 200
    return frame + draw.integers(0, 20, frame.shape, np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codecs")

    @functools.cache
    def write(name):
        codec, options = FILES[name]
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=RATE, options=options)
            stream.width, stream.height = 64, 48
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for number in range(FRAMES):
                frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return folder / name

    return write


def decoded(path):
    return [(time, frame.copy()) for time, frame in timed_frames(path)]


def chosen(path, numbers, **options):
    needed = Needed(packet_times(path), numbers)
    found = needed_frames(path, needed, step=1 / RATE, **options)
    return [(time, None if frame is None else frame.copy()) for time, frame in found]


def differs(found):
    return math.isnan(found[-1][0])


def check(path, numbers, **options):
    """The needed frames are those of a full decoding. Returns whether the file was as foreseen."""
    found = chosen(path, numbers, **options)
    if differs(found):
        return False
    whole = decoded(path)
    assert [time for time, _ in found] == [time for time, _ in whole]
    for number, ((_, frame), (_, expected)) in enumerate(zip(found, whole, strict=True)):
        assert (frame is not None) == (number in numbers)
        if frame is not None:
            np.testing.assert_array_equal(frame, expected)
    return True


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", FILES)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.frozensets(st.integers(0, FRAMES - 1), max_size=40))
def test_needed_frames_are_those_of_a_full_decoding(files, name, threads, numbers):
    assert check(files(name), numbers, threads=threads)


def test_frames_that_no_frame_refers_to_are_not_decoded(files, monkeypatch):
    counts = []

    class Counted(module.PyAVFrames):
        def grab(self):
            grabbed = super().grab()
            counts[-1] += grabbed
            return grabbed

    monkeypatch.setattr(module, "PyAVFrames", Counted)
    for name in ("b_frames.mp4", "hevc.mp4", "no_b_frames.mp4", "mpeg4.mp4"):
        counts += [0, 0]  # of packet_times and needed_frames
        assert not differs(chosen(files(name), {100}))
    assert counts[1] < FRAMES - 30
    assert counts[3] < FRAMES - 30
    assert counts[5] == counts[7] == FRAMES


def test_a_file_without_time_stamps_has_no_packet_times(files, tmp_path):
    path = tmp_path / "raw.h264"
    with (
        av.open(str(files("b_frames.ts"))) as source,
        av.open(str(path), "w", format="h264") as raw,
    ):
        copy = raw.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = copy
                raw.mux(packet)
    assert packet_times(path) is None


@pytest.mark.parametrize(
    ("name", "place"), [("b_frames.mp4", 10), ("mpeg4.mp4", 10), ("mpeg4.mp4", 100)]
)
def test_packets_without_a_frame_are_noticed(files, name, place):
    """As VP8 has them, and files that were cut out of others: at the front in every codec."""
    path = files(name)
    real = packet_times(path)
    stamps = np.insert(real.stamps, place, real.stamps[place] - 1)
    more = module.PacketTimes(
        stamps,
        np.insert(real.times, place, real.times[place] - 0.001),
        np.insert(real.between, place, True),
    )
    assert differs(list(needed_frames(path, Needed(more, {0, 120}), step=1 / RATE)))


@pytest.mark.parametrize("name", ["b_frames.mp4", "b_frames.ts", "mpeg4.mp4"])
def test_of_a_damaged_file_nothing_wrong_is_given(files, name, tmp_path):
    """It differs, or the damage is in a frame that is not needed."""
    content, numbers = files(name).read_bytes(), frozenset(range(0, FRAMES, 5))
    differing = 0
    for seed in range(12):
        draw = np.random.default_rng(seed)
        damaged = bytearray(content)
        place = int(draw.integers(len(damaged) // 3, 2 * len(damaged) // 3))
        damaged[place : place + 30] = draw.bytes(30)
        path = tmp_path / f"{seed}-{name}"
        path.write_bytes(damaged)
        if packet_times(path) is None or differs(found := chosen(path, numbers)):
            differing += 1
            continue
        whole = dict(decoded(path))
        for time, frame in found:
            if frame is not None:
                np.testing.assert_array_equal(frame, whole[time])
    # FFmpeg conceals damage in an MPEG transport stream and does not tell.
    assert differing or name == "b_frames.ts"


@pytest.mark.parametrize("name", ["b_frames.mp4", "no_b_frames.mp4"])
def test_a_damaged_frame_that_says_that_no_frame_refers_to_it(files, name, tmp_path):
    """Its decoder would leave it out, and the frames that do refer to it would be wrong."""
    content, numbers = files(name).read_bytes(), frozenset(range(0, FRAMES, 5))
    with av.open(str(files(name))) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    damaged_frames = 0
    for place in places[70:100]:  # those behind the frames that are always decoded
        damaged = bytearray(content)
        header = damaged[place + 4]
        damaged[place + 4] = header & ~0x60  # nal_ref_idc of ITU-T H.264, 7.3.1
        damaged_frames += damaged[place + 4] != header
        path = tmp_path / name
        path.write_bytes(damaged)
        if not differs(found := chosen(path, numbers)):
            whole = dict(decoded(path))
            for time, frame in found:
                assert frame is None or np.array_equal(frame, whole[time])
    assert damaged_frames >= 10


def test_a_file_that_is_cut_off_differs(files, tmp_path):
    content = files("b_frames.mkv").read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(content[: len(content) // 2])
    assert differs(chosen(path, {0}))


def test_windows_of_a_file_that_differs_are_refused(files, tmp_path):
    path = tmp_path / "other.mp4"
    shutil.copyfile(files("no_b_frames.mp4"), path)
    packets = packet_times(path)
    late = module.PacketTimes(packets.stamps + 1, packets.times, packets.between)
    shape = ClipShape(4, 16, 16, 18, 24, stride=2)
    with pytest.raises(DiffersError):
        list(
            small_windows(Part(path), shape, seconds=1, hop=1, needed=Needed(late, frozenset({0})))
        )


def test_a_folder_of_frames_and_a_segment_have_no_packets(tmp_path, write_frames, files):
    assert Part(write_frames(tmp_path / "folder", 3)).packets() is None
    assert Part(files("b_frames.mp4"), numbers=range(3)).packets() is None


def test_times_are_those_of_decoding_for_odd_time_bases(tmp_path, write_timed):
    """29.97 frames a second, and a variable rate."""
    draw = np.random.default_rng(0)
    for name, times in {
        "ntsc": [number * 1001 / 30000 for number in range(40)],
        "variable": np.cumsum(draw.choice([0.02, 0.04, 0.1], 40)).tolist(),
    }.items():
        path = tmp_path / f"{name}.mkv"
        write_timed(path, times)
        found = packet_times(path)
        assert found.times.tolist() == [
            time for time, _ in itertools.islice(timed_frames(path), 99)
        ]
