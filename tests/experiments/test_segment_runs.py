"""Segments from the CSV to a prediction: train, evaluate, resume, crossval, pack, predict."""

import csv
import json

import numpy as np
import pytest
from processes import TINY  # tests/processes.py

import ar3d_keras
from ar3d_keras.cli import main
from ar3d_keras.videos.unlabelled import find_videos

pytestmark = pytest.mark.usefixtures("all_eagerly")

ROWS = [
    (file, label, start, start + 0.8)
    for file in ("a.mp4", "b.mp4", "c.mp4", "d.mp4")
    for label, start in (("run", 0.2), ("walk", 1.2), ("run", 2.4))
]


@pytest.fixture(scope="module")
def recordings(write_timed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    for first, rate in enumerate((25, 30, 15, 25)):
        name, numbers = f"{'abcd'[first]}.mp4", range(first, first + 6 * rate)
        write_timed(folder / name, np.arange(6 * rate) / rate, numbers)
    lines = [",".join(map(str, row)) for row in ROWS]
    (folder / "labels.csv").write_text("\n".join(["path,label,start,end", *lines]))
    return folder


def read(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_run_on_segments(recordings, tmp_path, capsysbinary):
    options = {**TINY, "data": recordings, "runs_dir": tmp_path, "export": False}
    options |= {"epochs": 1, "background": "none"}
    run = ar3d_keras.train(**options, name="segments")
    rows = read(run.folder / "split.csv")
    assert list(rows[0]) == ["path", "label", "group", "split", "start", "end"]
    assert {row["label"] for row in rows} == {"none", "run", "walk"}
    assert all(row["group"] == row["path"] for row in rows)
    for split in ("val", "test"):
        keys = {
            f"{row['path']}#t={row['start']},{row['end']}" for row in rows if row["split"] == split
        }
        predictions = read(run.evaluation(split) / "predictions.csv")
        assert {row["path"] for row in predictions} == keys
    trained = predictions
    before = json.loads((run.evaluation("test") / "metrics.json").read_text())
    again = run.evaluate("test")
    assert not any("CHANGED" in line for line in again["leak"])
    assert again["top1"] == before["top1"]
    ar3d_keras.resume(run, epochs=2)

    # A pack trains to the same weights.
    pack = ["pack", "--data", str(recordings), "--out", str(tmp_path / "pack"), "--background"]
    assert main([*pack, "none", "--resize", "18", "24"]) == 0
    packed = ar3d_keras.train(
        **{**options, "data": tmp_path / "pack", "background": None}, name="p"
    )
    assert read(packed.folder / "split.csv") == rows
    assert packed.record()["data"]["fingerprint"] == run.record()["data"]["fingerprint"]
    assert read(packed.evaluation("test") / "predictions.csv") == trained

    # Predict: the segments of a CSV, and one by its name.
    capsysbinary.readouterr()
    key = str(recordings / trained[0]["path"])
    paths = [key, str(recordings / "labels.csv")]
    assert main(["predict", *paths, "--run", str(packed.folder), "--json"]) == 0
    videos = {v["path"]: v for v in json.loads(capsysbinary.readouterr().out)["videos"]}
    assert len(videos) == len({key, *(str(recordings / f"{p}#t={s},{e:g}") for p, _, s, e in ROWS)})
    assert videos[key]["top"][0]["class"] == trained[0]["top1"]


@pytest.mark.slow
def test_crossval_on_segments(recordings, tmp_path):
    options = {**TINY, "data": recordings, "epochs": 1, "split_scheme": "logo"}
    metrics = ar3d_keras.crossval(**options, runs_dir=tmp_path, suspects=True)
    assert metrics["videos"] == len(ROWS)
    assert len(read(tmp_path / "crossval/suspects.csv")) == len(ROWS)


def test_segments_without_labels(recordings, tmp_path, monkeypatch, user_error):
    monkeypatch.chdir(recordings)
    catalog = find_videos(["a.mp4", "a.mp4#t=1,2", "b.mp4#t=00:00:02.5", "labels.csv"])
    assert [video.key for video in catalog.videos[:3]] == ["a.mp4", "a.mp4#t=1,2", "b.mp4#t=2.5"]
    assert len(catalog) == 3 + len(ROWS)
    assert all(video.label is None for video in catalog.videos)
    regions = find_videos(["a.mp4#t=1,2&roi=0,0,0.5,1", "a.mp4#roi=2,0,20,9.5"]).videos
    assert [video.key for video in regions] == ["a.mp4#t=1,2&roi=0,0,0.5,1", "a.mp4#roi=2,0,20,9.5"]
    for wrong in ("a.mp4#t=2,1", "a.mp4#t=x", "absent.mp4#t=1,2", "a.mp4#roi=1,2", "a.mp4#t=1&x=2"):
        with user_error(wrong.split("#")[0]):
            find_videos([wrong])


def test_a_model_with_a_frame_rate_of_its_own(recordings, tmp_path):
    """Training, evaluation, prediction, windows and SavedModel obey the rate of the contract."""
    import tensorflow as tf

    options = {**TINY, "data": recordings, "epochs": 1, "clip_seconds": 1.6, "frames": 8}
    run = ar3d_keras.train(**options, runs_dir=tmp_path, name="fps", export=True)
    model = run.model()
    assert model.clip_shape.fps == 5
    metrics = run.evaluate("test")
    assert "5 a second" in metrics["protocol"]
    row = read(run.evaluation("test") / "predictions.csv")[0]
    [prediction] = model.predict_videos(recordings / row["path"])
    assert f"{prediction.top(1)[0][1]:.5f}" == f"{float(row['top1_probability']):.5f}"
    [windows] = model.predict_videos(recordings / "a.mp4", window_seconds=2)
    assert len(windows.segments) == 3

    served = tf.saved_model.load(str(next((run.folder / "saved_model").iterdir()))).signatures
    path, stretch = row["path"].split("#t=")
    start, end = map(float, stretch.split(","))
    from ar3d_keras.videos.reader import timed_frames

    timed = [(t, f.copy()) for t, f in timed_frames(recordings / path) if start <= t + 5e-4 < end]
    times = np.array([[t for t, _ in timed]], np.float32)
    frames = np.stack([frame[..., ::-1] for _, frame in timed])[None]
    output = served["timed_frames"](frames=tf.constant(frames), timestamps=tf.constant(times))
    assert output["top_probabilities"].numpy()[0, 0] == pytest.approx(
        prediction.top(1)[0][1], abs=0.02
    )
    description = json.loads(served["preprocessor"](unused=tf.constant([""]))["json"].numpy()[0])
    assert description["clip_shape"]["fps"] == 5
