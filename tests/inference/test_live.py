"""Predictions for a stream while it arrives."""

import dataclasses
import time

import numpy as np
import pytest

from ar3d_keras.errors import UserError
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.live import watch
from ar3d_keras.videos import camera as cameras
from ar3d_keras.videos.camera import RATE_FRAMES, Camera
from ar3d_keras.videos.sampling import ClipShape


def until_lost(predictions):
    """All predictions of a camera that is lost in the end, which is an error."""
    seen = []
    with pytest.raises(UserError):
        for prediction in predictions:
            seen.append(prediction)
    return seen


def test_a_stream_is_predicted_until_it_is_lost(classifier, stream):
    with Camera(stream(60), retries=1, pause=0.01) as camera:
        second = round(camera.rate)  # fewer than 25 on a busy machine
        predictions = until_lost(watch(classifier, camera, seconds=1, hop=0.4, clips=2, crops=3))
    # Ideally at frames 25, 35, 45, 55 and the last, counted since the camera was opened.
    assert 2 <= len(predictions) <= 8
    assert {prediction.frames for prediction in predictions} == {second}
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


class FakeStream:
    """Its picture is as gray as its time stamp in tenths of a second, on the right half only."""

    duration, told_rate = 60.0, None

    def __init__(self, stamps, has_times=True):
        self.stamps, self.has_times, self.number, self.camera = stamps, has_times, -1, None

    @property
    def seconds(self):
        return self.stamps[self.number]

    def grab(self):
        self.number += 1
        # `Camera.rate` waits for the first frames, and `hold` drops what came before.
        while self.number >= RATE_FRAMES and (self.camera is None or self.camera._size is None):
            time.sleep(0.001)
        return self.number < len(self.stamps)

    def retrieve(self):
        picture = np.zeros((20, 40, 3), np.uint8)
        picture[:, 20:] = round(10 * self.seconds)
        return picture

    def close(self):
        pass


class Recorder:
    """A network that keeps the clips it is given."""

    def __init__(self):
        self.clips = []

    def predict_on_batch(self, clips):
        self.clips += list(np.array(clips))
        return np.full((len(clips), 2), 0.5, np.float32)


RIGHT = (0.5, 0.0, 1.0, 1.0)
STEADY = np.arange(400) / 20
# It gets dark after 6 s: from 30 frames a second to 6; stamps do not start at zero.
VARIABLE = 3.0 + np.cumsum([0.0, *[1 / 30] * 180, *[1 / 6] * 80])


def watched(monkeypatch, stamps, shape, **options):
    stream, network = FakeStream(stamps), Recorder()
    monkeypatch.setattr(cameras, "_open", lambda *_: stream)
    with Camera("0") as camera:
        stream.camera = camera
        predictions = list(watch(Classifier(network, ("a", "b"), shape, "fake"), camera, **options))
    return predictions, network.clips


@pytest.mark.parametrize("stamps", [STEADY, VARIABLE], ids=["steady", "variable"])
def test_the_frames_of_a_clip_are_as_far_apart_as_its_rate_says(monkeypatch, stamps):
    shape = ClipShape(8, 8, 8, resize_height=8, resize_width=8, fps=5, roi=RIGHT)
    predictions, clips = watched(monkeypatch, stamps, shape)
    assert predictions
    moments = np.arange(8) / 5
    for clip in clips:
        assert clip.std(axis=(1, 2, 3)).max() == 0  # the left half is cut off
        shown = clip[:, 0, 0, 0] / 10
        longest = np.diff(stamps).max()
        # Each frame is the last one at its moment, so it is older by less than a frame.
        lateness = moments - (shown - shown[0])
        assert np.ptp(lateness) <= longest + 0.1  # gray has tenths
        assert shown[-1] - shown[0] == pytest.approx(1.4, abs=longest + 0.1)


def test_a_longer_window_has_clips_all_over(monkeypatch):
    shape = ClipShape(4, 8, 8, resize_height=8, resize_width=8, fps=4, roi=RIGHT)
    _, clips = watched(monkeypatch, STEADY, shape, seconds=6.0, clips=3)
    first, _, last = (clip[:, 0, 0, 0] / 10 for clip in clips[:3])
    assert last[-1] - first[0] == pytest.approx(4, abs=0.2)
    assert np.diff(first) == pytest.approx(0.25, abs=0.15)


def test_frames_that_do_not_contain_the_region(monkeypatch, user_error):
    shape = ClipShape(4, 8, 8, resize_height=8, resize_width=8, roi=(0, 0, 300, 200))
    with user_error("40x20", "region"):
        watched(monkeypatch, STEADY, shape)


def test_an_mjpeg_stream_goes_by_the_arrival_of_its_pictures(stream):
    with Camera(stream()) as camera:
        assert not camera._stream.has_times
        camera.hold(10, (8, 8))
        stamps = camera.latest(10, seen=0).stamps
    assert len(stamps) == 10
    assert np.all(np.diff(stamps) > 0)


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
