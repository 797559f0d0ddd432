"""Windows of long videos: which frames, which clips, which times."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.inference.timeline import (
    check_window_memory,
    clips_of,
    small_windows,
    timeline,
    windows,
)
from ar3d_keras.videos.catalog import Video
from ar3d_keras.videos.parts import Part, part_of
from ar3d_keras.videos.reader import damage, load_cv2, read_header, timed_frames
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.sources import UniformSampler, VideoSource

SHAPE = ClipShape(4, 16, 16, 18, 24, stride=2)


def cut(times, seconds, hop, period=0.04):
    """Windows of frames that are their own numbers."""
    timed = [(time, number) for number, time in enumerate(times)]
    return list(windows(timed, seconds=seconds, hop=hop, period=period))


@given(
    st.integers(1, 400),
    st.sampled_from([10, 23.976, 25, 29.97, 60]),
    st.integers(1, 800).map(lambda n: n / 100),
    st.integers(1, 800).map(lambda n: n / 100),
)
def test_every_window_has_just_its_frames(count, rate, seconds, hop):
    times = np.arange(count) / rate
    found = cut(times, seconds, hop, 1 / rate)
    expected = []
    for number in range(math.ceil(times[-1] / hop) + 1):
        start, end = number * hop, number * hop + seconds
        inside = np.flatnonzero((times >= start - 0.0005) & (times < end - 0.0005))
        if inside.size:
            expected.append(tuple(inside))
        if end - 0.0005 > times[-1]:
            break  # it has seen the video's last frame, or all that come after it start later
    assert [window.frames for window in found] == expected
    for window in found:
        assert window.first == window.frames[0]
        assert window.end > window.start
        assert window.start == pytest.approx(round(window.start / hop) * hop)
    assert all(window.end == pytest.approx(window.start + seconds) for window in found[:-1])
    if hop <= seconds:
        assert {frame for window in found for frame in window.frames} == set(range(count))
        assert found[-1].end <= found[-1].start + seconds + 1 / rate + 0.001


def test_with_uniform_sampling_a_clip_spans_its_window():
    shape = dataclasses.replace(SHAPE, sampling="uniform")
    frames = [np.full((18, 24, 3), number, np.uint8) for number in range(20)]
    one, other = clips_of(frames, shape, clips=2)
    assert one[:, 0, 0, 0].tolist() == [1, 6, 11, 16]
    assert other[:, 0, 0, 0].tolist() == [3, 8, 13, 18]


def test_windows_overlap_where_the_hop_is_shorter_and_leave_gaps_where_it_is_longer():
    times = np.arange(10) / 10
    assert [w.frames for w in cut(times, 0.4, 0.2)] == [
        (0, 1, 2, 3),
        (2, 3, 4, 5),
        (4, 5, 6, 7),
        (6, 7, 8, 9),
    ]
    assert [w.frames for w in cut(times, 0.2, 0.4)] == [(0, 1), (4, 5), (8, 9)]
    assert [w.frames for w in cut(times, 0.4, 0.4)] == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9)]
    assert cut(times, 0.4, 0.4, period=0.1)[-1].end == pytest.approx(1.0)


def test_a_pause_has_no_windows():
    found = cut([0, 0.5, 3600.0, 3600.5], 1, 1)
    assert [(w.start, w.first, w.frames) for w in found] == [(0, 0, (0, 1)), (3600, 2, (2, 3))]


def test_no_more_is_held_than_a_window():
    taken = []

    def stream():
        for number in range(1000):
            taken.append(number)
            yield number / 10, number

    for window in windows(stream(), seconds=1, hop=0.5, period=0.1):
        # A window ends when the first frame behind it is there.
        assert len(taken) <= window.frames[-1] + 2
        assert len(window.frames) <= 10


@pytest.mark.parametrize("flow", [None, "dis"])
@pytest.mark.parametrize(("seconds", "hop"), [(0.8, 0.8), (1.0, 0.4)])
def test_the_clips_of_a_window_are_those_of_a_video_cut_out_there(
    write_video, tmp_path, flow, seconds, hop
):
    cv2 = load_cv2()
    video = write_video(tmp_path / "video.avi", frames=53)
    shape = ClipShape(4, 16, 16, 18, 24, stride=2, flow=flow)
    frames = [frame.copy() for _, frame in timed_frames(video)]
    found = list(small_windows(Part(video), shape, seconds=seconds, hop=hop))
    assert len(found) == math.ceil((53 / 25 - seconds) / hop) + 1
    for window in found:
        assert window.first == round(window.start * 25)
        piece = tmp_path / f"{window.first}"
        piece.mkdir()
        for number in range(len(window.frames)):
            cv2.imwrite(str(piece / f"{number}.png"), frames[window.first + number])
        source = VideoSource(
            tmp_path,
            [Video(piece.name, None)],
            {piece.name: len(window.frames)},
            (),
            shape,
            UniformSampler(2, 3),
        )
        clips = np.stack(list(clips_of(window.frames, shape, clips=2, crops=3)))
        np.testing.assert_array_equal(clips, [source[view, 0] for view in range(6)])


def test_a_window_that_would_not_fit_into_memory(write_video, tmp_path, user_error):
    video = write_video(tmp_path / "video.avi", frames=10)
    large = ClipShape(4, 112, 112, 2000, 2000)
    assert (
        len(list(small_windows(Part(video), large, seconds=3600, hop=3600))) == 1
    )  # it has 10 frames
    with user_error("1080 GB", "`window_seconds`"):
        check_window_memory(3600, 3600 * 25, large)


def test_the_prediction_of_a_window_is_the_mean_of_its_clips(classifier, write_video, tmp_path):
    video = write_video(tmp_path / "video.avi", frames=60)
    segments = timeline(classifier, Part(video), seconds=0.4, hop=0.4, clips=2, batch_size=4)
    assert [segment.start for segment in segments] == pytest.approx([0.4 * n for n in range(6)])
    assert [segment.end for segment in segments] == pytest.approx([0.4 * n for n in range(1, 7)])
    for segment, window in zip(
        segments, small_windows(Part(video), classifier.shape, seconds=0.4, hop=0.4), strict=True
    ):
        clips = np.zeros((4, *classifier.shape.array), np.uint8)
        clips[:2] = list(clips_of(window.frames, classifier.shape, clips=2))
        expected = np.asarray(classifier.network.predict_on_batch(clips))[:2].mean(0)
        np.testing.assert_array_equal(segment.probabilities, expected)


def test_a_file_that_is_not_as_its_packets_say_is_predicted_from_all_frames(
    classifier, write_video, tmp_path, monkeypatch
):
    """A file that is cut off counts as damaged."""
    video = write_video(tmp_path / "video.avi", frames=60)
    cut = tmp_path / "cut.avi"
    cut.write_bytes(video.read_bytes()[: video.stat().st_size * 4 // 5])
    options = {"seconds": 0.4, "hop": 0.4, "batch_size": 4}
    found = timeline(classifier, Part(cut), **options)
    assert damage(cut)
    monkeypatch.setattr(Part, "packets", lambda part: None)
    expected = timeline(classifier, Part(cut), **options)
    assert found
    for one, other in zip(found, expected, strict=True):
        assert (one.start, one.end) == (other.start, other.end)
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_a_folder_of_frames_has_25_a_second(write_frames, tmp_path):
    folder = write_frames(tmp_path / "frames", frames=30)
    assert read_header(folder).rate is None
    found = list(small_windows(Part(folder), SHAPE, seconds=1, hop=1))
    assert [len(window.frames) for window in found] == [25, 5]
    assert found[-1].end == pytest.approx(1.2)


def test_a_stream_that_tells_no_times_goes_by_its_rate(write_video, tmp_path):
    """An elementary stream has no timestamps; FFmpeg makes them up by the rate it assumes."""
    container = write_video(tmp_path / "video.avi", frames=30).read_bytes()
    times = [time for time, _ in timed_frames(tmp_path / "video.avi")]
    np.testing.assert_allclose(times, np.arange(30) / 25)
    # The rate of the stream, dwRate / dwScale in its header: 25 becomes 25 million.
    place = container.index(b"strh") + 8 + 20
    scale, rate = np.frombuffer(container[place : place + 8], "<u4")
    absurd = np.array([1, 25_000_000], "<u4").tobytes()
    (tmp_path / "absurd.avi").write_bytes(container[:place] + absurd + container[place + 8 :])
    assert rate / scale == 25
    assert read_header(tmp_path / "absurd.avi").rate is None
    times = [time for time, _ in timed_frames(tmp_path / "absurd.avi")]
    assert np.all(np.diff(times) > 0)


def with_pause(file, *, after, ticks):
    """Frame `after` of an MP4 file lasts `ticks` times as long as the others."""
    # Without the edit list, which says how much of it is to be shown.
    data = bytearray(file.read_bytes().replace(b"edts", b"free"))
    place = data.index(b"stts") + 4
    entries, count, delta = np.frombuffer(data[place + 4 : place + 16], ">u4").tolist()
    assert entries == 1
    table = [3, after, delta, 1, ticks * delta, count - after - 1, delta]
    data[place + 4 : place + 16] = np.array(table, ">u4").tobytes()
    for box in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"):  # each holds the next
        place = data.index(box, data.index(b"moov")) - 4
        data[place : place + 4] = (int.from_bytes(data[place : place + 4], "big") + 16).to_bytes(
            4, "big"
        )
    file.write_bytes(data)


def test_times_of_a_variable_rate_are_those_that_a_player_shows(write_video, tmp_path):
    file = write_video(tmp_path / "variable.mp4", frames=40, codec="mp4v")
    with_pause(file, after=20, ticks=50)
    times = [time for time, _ in timed_frames(file)]
    expected = np.arange(40) / 25
    expected[21:] += 49 / 25
    np.testing.assert_allclose(times, expected, atol=0.001)
    found = list(small_windows(Part(file), SHAPE, seconds=0.5, hop=0.5))
    # Frame 20 is shown from 0.8 to 2.8 seconds; in 1.0 to 2.5 no frame begins.
    assert [(w.start, len(w.frames)) for w in found] == [
        (0, 13),
        (0.5, 8),
        (2.5, 5),
        (3.0, 13),
        (3.5, 1),
    ]


def test_windows_of_a_stretch_are_those_of_the_file(write_timed, tmp_path):
    """Decoding from the key frame before the stretch gives the frames that decoding the file gives."""
    file = write_timed(tmp_path / "a.mp4", np.arange(100) / 10)
    options = {"seconds": 1.0, "hop": 0.5}
    stretch = part_of(tmp_path, Video("a.mp4", None, start=6.0, end=8.0))
    part = list(small_windows(stretch, SHAPE, **options))
    whole = list(small_windows(Part(file), SHAPE, **options))[12:15]
    assert [(w.start, w.first, w.times) for w in part[:3]] == [
        (pytest.approx(w.start), w.first - 60, pytest.approx(w.times)) for w in whole
    ]
    for one, other in zip(part, whole, strict=False):
        np.testing.assert_array_equal(one.frames, other.frames)
    assert part[-1].times[-1] == pytest.approx(7.9)
