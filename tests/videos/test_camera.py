"""A stream's latest frames, from a real server."""

import time

import numpy as np

from ar3d_keras.videos.camera import Camera


def numbers(latest):
    return [round(float(frame.mean())) for frame in latest.frames]


def test_only_the_latest_frames_are_held(stream):
    with Camera(stream()) as camera:
        assert camera.rate == 25
        while stream.sent < 20:  # what comes before anybody wants it is dropped
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


def test_a_stream_that_ends(stream):
    with Camera(stream(12)) as camera:
        camera.hold(100, (18, 24))
        last = camera.latest(100, seen=0)
        assert len(last.frames) == last.number <= 11  # the first showed that it is a stream
        assert camera.latest(last.number + 1, seen=last.number) is None
