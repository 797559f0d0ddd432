"""Windows of segments: those of their frames, at the times of their file."""

import dataclasses
import json

import numpy as np
import pytest

from ar3d_keras.inference.bouts import BoutOptions
from ar3d_keras.inference.formatting import as_labels
from ar3d_keras.inference.predictor import predict_videos
from ar3d_keras.inference.timeline import small_windows
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.parts import part_of
from ar3d_keras.videos.unlabelled import find_videos


@pytest.fixture(scope="module")
def video(write_timed, tmp_path_factory):
    """Six seconds at a variable rate, from 20 to 50 frames a second."""
    steps = np.random.default_rng(0).choice([0.02, 0.03, 0.05], 180)
    return write_timed(tmp_path_factory.mktemp("windows") / "a.mp4", np.cumsum([0, *steps]))


@pytest.mark.parametrize("fps", [None, 10])
@pytest.mark.parametrize("stretch", ["#t=1.5,4.2", "#t=3", "#t=2,99&roi=0,0,0.5,1"])
def test_one_window_is_the_prediction_of_the_segment(classifier, video, fps, stretch):
    classifier = dataclasses.replace(
        classifier, shape=dataclasses.replace(classifier.shape, fps=fps)
    )
    catalog = find_videos([f"{video}{stretch}"])
    [whole] = predict_videos(classifier, catalog)
    [windows] = predict_videos(classifier, catalog, window_seconds=60)
    assert whole.path == windows.path == catalog.videos[0].key
    assert whole.file == windows.file == str(video)
    [window] = windows.segments
    assert window.start == catalog.videos[0].start
    np.testing.assert_allclose(window.probabilities, whole.probabilities, rtol=1e-5)


def test_windows_begin_with_the_segment_and_have_the_times_of_the_file(classifier, video):
    catalog = find_videos([f"{video}#t=1.5,4.2", str(video)])
    segment, whole = predict_videos(classifier, catalog, window_seconds=0.5)
    times = [(each.start, each.end) for each in segment.segments]
    starts = 1.5 + 0.5 * np.arange(6)
    np.testing.assert_allclose(times, np.stack([starts, [*starts[1:], 4.2]], axis=1))
    np.testing.assert_allclose(segment.segments[0].probabilities, whole.segments[3].probabilities)
    part = part_of(catalog.root, catalog.videos[0])
    windows = list(small_windows(part, classifier.shape, seconds=0.5, hop=0.5))
    assert [w.first for w in windows] == np.cumsum([0, *map(len, [w.frames for w in windows])])[
        :-1
    ].tolist()
    assert sum(len(window.frames) for window in windows) == len(part.numbers)


def test_a_segment_that_has_no_frame_fails_alone(classifier, video):
    lines = []

    class Log(Reporter):
        def log(self, text):
            lines.append(text)

    catalog = find_videos([f"{video}#t=50,60", f"{video}#t=1,2"])
    failed, found = predict_videos(classifier, catalog, window_seconds=1, reporter=Log())
    assert failed.failure and failed.path.endswith("#t=50,60")
    assert len(found.segments) == 1
    assert any("#t=50,60" in line for line in lines)


def test_stretches_of_segments_are_those_of_their_file(classifier, video):
    catalog = find_videos([f"{video}#t=1,2", f"{video}#t=3,5"])
    predictions = predict_videos(classifier, catalog, window_seconds=0.5)
    options = BoutOptions()
    tasks = json.loads(as_labels("label-studio", predictions, catalog.root, options))
    assert len(tasks) == 1
    project = json.loads(as_labels("boris", predictions, catalog.root, options))
    [observation] = project["observations"].values()
    assert [file for files in observation["file"].values() for file in files] == [str(video)]
    times = [event[0] for event in observation["events"]]
    assert min(times) == 1 and max(times) == 5
