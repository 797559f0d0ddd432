"""predict: any video gets the probabilities of evaluation."""

import csv
import dataclasses
import io
import json
import os
import shutil
import types

import numpy as np
import pytest

import ar3d_keras
from ar3d_keras import evaluate, predict
from ar3d_keras.inference import timeline as timeline_module
from ar3d_keras.inference.formatting import as_csv, as_json
from ar3d_keras.inference.predictor import Prediction, likeliest, merged, predict_videos
from ar3d_keras.inference.timeline import SegmentPrediction
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import Catalog, Video
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.sources import UniformSampler, VideoSource
from ar3d_keras.videos.unlabelled import find_videos


class Lines(Reporter):
    def __init__(self):
        self.lines = []

    def log(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def videos(write_video, write_frames, tmp_path_factory):
    """Seven videos of different lengths, and a folder of frames: more than one step of 4."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(7):
        write_video(folder / f"{number}.avi", frames=5 + 9 * number, first=20 * number)
    write_frames(folder / "frames", frames=12, first=40)
    return folder


@pytest.mark.parametrize(
    ("clips", "crops"), [pytest.param(1, 1, marks=pytest.mark.multi_backend), (2, 3)]
)
def test_each_video_has_the_probabilities_of_evaluation_whatever_the_other_videos(
    classifier, videos, clips, crops
):
    catalog = find_videos([videos])
    labelled = [Video(video.path, "Jump") for video in catalog.videos]
    frames = scan(catalog, workers=2).frames
    source = VideoSource(
        catalog.root,
        labelled,
        frames,
        classifier.class_names,
        classifier.shape,
        UniformSampler(clips, crops),
    )
    evaluated = evaluate(
        classifier.network, source, classifier.class_names, batch_size=4, workers=2
    )
    assert len(np.unique(evaluated.probabilities, axis=0)) == 8  # no two are equal
    views = {"clips": clips, "crops": crops}
    together = predict_videos(classifier, catalog, **views)
    assert [p.path for p in together] == list(evaluated.paths)
    for prediction, probabilities in zip(together, evaluated.probabilities, strict=True):
        np.testing.assert_array_equal(prediction.probabilities, probabilities)
        [alone] = predict_videos(classifier, find_videos([prediction.path]), **views)
        np.testing.assert_array_equal(alone.probabilities, probabilities)
        other = predict_videos(classifier, find_videos([prediction.path]), **views, batch_size=1)
        np.testing.assert_allclose(other[0].probabilities, probabilities, atol=1e-6)


def test_from_python(run, videos):
    [prediction] = predict(videos / "3.avi", run="tiny", runs_dir=run.folder.parent)
    assert prediction.path == str(videos / "3.avi")
    assert prediction.class_names == ("걷기", "Jump", "Run")
    assert prediction.probabilities.dtype == np.float32
    assert prediction.probabilities.sum() == pytest.approx(1)
    assert [name for name, _ in prediction.top(2)] == [name for name, _ in prediction.top()][:2]
    assert len(prediction.top()) == 3  # of 3 classes
    # The same run by its folder, and as the latest run.
    for where in ({"run": run.folder}, {"runs_dir": run.folder.parent}):
        [again] = predict([videos / "3.avi"], **where)
        np.testing.assert_array_equal(again.probabilities, prediction.probabilities)
    [timed] = predict(videos / "6.avi", run=run.folder, window_seconds=1, hop_seconds=0.5)
    assert [segment.start for segment in timed.segments] == [0, 0.5, 1, 1.5]
    mean = np.mean([segment.probabilities for segment in timed.segments], axis=0)
    np.testing.assert_allclose(timed.probabilities, mean, atol=1e-6)
    assert ar3d_keras.predict is predict


@pytest.mark.parametrize("windows", [{}, {"window_seconds": 1}])
def test_a_video_that_cannot_be_decoded_is_named_and_the_others_are_predicted(
    classifier, videos, tmp_path, user_error, windows
):
    good = shutil.copy(videos / "2.avi", tmp_path / "good.avi")
    (tmp_path / "bad.avi").write_bytes(b"RIFF")
    (tmp_path / "empty.avi").touch()
    reporter = Lines()
    bad, empty, predicted = predict_videos(
        classifier, find_videos([tmp_path]), reporter=reporter, **windows
    )
    assert bad.failure and empty.failure
    assert (bad.probabilities, bad.top()) == (None, [])
    assert (predicted.path, predicted.failure) == (str(good), None)
    for line, failed in zip(reporter.lines, (bad, empty), strict=True):
        assert failed.path in line and failed.failure in line
    with user_error("bad.avi", bad.failure):
        predict_videos(classifier, find_videos([tmp_path / "bad.avi"]), **windows)
    (tmp_path / "good.avi").unlink()
    with user_error("none of the 2 videos"):
        predict_videos(classifier, find_videos([tmp_path]), **windows)


def test_a_window_that_is_too_large_fails_alone(classifier, videos, tmp_path, monkeypatch):
    for name in ("1.avi", "2.avi"):
        shutil.copy(videos / name, tmp_path / name)
    check = timeline_module.check_window_memory

    def limited(seconds, frames, shape):
        check(seconds, 1e9 if frames > 20 else frames, shape)  # 2.avi has 23 frames, 1.avi 14

    monkeypatch.setattr(timeline_module, "check_window_memory", limited)
    first, second = predict_videos(classifier, find_videos([tmp_path]), window_seconds=1)
    assert first.failure is None
    assert "`window_seconds`" in second.failure


def test_a_video_that_goes_away_after_it_was_counted(classifier, videos, tmp_path):
    for name in ("1.avi", "2.avi"):
        shutil.copy(videos / name, tmp_path / name)
    catalog = find_videos([tmp_path])
    scan(catalog, workers=1)
    stamp = (tmp_path / "1.avi").stat()
    (tmp_path / "1.avi").write_bytes(bytes(stamp.st_size))
    os.utime(tmp_path / "1.avi", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    lost, kept = predict_videos(classifier, catalog)
    assert lost.failure
    assert kept.probabilities is not None


@pytest.mark.parametrize(
    ("option", "value", "others"),
    [
        ("clips", 0, {}),
        ("crops", 2, {}),
        ("batch_size", 0, {}),
        ("workers", 0, {}),
        ("window_seconds", 0, {}),
        ("window_seconds", -1, {}),
        ("window_seconds", float("nan"), {}),
        ("hop_seconds", 0, {"window_seconds": 1}),
        ("hop_seconds", 1, {}),
    ],
)
def test_an_option_out_of_range_is_an_error(run, videos, option, value, others, user_error):
    with user_error(option if option == "workers" else f"`{option}`"):  # workers: videos/reader.py
        predict(videos / "0.avi", run=run.folder, **{option: value}, **others)


def test_contradicting_and_missing_arguments_are_errors(run, videos, user_error):
    with user_error("`saved_model`"):
        predict(videos / "0.avi", run=run.folder, saved_model="models")
    with user_error():
        predict([], run=run.folder)


@pytest.mark.parametrize("windows", [{}, {"window_seconds": 1}])
def test_a_network_that_diverged(classifier, videos, windows, user_error):
    network = types.SimpleNamespace(
        predict_on_batch=lambda clips: np.full((len(clips), 3), np.nan, np.float32)
    )
    diverged = dataclasses.replace(classifier, network=network)
    with user_error("0.avi"):
        predict_videos(diverged, find_videos([videos / "0.avi"]), **windows)


def test_a_folder_of_frames_has_an_assumed_rate_and_says_so(classifier, videos):
    reporter = Lines()
    predict_videos(
        classifier, find_videos([videos / "frames"]), window_seconds=1, reporter=reporter
    )
    [line] = reporter.lines
    assert repr(str(videos / "frames")) in line and "25" in line


@pytest.mark.parametrize(
    "folder",
    [
        "frames",
        "kth",
        "ucf101",
        *(pytest.param(f, marks=pytest.mark.slow) for f in ("odd", "fight")),
    ],
)
def test_every_real_video_is_predicted(classifier, realdata, folder):
    predictions = predict_videos(classifier, find_videos([realdata(folder)]), clips=2)
    assert not [(p.path, p.failure) for p in predictions if p.failure]
    for prediction in predictions:
        assert prediction.probabilities.sum() == pytest.approx(1)
        [again] = predict_videos(classifier, find_videos([prediction.path]), window_seconds=1e4)
        assert again.segments[0].start == 0


def test_equal_probabilities_are_in_the_order_of_the_classes():
    assert likeliest("abc", np.float32([0.25, 0.5, 0.25]), 3) == [
        ("b", 0.5),
        ("a", 0.25),
        ("c", 0.25),
    ]


def test_adjoining_windows_of_one_class_are_merged():
    segments = [
        SegmentPrediction(start, start + 1, np.float32([share, 1 - share]))
        for start, share in enumerate([0.75, 1, 0.25, 0.75])
    ]
    prediction = Prediction("video", ("a", "b"), np.float32([0.5, 0.5]), tuple(segments))
    assert merged(prediction) == [(0, 2, "a", 0.875), (2, 3, "b", 0.75), (3, 4, "a", 0.75)]
    assert merged(Prediction("video", ("a", "b"), np.float32([0.5, 0.5]))) == []


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([(0, 1), (1, 2)], [(0, 2)]),
        ([(0, 1), (0.5, 1.5)], [(0, 1.5)]),  # overlapping
        ([(0, 1), (3600, 3601)], [(0, 1), (3600, 3601)]),  # a pause of the recording
        ([(0, 1), (2, 3), (4, 5)], [(0, 1), (2, 3), (4, 5)]),  # a hop longer than the window
        ([(0.1 * n, 0.1 * n + 0.1) for n in range(9)], [(0, pytest.approx(0.9))]),  # rounding
    ],
)
def test_windows_with_time_between_them_are_not_merged(times, expected):
    segments = tuple(SegmentPrediction(*time, np.float32([1, 0])) for time in times)
    prediction = Prediction("video", ("a", "b"), np.float32([1, 0]), segments)
    assert [stretch[:2] for stretch in merged(prediction)] == expected


def test_documents_keep_every_number_and_every_name(classifier, videos, tmp_path):
    names = [os.fsdecode(b"caf\xe9.avi"), 'a,"b"\n\r.avi', "정류장.avi"]
    for number, name in enumerate(names):
        shutil.copy(videos / f"{number}.avi", tmp_path / name)
    (tmp_path / "bad.avi").touch()
    predictions = predict_videos(classifier, find_videos([tmp_path]), window_seconds=0.3)
    predicted = {p.path: p for p in predictions if not p.failure}
    assert set(predicted) == {str(tmp_path / name) for name in names}
    document = json.loads(as_json(classifier, predictions, settings={"protocol": "so"}))
    assert document["model"] == classifier.origin
    assert document["classes"] == ["걷기", "Jump", "Run"]
    assert document["protocol"] == "so"
    [failed] = [p for p in predictions if p.failure]
    assert document["failures"] == [{"path": f"{tmp_path}/bad.avi", "reason": failed.failure}]
    assert {video["path"] for video in document["videos"]} == set(predicted)
    for video in document["videos"]:
        prediction = predicted[video["path"]]
        assert np.array_equal(np.float32(video["probabilities"]), prediction.probabilities)
        assert [entry["class"] for entry in video["top"]] == [name for name, _ in prediction.top()]
        for window, segment in zip(video["windows"], prediction.segments, strict=True):
            assert (window["start"], window["end"]) == pytest.approx((segment.start, segment.end))
            assert np.array_equal(np.float32(window["probabilities"]), segment.probabilities)
    table = as_csv(predictions).decode("utf-8", "surrogateescape")
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    assert {row["path"] for row in rows} == set(predicted)
    assert len(rows) == 3 * sum(len(p.segments) for p in predicted.values())
    first = next(row for row in rows if row["path"].endswith("정류장.avi"))
    segment = predicted[first["path"]].segments[0]
    assert float(first["end"]) == pytest.approx(segment.end)
    assert np.float32(first["probability"]) == segment.probabilities.max()
    whole = as_csv([Prediction("v", ("a", "b"), np.float32([0.25, 0.75]))]).decode()
    assert whole == "path,start,end,rank,class,probability\nv,,,1,b,0.75\nv,,,2,a,0.25\n"


def test_a_network_that_sees_flow(write_video, tmp_path):
    from ar3d_keras import TwoStream
    from ar3d_keras.inference.classifier import Classifier
    from ar3d_keras.videos.sampling import ClipShape

    shape = ClipShape(4, 32, 32, 36, 48, stride=2, flow="dis")
    network = TwoStream(2, frames=4, height=32, width=32, width_multiplier=0.0625)
    classifier = Classifier(network, ("a", "b"), shape, "by hand", 2)
    video = write_video(tmp_path / "video.avi", frames=25)
    catalog = Catalog(tmp_path, (Video(video.name, None),))
    [whole] = predict_videos(classifier, catalog)
    [timed] = predict_videos(classifier, catalog, window_seconds=1)
    # The video is a window: its clip, flow and all, is the same.
    np.testing.assert_array_equal(timed.segments[0].probabilities, whole.probabilities)
