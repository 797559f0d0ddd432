"""Predictions of many videos that were stopped and continued."""

import json
import os

import numpy as np
import pytest

from ar3d_keras.inference import journal, predictor
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.predictor import predict_videos
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.unlabelled import find_videos

SHAPE = ClipShape(4, 16, 16, 20, 24, 1)


class Network:
    """Its outputs depend on every pixel; it fails at a call."""

    def __init__(self, fails_at=None, scale=1.0):
        self.calls, self.fails_at, self.scale = 0, fails_at, scale

    def predict_on_batch(self, clips):
        self.calls += 1
        if self.calls == self.fails_at:
            raise KeyboardInterrupt
        shares = self.scale * clips.reshape(len(clips), -1).mean(axis=1, dtype=np.float64) / 700
        return np.stack([shares, 1 - shares], axis=1).astype(np.float32)

    def get_weights(self):
        return [np.float32(self.scale)]


def classifier(**options):
    return Classifier(Network(**options), ("a", "b"), SHAPE, "here", batch_size=2)


@pytest.fixture
def videos(write_video, tmp_path):
    folder = tmp_path / "videos"
    for number in range(5):
        write_video(folder / f"{number}.avi", first=20 * number)
    (folder / "broken.avi").write_bytes(b"no video")
    return find_videos([folder])


@pytest.mark.parametrize("windows", [{}, {"window_seconds": 0.3, "hop_seconds": 0.2}])
def test_the_rest_is_predicted_and_every_bit_is_equal(videos, tmp_path, monkeypatch, windows):
    for module in (journal, predictor):
        monkeypatch.setattr(module, "CHUNK", 2)
    whole = predict_videos(classifier(), videos, **windows)
    file = tmp_path / "done.jsonl"
    first = classifier(fails_at=2 if not windows else 6)
    with pytest.raises(KeyboardInterrupt):
        predict_videos(first, videos, journal=file, **windows)
    kept = len(file.read_text().splitlines()) - 1
    assert 0 < kept < 6
    with file.open("a") as lines:  # a kill cuts a line
        lines.write('{"path": "')
    for predicted in (6 - kept, 0):
        again = classifier()
        found = predict_videos(again, videos, journal=file, **windows)
        assert bool(again.network.calls) == bool(predicted)
        for one, other in zip(whole, found, strict=True):
            assert (one.path, one.file, one.failure) == (other.path, other.file, other.failure)
            if not one.failure:
                assert one.probabilities.tobytes() == other.probabilities.tobytes()
            for part, same in zip(one.segments, other.segments, strict=True):
                assert (part.start, part.end) == (same.start, same.end)
                assert part.probabilities.tobytes() == same.probabilities.tobytes()


def test_a_video_that_changed_is_predicted_again(videos, tmp_path):
    file = tmp_path / "done.jsonl"
    predict_videos(classifier(), videos, journal=file)
    os.utime(videos.root / videos.videos[0].path, (1, 1))
    again = classifier()
    predict_videos(again, videos, journal=file)
    assert again.network.calls == 1


def test_a_journal_of_something_else_is_refused(videos, tmp_path, user_error):
    file = tmp_path / "done.jsonl"
    predict_videos(classifier(), videos, journal=file)
    for other, options, what in (
        (classifier(scale=0.5), {}, "network"),
        (classifier(), {"clips": 2}, "clips"),
        (classifier(), {"window_seconds": 1.0}, "windows"),
    ):
        with user_error("`journal`", what):
            predict_videos(other, videos, journal=file, **options)
    for text in ("hello\n", json.dumps({"journal": 2})):
        file.write_text(text)
        with user_error("`journal`", str(file)):
            predict_videos(classifier(), videos, journal=file)
        assert file.read_text() == text
