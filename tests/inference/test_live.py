"""Predictions for a stream while it arrives."""

import dataclasses

import numpy as np
import pytest

from ar3d_keras.errors import UserError
from ar3d_keras.inference.live import watch
from ar3d_keras.videos.camera import Camera


def until_lost(predictions):
    """All predictions of a camera that is lost in the end, which is an error."""
    seen = []
    with pytest.raises(UserError):
        for prediction in predictions:
            seen.append(prediction)
    return seen


def test_a_stream_is_predicted_until_it_is_lost(classifier, stream):
    with Camera(stream(60), retries=1, pause=0.01) as camera:
        predictions = until_lost(watch(classifier, camera, seconds=1, hop=0.4, clips=2, crops=3))
    # Ideally at frames 25, 35, 45, 55 and the last, counted since the camera was opened.
    assert 2 <= len(predictions) <= 6  # fewer on a busy machine
    assert {prediction.frames for prediction in predictions} == {25}
    assert predictions[0].rate == 0
    assert all(prediction.rate > 0 for prediction in predictions[1:])
    assert all(prediction.probabilities.sum() == pytest.approx(1) for prediction in predictions)


def test_a_stream_shorter_than_a_window_is_predicted_once(classifier, stream):
    with Camera(stream(20), retries=1, pause=0.01) as camera:
        [prediction] = until_lost(watch(classifier, camera, seconds=2))
    assert 1 <= prediction.frames <= 19
    assert prediction.probabilities.dtype == np.float32


def test_a_stream_that_ends_before_its_first_frame(classifier, stream, user_error):
    with Camera(stream(8), retries=1, pause=0.01) as camera, user_error("`camera`"):
        camera._thread.join()  # frames that arrive before `watch` are dropped
        list(watch(classifier, camera))


def test_a_window_is_as_long_as_a_clip_spans(classifier, stream):
    with Camera(stream(40)) as camera:
        prediction = next(watch(classifier, camera))
    assert prediction.frames == 10  # 5 at stride 2: the shortest that gives 4 frames that stride


def test_a_clip_that_spans_the_window_needs_to_know_how_long_that_is(
    classifier, stream, user_error
):
    shape = dataclasses.replace(classifier.shape, sampling="uniform")
    uniform = dataclasses.replace(classifier, shape=shape)
    with Camera(stream(40)) as camera:
        with user_error("`window_seconds`"):
            next(watch(uniform, camera))
        prediction = next(watch(uniform, camera, seconds=0.4))
    assert prediction.frames == 10
