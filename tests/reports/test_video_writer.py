"""Videos that are written by PyAV and read back by it: size, time stamps and sound."""

from fractions import Fraction

import av
import numpy as np
import pytest
from browser import reported  # tests/browser.py

from ar3d_keras.reports.video_writer import VideoWriter


def picture(number, size=(48, 64)):
    frame = np.full((*size, 3), 40, np.uint8)
    frame[:, : 4 + number % size[1]] = 200
    return frame


def write(file, times, size=(48, 64), rate=25.0, sound=None):
    writer = VideoWriter(file, size[1], size[0], rate, sound)
    for number, time in enumerate(times):
        writer.write(time, picture(number, size))
    writer.close()
    return file


def read(file):
    """Codec, size and the times of all frames."""
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        times = [float(frame.pts * frame.time_base) for frame in container.decode(stream)]
        codec = stream.codec_context
        return codec.name, (codec.height, codec.width), times


def source_with_sound(file, codec, seconds=2.0, rate=48_000, layout="stereo"):
    """A video whose sound is a tone that begins after one second."""
    with av.open(str(file), "w") as container:
        pictures = container.add_stream("mpeg4", 25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(codec, rate)
        sound.codec_context.layout = layout
        for number in range(round(25 * seconds)):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(pictures.encode(frame))
        count = round(rate * seconds)
        times = np.arange(count) / rate
        tone = (np.sin(times * 880 * np.pi) * 20_000 * (times >= 1)).astype(np.int16)
        channels = 1 if layout == "mono" else 2
        for start in range(0, count, 1024):
            samples = np.repeat(tone[start : start + 1024], channels)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(sound.encode(frame))
        container.mux(pictures.encode(None))
        container.mux(sound.encode(None))
    return file


def loudness(file):
    """The codec of the sound, and its mean amplitude (0..1) in each half second."""
    with av.open(str(file)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="s16", layout="mono", rate=8000)
        heard = np.zeros(80_000)
        for frame in container.decode(stream):
            for part in resampler.resample(frame):
                start = max(0, round(part.pts * part.time_base * 8000))
                samples = part.to_ndarray()[0] / 32768
                heard[start : start + len(samples)] = samples
        return stream.codec_context.name, np.abs(heard).reshape(-1, 4000).mean(axis=1)


@pytest.mark.parametrize("rate", [25.0, 29.97, 66.667, 105.611, 1000 / 3, 0.5])
@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_any_rate(rate, suffix, tmp_path):
    times = np.arange(12) / rate
    codec, size, read_back = read(write(tmp_path / f"out{suffix}", times, rate=rate))
    assert (codec, size) == ("h264" if suffix == ".mp4" else "mpeg4", (48, 64))
    assert read_back == pytest.approx(times, abs=1e-4 if suffix == ".mp4" else 0.01 / rate)


def test_a_variable_rate_and_a_pause_stay(tmp_path):
    times = [0, 0.04, 0.05, 0.3, 60.0, 60.001, 60.5]
    assert read(write(tmp_path / "out.mp4", times))[2] == pytest.approx(times, abs=1e-4)


@pytest.mark.parametrize("size", [(48, 64), (33, 45), (1, 7), (2, 2), (500, 3)])
def test_sizes_become_even(size, tmp_path):
    _, written, times = read(write(tmp_path / "out.mp4", [0, 0.04, 0.08], size))
    assert written == tuple(max(2, n - n % 2) for n in size)
    assert len(times) == 3


@pytest.mark.parametrize(
    ("name", "codec", "written", "options"),
    [
        ("a.mp4", "aac", "aac", {}),
        ("a.mkv", "mp3", "mp3float", {}),
        ("a.avi", "mp3", "aac", {}),
        ("a.avi", "pcm_s16le", "aac", {}),
        ("a.mkv", "ac3", "aac", {"layout": "mono"}),
        ("a.avi", "pcm_s16le", "aac", {"rate": 11_025}),
        ("a.ts", "aac", "aac", {}),
    ],
)
def test_the_sound_is_kept_and_in_time(name, codec, written, options, tmp_path):
    source = source_with_sound(tmp_path / name, codec, **options)
    file = write(tmp_path / "out.mp4", np.arange(50) / 25, sound=source)
    codec, heard = loudness(file)
    assert codec == written
    assert heard[:2].max() < 0.01 and heard[2:4].min() > 0.2  # silent, then the tone
    assert heard[4:].max() < 0.05  # no longer than the pictures
    assert len(read(file)[2]) == 50


def test_sound_that_is_missing_or_damaged_is_left_out(tmp_path):
    silent = write(tmp_path / "silent.mp4", [0, 0.04])
    damaged = source_with_sound(tmp_path / "damaged.mkv", "aac")
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2] + b"x" * 5000)
    for source in (silent, tmp_path / "nothing", tmp_path, damaged):
        file = write(tmp_path / "out.mp4", np.arange(50) / 25, sound=source)
        assert len(read(file)[2]) == 50


def test_the_index_comes_first(tmp_path):
    content = write(tmp_path / "out.mp4", np.arange(50) / 25).read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


PAGE = """<!doctype html><video src="out.mp4"></video><script>
const video = document.querySelector("video");
const report = (text) => fetch("/result?" + encodeURIComponent(text));
video.addEventListener("error", () => report("error " + video.error.message));
video.addEventListener("canplaythrough", () => video.play(), { once: true });
video.addEventListener("ended", () => report([video.videoWidth, video.videoHeight,
  video.currentTime.toFixed(1), video.webkitAudioDecodedByteCount > 0].join(" ")));
</script>"""


@pytest.mark.slow
def test_a_browser_plays_it_with_its_sound(tmp_path):
    source = source_with_sound(tmp_path / "source.avi", "pcm_s16le")
    write(tmp_path / "out.mp4", np.arange(50) / 25, sound=source)
    (tmp_path / "page.html").write_text(PAGE)
    assert reported(tmp_path, "page.html") == "64 48 2.0 true"
