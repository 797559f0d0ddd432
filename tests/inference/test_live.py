"""What is said of a stream, while it comes."""

import numpy as np
import pytest

from ar3d_keras.errors import UserError
from ar3d_keras.inference.live import watch
from ar3d_keras.videos.camera import Camera


def until_the_end(sightings):
    """All sightings of a camera that stays away in the end, which is an error."""
    seen = []
    with pytest.raises(UserError):
        for sighting in sightings:
            seen.append(sighting)
    return seen


def test_a_stream_is_watched_until_it_ends(classifier, stream):
    with Camera(stream(60), retries=1, pause=0.01) as camera:
        sightings = until_the_end(watch(classifier, camera, seconds=1, hop=0.4, clips=2, crops=3))
    # At frames 25, 35, 45, 55 and the last, of those that came after it was opened.
    assert 2 <= len(sightings) <= 6  # a busy machine looks less often
    assert {sighting.frames for sighting in sightings} == {25}
    assert sightings[0].rate == 0
    assert all(sighting.rate > 0 for sighting in sightings[1:])
    assert all(sighting.probabilities.sum() == pytest.approx(1) for sighting in sightings)


def test_a_stream_shorter_than_a_window_is_answered_once(classifier, stream):
    with Camera(stream(20), retries=1, pause=0.01) as camera:
        [sighting] = until_the_end(watch(classifier, camera, seconds=2))
    assert 1 <= sighting.frames <= 19
    assert sighting.probabilities.dtype == np.float32


def test_a_stream_that_ends_before_anything_is_seen(classifier, stream, user_error):
    with Camera(stream(8), retries=1, pause=0.01) as camera, user_error("127.0.0.1"):
        camera._thread.join()  # what comes before anybody wants it is dropped
        list(watch(classifier, camera))


def test_a_window_is_as_long_as_a_clip_spans(classifier, stream):
    with Camera(stream(40)) as camera:
        sighting = next(watch(classifier, camera))
    assert sighting.frames == 10  # 5 at stride 2: the shortest that gives 4 frames that stride
