"""The overlay has all frames of the video, its size and its time, and the map is where it belongs."""

import dataclasses
import os
import shutil
import types

import numpy as np
import pytest

from ar3d_keras import Conv3DClassifier
from ar3d_keras.inference.calibration import NONE_OF_THESE, Calibration
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.predictor import predict_videos
from ar3d_keras.inference.saved_model import SavedModelNetwork
from ar3d_keras.reports.overlay import _check_complete, _label, check_explainable, write_overlay
from ar3d_keras.videos.parts import Part, part_of
from ar3d_keras.videos.reader import ReadError, count_frames, load_cv2, read_header, timed_frames
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.unlabelled import find_videos

SHAPE = ClipShape(4, 32, 32, 36, 48, stride=2)


@pytest.fixture(scope="module")
def classifier():
    """Its gate opens where the picture is bright, and its classes have Korean names."""
    network = Conv3DClassifier(
        2, attention=True, frames=4, height=32, width=32, filters=1, gate_kernel=(1, 1, 1),
        kernel=(1, 1, 1), pool=(2, 4, 4), dense=4,
    )  # fmt: skip
    for name, kernel, bias in (("features", 1 / 3, 0), ("gate", 8, -4)):
        weights = network.get_layer(name).weights
        for weight in weights:
            weight.assign(np.full(weight.shape, kernel if len(weight.shape) > 1 else bias))
    return Classifier(network, ("걷기", "뛰기"), SHAPE, "by hand", 2)


def dot(number):
    """Where the bright square of a frame is: rows and columns, inside what the crop sees."""
    left = 60 + number
    return slice(40, 60), slice(left, left + 20)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    cv2 = load_cv2()
    file = tmp_path_factory.mktemp("videos") / "dot.avi"
    writer = cv2.VideoWriter(
        str(file), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"XVID"), 29.97, (192, 144)
    )
    for number in range(40):
        frame = np.full((144, 192, 3), 20, np.uint8)
        frame[dot(number)] = 250
        writer.write(frame)
    writer.release()
    return file


@pytest.mark.parametrize(
    ("name", "windows"),
    [
        ("out.mp4", {}),
        ("out.avi", {"window_seconds": 0.5}),
        ("out.mp4", {"window_seconds": 0.5, "hop_seconds": 0.25}),
    ],
)
def test_it_is_as_long_and_as_large_and_its_heat_is_where_the_map_says(
    classifier, video, tmp_path, name, windows
):
    [prediction] = predict_videos(classifier, find_videos([video]), **windows)
    file = tmp_path / "drawn" / name
    file.parent.mkdir()
    file.write_bytes(b"what was there before")
    write_overlay(classifier, prediction, Part(video), file, **windows)
    assert list(file.parent.iterdir()) == [file]
    assert count_frames(file) == 40
    assert read_header(file).rate == pytest.approx(29.97, rel=1e-3)
    pairs = zip(timed_frames(video), timed_frames(file), strict=True)
    for number, ((_, plain), (_, drawn)) in enumerate(pairs):
        assert drawn.shape == plain.shape
        changed = np.abs(drawn.astype(int) - plain).sum(-1)
        rows, columns = dot(number)
        assert changed[rows, columns][7:13, 7:13].mean() > 50  # yellow on white
        assert changed[12:30, 40:150].mean() < 10  # seen, and cold
        assert drawn[-16:].mean() < plain[-16:].mean() + 40  # the strip: dark, with letters
        assert drawn[-16:].max() > 120


