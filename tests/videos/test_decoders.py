"""Containers and codecs: every file is read as the `ffmpeg` command reads it, or refused."""

import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ar3d_keras.videos.decoders import FAILURES_IN_A_ROW
from ar3d_keras.videos.inspection import inspect
from ar3d_keras.videos.opencv import load_cv2
from ar3d_keras.videos.reader import (
    ReadError,
    count_frames,
    damage,
    every_frame,
    plausible_rate,
    rate_of,
    read_frames,
    read_header,
    timed_frames,
)

cv2 = load_cv2()
FRAMES = 12
INTERLACED = {"flags": "+ildct+ilme"}
BT709 = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}
# name: codec, pixel format, further settings
TABLE = {
    "h264.mp4": ("libx264", "yuv420p", {}),
    "h264.mkv": ("libx264", "yuv420p", {}),
    "h264.mov": ("libx264", "yuv420p", {}),
    "h264.flv": ("libx264", "yuv420p", {}),
    "h264.ts": ("libx264", "yuv420p", {}),
    "h264_bt709.mp4": ("libx264", "yuv420p", BT709),
    "h264_full_range.mp4": ("libx264", "yuvj420p", {}),
    "h264_422.mp4": ("libx264", "yuv422p", {}),
    "h264_444.mkv": ("libx264", "yuv444p", {}),
    "h264_10_bits.mp4": ("libx264", "yuv420p10le", {}),
    "h264_interlaced.mp4": ("libx264", "yuv420p", INTERLACED),
    "h264_interlaced.mts": ("libx264", "yuv420p", INTERLACED),
    "hevc.mp4": ("libx265", "yuv420p", {"x265-params": "log-level=none"}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"q": "3"}),
    "mpeg4.3gp": ("mpeg4", "yuv420p", {}),
    "mpeg4_interlaced.avi": ("mpeg4", "yuv420p", INTERLACED),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", {}),
    "mpeg2_interlaced.vob": ("mpeg2video", "yuv420p", INTERLACED),
    "mpeg2.mxf": ("mpeg2video", "yuv420p", {}),
    "mpeg1.mpg": ("mpeg1video", "yuv420p", {}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
    "mjpeg.mov": ("mjpeg", "yuvj420p", {}),
    "vp8.webm": ("libvpx", "yuv420p", {"b": "2M"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"b": "2M"}),
    "av1.mp4": ("libsvtav1", "yuv420p", {}),
    "av1.mkv": ("libsvtav1", "yuv420p10le", {}),
    "prores.mov": ("prores_ks", "yuv422p10le", {}),
    "prores_interlaced.mov": ("prores_ks", "yuv422p10le", {"flags": "+ildct"}),
    "ffv1.mkv": ("ffv1", "yuv420p", {}),
    "huffyuv.avi": ("huffyuv", "yuv422p", {}),
    "utvideo.avi": ("utvideo", "yuv420p", {}),
    "raw.avi": ("rawvideo", "yuv420p", {}),
    "raw_bgr.avi": ("rawvideo", "bgr24", {}),
    "png.mov": ("png", "rgb24", {}),
    "qtrle.mov": ("qtrle", "rgb24", {}),
    "gray.mkv": ("ffv1", "gray", {}),
    "palette.gif": ("gif", "rgb8", {}),
    "wmv2.wmv": ("wmv2", "yuv420p", {}),
    "wmv1.asf": ("wmv1", "yuv420p", {}),
    "msmpeg4.avi": ("msmpeg4v2", "yuv420p", {}),
    "sorenson.flv": ("flv", "yuv420p", {}),
    "dv.avi": ("dvvideo", "yuv420p", {"size": (576, 720)}),
    "dv.dv": ("dvvideo", "yuv420p", {"size": (576, 720)}),
    "dnxhr.mov": ("dnxhd", "yuv422p", {"profile": "dnxhr_sq", "size": (128, 256)}),
    "h263.3gp": ("h263", "yuv420p", {"size": (96, 128)}),
    "odd_size.avi": ("ffv1", "yuv420p", {"size": (63, 95)}),
    "svq1.mov": ("svq1", "yuv410p", {}),
    "cinepak.avi": ("cinepak", "rgb24", {}),
}  # fmt: skip


