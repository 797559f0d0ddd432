"""What is said of a stream, while it comes."""

import numpy as np
import pytest

from ar3d_keras.inference.live import watch
from ar3d_keras.videos.camera import Camera


def test_a_stream_is_watched_until_it_ends(classifier, stream):
    with Camera(stream(60)) as camera:
        sightings = list(watch(classifier, camera, seconds=1, hop=0.4, clips=2, crops=3))
    # At frames 25, 35, 45, 55 and the last, of those that came after it was opened.
    assert 2 <= len(sightings) <= 6  # a busy machine looks less often
    assert {sighting.frames for sighting in sightings} == {25}
    assert sightings[0].rate == 0
    assert all(sighting.rate > 0 for sighting in sightings[1:])
    assert all(sighting.probabilities.sum() == pytest.approx(1) for sighting in sightings)


def test_a_stream_shorter_than_a_window_is_answered_once(classifier, stream):
    with Camera(stream(8)) as camera:
        [sighting] = watch(classifier, camera)
    assert 1 <= sighting.frames <= 7
    assert sighting.probabilities.dtype == np.float32


def test_a_stream_that_ends_before_anything_is_seen(classifier, stream, user_error):
    with Camera(stream(8)) as camera, user_error("ended before anything of it was seen"):
        camera._thread.join()  # what comes before anybody wants it is dropped
        list(watch(classifier, camera))


def test_a_window_is_as_long_as_a_clip_spans(classifier, stream):
    with Camera(stream(40)) as camera:
        sighting = next(watch(classifier, camera))
    assert sighting.frames == 10  # 5 at stride 2: the shortest that gives 4 frames that stride
