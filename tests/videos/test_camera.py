"""A stream's latest frames, from a real server."""

import time

import numpy as np
import pytest

from ar3d_keras.errors import UserError
from ar3d_keras.videos.camera import Camera


def numbers(latest):
    return [round(float(frame.mean())) for frame in latest.frames]


def test_only_the_latest_frames_are_held(stream):
    with Camera(stream()) as camera:
        assert 1 < camera.rate < 40  # a busy machine sends fewer than 25
        while stream.sent < 20:  # frames before hold() are dropped
            time.sleep(0.02)
        camera.hold(5, (18, 24))
        first = camera.latest(1, seen=0)
        assert numbers(first)[0] > 5
        later = camera.latest(first.number + 12, seen=first.number)  # a slow network
        assert len(later.frames) == 5
        assert later.number >= first.number + 12
        assert numbers(later)[0] > numbers(first)[-1] + 5
        assert {frame.shape for frame in later.frames} == {(18, 24, 3)}
        np.testing.assert_allclose(np.diff(numbers(later)), 1, atol=1)  # JPEG
    assert not camera._thread.is_alive()


def test_a_camera_that_stays_away(stream):
    """The frames that came are given, then a UserError follows."""
    lines = []
    with Camera(stream(12), log=lines.append, retries=2, pause=0.01) as camera:
        camera.hold(100, (18, 24))
        last = camera.latest(100, seen=0)
        assert len(last.frames) == last.number <= 11  # the first showed that it is a stream
        with pytest.raises(UserError, match=r"127\.0\.0\.1"):
            camera.latest(last.number + 1, seen=last.number)
    assert len(lines) == 2


def test_a_camera_that_comes_back(stream):
    lines = []
    with Camera(stream(drops=[15, 30]), log=lines.append, pause=0.01) as camera:
        camera.hold(100, (18, 24))
        shown = numbers(camera.latest(40, seen=0))
    assert shown[-1] > 35
    assert len(lines) == 4  # lost and back, twice


def test_a_damaged_frame_does_not_end_a_stream(stream):
    lines = []
    with Camera(stream(damaged=[8, 9, 14]), log=lines.append) as camera:
        camera.hold(100, (18, 24))
        shown = numbers(camera.latest(20, seen=0))
    assert shown[-1] > 20
    assert not {8, 9, 14} & set(shown)
    assert lines == []


def test_a_name_without_its_password():
    with pytest.raises(UserError) as caught:
        Camera("rtsp://user:p@ss@127.0.0.1:9/x")
    assert "p@ss" not in str(caught.value)


@pytest.mark.parametrize("source", ["clip.mp4", "12345678901", ""])
def test_not_a_camera(source):
    with pytest.raises(UserError, match="`camera`"):
        Camera(source)