def pictures(count=FRAMES, size=(64, 96)):
    """Uint8 (height, width, 3), RGB: a bright square moves to the right over a still ramp.

    No two are alike, so that no two packets are.
    """
    height, width = size
    for number in range(count):
        picture = np.empty((height, width, 3), np.uint8)
        picture[..., 0] = np.linspace(40, 200, width)
        picture[..., 1] = np.linspace(60, 180, height)[:, None]
        picture[..., 2] = 90
        left = 2 + number * (width // 2) // count
        picture[height // 4 : height // 2, left : left + width // 4] = (
            220,
            200,
            60 + 2 * (number % 50),
        )
        yield picture


def encode(path, codec, pix_fmt, *, count=FRAMES, size=(64, 96), rate=25, times=None, **options):
    """Writes a video; skips the test where PyAV has no such encoder."""
    try:
        av.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this PyAV has no encoder {codec}")
    with av.open(str(path), "w", options={}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        stream.options = options
        for number, picture in enumerate(pictures(count, size)):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pix_fmt)
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def packets_of(path):
    """The bytes of each video packet."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def damaged(path, number, *, content=None):
    """The same file with one packet zeroed, or filled with noise."""
    data, packet = path.read_bytes(), packets_of(path)[number]
    assert data.count(packet) == 1
    noise = np.random.default_rng(0).bytes(len(packet))
    bad = path.with_stem(f"{path.stem}_damaged")
    bad.write_bytes(data.replace(packet, noise if content == "noise" else bytes(len(packet))))
    return bad


def by_ffmpeg(path, shape):
    """All frames as the `ffmpeg` command gives them: uint8 (frames, height, width, 3), BGR."""
    command = [
        *("ffmpeg", "-v", "quiet", "-i", path, "-map", "0:v:0", "-vsync", "passthrough"),
        *("-pix_fmt", "bgr24", "-f", "rawvideo", "-"),
    ]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, *shape)


def whole(path, size):
    return np.stack(list(every_frame(path, size)))


def difference(one, other):
    """The largest mean difference of a frame, in grey levels."""
    assert one.shape == other.shape
    return np.abs(one.astype(int) - other).mean(axis=(1, 2, 3)).max()


@pytest.mark.parametrize("name", TABLE)
def test_containers_and_codecs(name, tmp_path):
    codec, pix_fmt, settings = TABLE[name]
    path = encode(tmp_path / name, codec, pix_fmt, **settings)
    size = settings.get("size", (64, 96))
    assert count_frames(path) == FRAMES
    assert damage(path) is None
    frames = whole(path, size)
    for other in (
        read_frames(path, range(FRAMES), size)[..., ::-1],
        np.stack([frame.copy() for _, frame in timed_frames(path)]),
    ):
        np.testing.assert_array_equal(frames, other)
    source = np.stack(list(pictures(size=size)))[..., ::-1]
    if "gray" in name:
        assert difference(frames, np.repeat(frames[..., :1], 3, axis=-1)) == 0
    else:  # 16: a palette of 256 colors; a wrong frame is off by 30 and more
        assert difference(frames, source) < (16 if "palette" in name else 8)
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed: compared with the source alone")
    assert difference(frames, by_ffmpeg(path, frames.shape[1:])) < 2


def test_the_table_is_long_enough():
    assert len(TABLE) >= 25


def test_only_sound_progressive_files_go_to_opencv(tmp_path):
    fast = {
        name
        for name in ("h264.mp4", "mpeg4.avi", "mjpeg.avi", "h264_bt709.mp4", "mpeg4_interlaced.avi")
        if inspect(encode(tmp_path / name, *TABLE[name][:2], **TABLE[name][2])).fast
    }
    assert fast == {"h264.mp4", "mpeg4.avi", "mjpeg.avi"}


def test_both_decoders_give_the_same_bits(tmp_path, monkeypatch):
    for name in ("h264.mp4", "mpeg4.avi", "mjpeg.avi", "hevc.mp4", "h264_422.mp4"):
        path = encode(tmp_path / name, *TABLE[name][:2], **TABLE[name][2])
        assert inspect(path).fast
        frames = whole(path, (64, 96))
        with monkeypatch.context() as patch:
            patch.setattr("ar3d_keras.videos.reader.OpenCVFrames", unusable)
            np.testing.assert_array_equal(frames, whole(path, (64, 96)))


def unusable(path, threads=1):
    raise ReadError("this OpenCV cannot")


def test_a_file_that_turns_interlaced(tmp_path):
    """No frame before the change tells it."""
    first = encode(tmp_path / "p.ts", "libx264", "yuv420p", count=8)
    second = encode(tmp_path / "i.ts", "libx264", "yuv420p", count=8, **INTERLACED)
    path = tmp_path / "both.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    assert not inspect(path).fast
    frames = whole(path, (64, 96))
    assert len(frames) == 16
    source = np.stack(list(pictures(8)))[..., ::-1]
    assert difference(frames, np.concatenate([source, source])) < 8


# Damage


@pytest.mark.parametrize("content", ["zeros", "noise"])
@pytest.mark.parametrize(
    "name",
    ["h264.mp4", "h264.mkv", "hevc.mp4", "mpeg4.avi", "mjpeg.avi", "prores.mov", "png.mov",
     "vp8.webm", "h264_interlaced.mp4", "sorenson.flv"],
)  # fmt: skip
def test_one_damaged_packet(name, content, tmp_path):
    codec, pix_fmt, options = TABLE[name]
    sound = encode(tmp_path / name, codec, pix_fmt, count=60, **options)
    path = damaged(sound, 20, content=content)
    count = count_frames(path)
    assert 57 <= count <= 60
    assert damage(path)
    # Alike in every loop.
    frames = whole(path, (64, 96))
    assert len(frames) == count == len(list(timed_frames(path)))
    np.testing.assert_array_equal(frames, read_frames(path, range(count), (64, 96))[..., ::-1])
    assert difference(frames[-1:], whole(sound, (64, 96))[-1:]) < 12
    assert damage(sound) is None


def test_an_empty_packet_repeats_a_frame(tmp_path):
    """As in Theora, and in AVI files of capture cards: neither the end nor damage."""
    path = encode(tmp_path / "x.avi", "mjpeg", "yuvj420p")
    data, packet = path.read_bytes(), packets_of(path)[5]
    place = data.index(packet)
    # The chunk becomes an empty one and one of junk.
    junk = b"JUNK" + (len(packet) - 8).to_bytes(4, "little")
    path.write_bytes(data[: place - 4] + bytes(4) + junk + data[place + 8 :])
    assert count_frames(path) == FRAMES - 1 == len(whole(path, (64, 96)))
    assert damage(path) is None


@pytest.mark.parametrize(("name", "frames", "sound"), [
    ("hole/zero_h264.mp4", 99, False), ("hole/zero_vp8.webm", 99, False),
    ("hole/random_mjpeg.avi", 99, False), ("hole/sound_h264.mp4", 100, True),
    ("theora.ogv", 26, True), ("editlist.mp4", 19, True), ("av1.mp4", 32, True),
    ("motion_triggered.mp4", 50, True), ("interlaced/h264_i.mp4", 16, True),
])  # fmt: skip
def test_inputs_of_public_reports(name, frames, sound):
    path = Path(__file__).parents[3] / "shared" / "cases" / name
    if not path.exists():
        pytest.skip(f"{path} is not there: it is not part of the project")
    assert count_frames(path) == frames == len(whole(path, (64, 96)))
    assert (damage(path) is None) == sound


@pytest.mark.parametrize("name", ["mpeg4.avi", "h264.flv", "vp8.webm"])
def test_a_file_cut_off_is_damaged(name, tmp_path):
    codec, pix_fmt, options = TABLE[name]
    path = encode(tmp_path / name, codec, pix_fmt, count=100, **options)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(packets_of(path)[50])])
    assert 40 < count_frames(path) < 60
    if name != "h264.flv":  # whose header does not tell how long it is
        assert damage(path)


def test_nothing_but_damage(tmp_path):
    path = encode(tmp_path / "x.avi", "mjpeg", "yuvj420p")
    data = path.read_bytes()
    for packet in packets_of(path):
        data = data.replace(packet, bytes(len(packet)))
    path.write_bytes(data)
    with pytest.raises(ReadError):
        count_frames(path)
    with pytest.raises(ReadError):
        list(timed_frames(path))


def test_damage_in_a_row_is_bounded(tmp_path, monkeypatch):
    assert FAILURES_IN_A_ROW > 100
    monkeypatch.setattr("ar3d_keras.videos.decoders.FAILURES_IN_A_ROW", 3)
    path = encode(tmp_path / "x.avi", "mjpeg", "yuvj420p", count=20)
    data, packets = path.read_bytes(), packets_of(path)
    for packet in packets[8:12]:
        data = data.replace(packet, bytes(len(packet)))
    path.write_bytes(data)
    assert count_frames(path) == 8


def test_when_opencv_fails_pyav_reads_on(tmp_path, monkeypatch):
    path = encode(tmp_path / "x.avi", "mpeg4", "yuv420p")
    frames = whole(path, (64, 96))
    with monkeypatch.context() as patch:
        patch.setattr(
            "ar3d_keras.videos.decoders.OpenCVFrames.grab",
            lambda self: self._frame is None and self._capture.grab(),
        )
        np.testing.assert_array_equal(whole(path, (64, 96)), frames)


# Which stream


def with_cover(path, *, cover_first):
    """An MKV or MP4 whose cover picture is a video stream."""
    cover = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 250, np.uint8), "rgb24")
    cover = cover.reformat(format="yuvj420p")
    with av.open(str(path), "w") as container:

        def add(codec, pix_fmt):
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
            return stream

        if cover_first:
            picture, video = add("mjpeg", "yuvj420p"), add("libx264", "yuv420p")
        else:
            video, picture = add("libx264", "yuv420p"), add("mjpeg", "yuvj420p")
        picture.disposition = av.stream.Disposition.attached_pic
        container.mux(picture.encode(cover))
        container.mux(picture.encode(None))
        for frame in pictures():
            frame = av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="yuv420p")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


@pytest.mark.parametrize("cover_first", [True, False])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_cover_is_not_the_video(tmp_path, suffix, cover_first):
    path = with_cover(tmp_path / f"x.{suffix}", cover_first=cover_first)
    assert count_frames(path) == FRAMES
    source = np.stack(list(pictures()))[..., ::-1]
    assert difference(whole(path, (64, 96)), source) < 8


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tiff"])
def test_a_still_picture_is_not_a_video(tmp_path, suffix):
    image = cv2.imencode(suffix, np.zeros((32, 32, 3), np.uint8))[1]
    for name in ("x" + suffix, "x.mp4"):
        image.tofile(tmp_path / name)
        with pytest.raises(ReadError):
            count_frames(tmp_path / name)


@pytest.mark.parametrize("name", ["readme.nfo", "x.ans", "x.txt"])
def test_a_text_is_not_a_video(tmp_path, name):
    (tmp_path / name).write_text("hello world\n" * 50)
    with pytest.raises(ReadError):
        count_frames(tmp_path / name)


def test_sound_alone_is_not_a_video(tmp_path):
    with av.open(str(tmp_path / "x.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ReadError):
        count_frames(tmp_path / "x.mp4")


# Rates


def test_rates_come_from_time_stamps():
    jittered = np.cumsum([0, *np.random.default_rng(0).choice([0.033, 0.034, 0.031], 100)])
    assert plausible_rate(1000, jittered) == pytest.approx(1 / np.diff(jittered).mean(), rel=0.01)
    assert plausible_rate(30000 / 1001, np.arange(50) * 1001 / 30000) == 30000 / 1001
    assert plausible_rate(None, np.arange(50) / 66.667) == pytest.approx(66.667, abs=0.01)
    assert plausible_rate(25, []) == 25
    assert plausible_rate(25, [0, 0.02]) == 25  # two frames are too few
    assert plausible_rate(None, []) is None
    assert plausible_rate(90000, []) is None
    assert plausible_rate(float("nan"), []) is None
    # One second, an hour's pause, one second.
    pause = np.concatenate([np.arange(25), 90000 + np.arange(25)]) / 25
    assert plausible_rate(0.0139, pause) == 25
    # In the order of decoding, not of time.
    assert plausible_rate(None, [0, 0.12, 0.04, 0.08, 0.24, 0.16, 0.2]) == 25


def test_a_recording_of_a_browser(tmp_path):
    """Time stamps in milliseconds, and no frame rate."""
    times = [round(number * 1000 / 30) for number in range(60)]
    path = encode(tmp_path / "x.webm", "libvpx", "yuv420p", count=60, rate=1000, times=times)
    assert rate_of(path) == pytest.approx(30, abs=0.2)
    shown = [time for time, _ in timed_frames(path)]
    np.testing.assert_allclose(shown, np.array(times) / 1000, atol=0.001)


def test_a_rate_whose_fraction_is_long(tmp_path):
    path = encode(tmp_path / "x.mp4", "libx264", "yuv420p", rate=66)
    header = read_header(path)
    assert header.rate == pytest.approx(66)
    assert header.frames == FRAMES


# Every OpenCV

READ_ALL = """
import sys
import cv2, numpy as np
from ar3d_keras.videos.reader import count_frames, every_frame
for path in sys.argv[2:]:
    whole = [np.stack(list(every_frame(path, (64, 96)))) for _ in range(2)]
    assert (whole[0] == whole[1]).all(), path
    assert len(whole[0]) == count_frames(path), path
    right = np.load(path + ".npy")
    assert np.abs(whole[0].astype(int) - right).mean(axis=(1, 2, 3)).max() < 2, path
print(cv2.__version__)
"""


@pytest.mark.slow
@pytest.mark.parametrize("version", ["4.10.*", "4.11.*", "4.12.*", "4.13.*", "4.14.*", ">=5"])
def test_the_same_frames_under_every_opencv(version, tmp_path):
    """In a process of its own; needs a package index and, for the right frames, ffmpeg."""
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    names = [name for name in TABLE if "size" not in TABLE[name][2]]
    paths = []
    for name in names:
        codec, pix_fmt, options = TABLE[name]
        if codec not in av.codecs_available:
            continue
        path = encode(tmp_path / name, codec, pix_fmt, **options)
        np.save(f"{path}.npy", by_ffmpeg(path, (64, 96, 3)))
        paths.append(path)
    requirement = version if version.startswith(">") else f"=={version}"
    opencv = tmp_path / "opencv"  # shadows the OpenCV of this environment
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", opencv]
    subprocess.run([*pip, f"opencv-python-headless{requirement}"], check=True)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, "-", *paths],
        capture_output=True, text=True, check=False, env={"PYTHONPATH": f"{opencv}:{root}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(version.strip(">=*.")), done.stdout