@pytest.mark.parametrize("windows", [{}, {"window_seconds": 0.2}])
def test_a_segment_is_drawn_from_its_start(classifier, video, tmp_path, windows):
    catalog = find_videos([f"{video}#t=0.5,1"])
    [prediction] = predict_videos(classifier, catalog, **windows)
    part = part_of(catalog.root, catalog.videos[0])
    assert list(part.numbers) == list(range(15, 30))
    write_overlay(classifier, prediction, part, tmp_path / "out.mp4", **windows)
    drawn = [(time, frame.copy()) for time, frame in timed_frames(tmp_path / "out.mp4")]
    assert len(drawn) == 15
    assert drawn[0][0] == 0 and drawn[-1][0] == pytest.approx(14 / 29.97, abs=2e-3)
    plain = [frame.copy() for _, frame in timed_frames(video)]
    for number, (_, frame) in zip(part.numbers, drawn, strict=True):
        changed = np.abs(frame.astype(int) - plain[number]).sum(-1)
        rows, columns = dot(number)
        assert changed[rows, columns][7:13, 7:13].mean() > 50
        assert changed[12:30, 40:150].mean() < 10


def test_a_rejected_prediction_is_marked(classifier, video):
    [prediction] = predict_videos(classifier, find_videos([video]))
    names, shares = classifier.class_names, prediction.probabilities
    for limit, marked in ((0.0, False), (1.0, True)):
        calibration = Calibration(1.0, dict.fromkeys(names, limit), 0.05)
        label = _label(dataclasses.replace(prediction, calibration=calibration), shares)
        assert (NONE_OF_THESE in label) is marked
    assert NONE_OF_THESE not in _label(prediction, shares)


def test_between_two_windows_nothing_is_drawn(classifier, video, tmp_path):
    windows = {"window_seconds": 0.3, "hop_seconds": 0.6}
    [prediction] = predict_videos(classifier, find_videos([video]), **windows)
    write_overlay(classifier, prediction, Part(video), tmp_path / "out.mp4", **windows)
    pairs = zip(timed_frames(video), timed_frames(tmp_path / "out.mp4"), strict=True)
    drawn = [drawn[-16:].max() > 100 for _, (_, drawn) in pairs]
    inside = [(number / 29.97) % 0.6 < 0.3 - 1e-3 for number in range(40)]
    assert drawn == inside


def test_a_network_without_a_gate_is_explained_by_its_gradients(video, tmp_path):
    network = Conv3DClassifier(2, frames=4, height=32, width=32, filters=2, pool=(2, 4, 4), dense=4)
    classifier = Classifier(network, ("a", "b"), SHAPE, "by hand", 2)
    [prediction] = predict_videos(classifier, find_videos([video]))
    write_overlay(classifier, prediction, Part(video), tmp_path / "out.mp4")
    assert count_frames(tmp_path / "out.mp4") == 40


def test_nothing_flashes_where_two_windows_meet(tmp_path):
    """Over time, the gate answers to the black beyond a clip's ends, everywhere."""
    network = Conv3DClassifier(
        2, attention=True, frames=4, height=32, width=32, filters=1, kernel=(1, 1, 1),
        gate_kernel=(3, 1, 1), pool=(2, 4, 4), dense=4,
    )  # fmt: skip
    for name, kernel, bias in (("features", 1 / 3, 0), ("gate", -4, 4)):
        for weight in network.get_layer(name).weights:
            weight.assign(np.full(weight.shape, kernel if len(weight.shape) > 1 else bias))
    classifier = Classifier(network, ("a", "b"), SHAPE, "by hand", 2)
    picture = np.full((72, 96, 3), 60, np.uint8)  # of a video in which nothing moves
    picture[:, 48:] = 200
    (tmp_path / "still").mkdir()
    for number in range(32):
        load_cv2().imwrite(str(tmp_path / f"still/{number}.png"), picture)
    [prediction] = predict_videos(classifier, find_videos([tmp_path / "still"]))
    write_overlay(classifier, prediction, Part(tmp_path / "still"), tmp_path / "out.mp4")
    change = [
        np.abs(drawn.astype(int) - picture)[:60].mean()
        for _, drawn in timed_frames(tmp_path / "out.mp4")
    ]
    assert max(change) - min(change) < 3


def test_small_and_odd_pictures_and_long_names(classifier, write_video, tmp_path):
    video = write_video(tmp_path / "video.avi", frames=10, size=(34, 46))
    cv2 = load_cv2()
    for number, (_, frame) in enumerate(timed_frames(video)):
        (tmp_path / "odd").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"odd/{number}.png"), frame[:33, :45])
    names = Classifier(classifier.network, ("$x^2$ " * 30, "뛰기" * 30), SHAPE, "by hand", 2)
    for path in (video, tmp_path / "odd"):
        [prediction] = predict_videos(names, find_videos([path]))
        write_overlay(names, prediction, Part(path), tmp_path / "out.mp4")
        sizes = {frame.shape for _, frame in timed_frames(tmp_path / "out.mp4")}
        assert sizes == {(34, 46, 3) if path == video else (32, 44, 3)}


def test_frames_of_other_sizes_become_as_large_as_the_first(classifier, write_frames, tmp_path):
    folder = write_frames(tmp_path / "frames", frames=6, size=(48, 64))
    larger = write_frames(tmp_path / "larger", frames=6, size=(96, 80))
    (larger / "img_4.png").replace(folder / "img_4.png")
    [prediction] = predict_videos(classifier, find_videos([folder]))
    write_overlay(classifier, prediction, Part(folder), tmp_path / "out.mp4")
    assert [frame.shape for _, frame in timed_frames(tmp_path / "out.mp4")] == [(48, 64, 3)] * 6


def test_an_incomplete_file_raises(video, tmp_path, user_error):
    with user_error("out.mp4", "40 of 41"):
        _check_complete(video, tmp_path / "out.mp4", 41)
    (tmp_path / "part.mp4").write_bytes(b"no index at its end")
    with user_error("0 of 40"):
        _check_complete(tmp_path / "part.mp4", tmp_path / "out.mp4", 40)


def test_a_saved_model_without_attention(classifier, user_error):
    loaded = types.SimpleNamespace(signatures={"serving_default": None})
    served = Classifier(SavedModelNetwork(loaded), ("a", "b"), SHAPE, "models/1")
    with user_error("models/1", "`overlay`", "`run`"):
        check_explainable(served)
    check_explainable(classifier)
    shape = dataclasses.replace(classifier.shape, sampling="uniform")
    uniform = dataclasses.replace(classifier, shape=shape)
    check_explainable(uniform, 1.0)
    with user_error("`window_seconds`"):
        check_explainable(uniform)


@pytest.mark.parametrize("name", ["v" * 240 + ".avi", os.fsdecode(b"caf\xe9 %03d:x.avi")])
def test_long_and_odd_names(classifier, video, tmp_path, name):
    odd = tmp_path / name
    shutil.copy(video, odd)
    [prediction] = predict_videos(classifier, find_videos([odd]))
    file = tmp_path / "out" / f"{odd.stem}.mp4"
    write_overlay(classifier, prediction, Part(odd), file)
    assert list(file.parent.iterdir()) == [file]
    assert count_frames(file) == 40


def test_a_folder_that_cannot_be_written(classifier, video, tmp_path, user_error):
    [prediction] = predict_videos(classifier, find_videos([video]))
    (tmp_path / "file").write_text("in the way")
    with user_error("could not be written"):
        write_overlay(classifier, prediction, Part(video), tmp_path / "file" / "out.mp4")


def test_a_damaged_video_raises_and_leaves_nothing(classifier, write_frames, tmp_path):
    folder = write_frames(tmp_path / "frames", frames=8)
    [prediction] = predict_videos(classifier, find_videos([folder]))
    (folder / "img_6.png").write_bytes(b"damaged")
    with pytest.raises(ReadError):
        write_overlay(classifier, prediction, Part(folder), tmp_path / "out" / "out.mp4")
    assert list((tmp_path / "out").iterdir()) == []
