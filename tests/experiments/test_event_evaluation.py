"""Event evaluation end to end, with a network that sees how bright a clip is."""

import csv
import json

import numpy as np
import pytest
from browser import reported  # tests/browser.py

from ar3d_keras.cli import main
from ar3d_keras.config import TrainConfig, to_json
from ar3d_keras.experiments import event_labels, events
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.predictor import predict_videos
from ar3d_keras.runs import RunFolder
from ar3d_keras.videos.catalog import Catalog, Video
from ar3d_keras.videos.reader import load_cv2
from ar3d_keras.videos.sampling import ClipShape

SHAPE = ClipShape(2, 8, 8, resize_height=8, resize_width=8)
CLASSES = ("Bright", "Dark", "Gray")
LEVELS = {"Bright": 230, "Dark": 20, "Gray": 125}
# 25 frames a second; each list is (class, frames). A flash is no event.
FILMS = {
    "val.avi": [("Dark", 50), ("Bright", 60), ("Gray", 5), ("Bright", 35), ("Dark", 50)],
    "test.avi": [("Dark", 100), ("Bright", 35), ("Gray", 5), ("Bright", 35), ("Dark", 75)],
}
LABELS = [
    ("val.avi", "Bright", 2, 6, "val"),
    ("test.avi", "Bright", 4, 7, "test"),
    ("test.avi", "Dark", 0, 4, "test"),  # the background is no event
    ("train.avi", "Bright", 0, 1, "train"),  # not evaluated, so it need not exist
]


class Brightness:
    def predict_on_batch(self, clips):
        levels = clips.reshape(len(clips), -1).mean(axis=1)[:, None]
        near = -np.abs(levels - np.array([LEVELS[name] for name in CLASSES])) / 40
        shares = np.exp(near)
        return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    cv2, folder = load_cv2(), tmp_path_factory.mktemp("films")
    for name, parts in FILMS.items():
        codec = cv2.VideoWriter_fourcc(*"XVID")
        writer = cv2.VideoWriter(str(folder / name), cv2.CAP_FFMPEG, codec, 25, (64, 48))
        for label, frames in parts:
            for _ in range(frames):
                writer.write(np.full((48, 64, 3), LEVELS[label], np.uint8))
        writer.release()
    write_labels(folder / "labels.csv", LABELS)
    return folder


def write_labels(file, rows, header=("path", "label", "start", "end", "split")):
    with file.open("w", newline="") as lines:
        csv.writer(lines).writerows([header, *rows])


def read_rows(file):
    return list(csv.DictReader(file.read_text().splitlines()))


@pytest.fixture
def run(tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "runs" / "bright")
    run.best.parent.mkdir(parents=True)
    run.best.touch()
    (run.folder / "split.csv").write_text("path,label,group,split\ntrain.avi,Bright,,train\n")
    run.write_record(
        {
            "begun": "2026-01-01T00:00:00+00:00",
            "config": to_json(TrainConfig()),
            "data": {"fingerprint": "0" * 16, "root": str(tmp_path)},
            "split": {"scheme": "group"},
            "class_names": list(CLASSES),
        }
    )
    classifier = Classifier(Brightness(), CLASSES, SHAPE, "bright")
    monkeypatch.setattr(events, "from_run", lambda *_: classifier)
    return run


def evaluate(run, films, **options):
    return events.evaluate_events(
        run.folder,
        stretches=options.pop("stretches", films / "labels.csv"),
        window_seconds=0.2,
        background="Dark",
        workers=1,
        **options,
    )


def test_the_flash_is_smoothed_away_and_test_is_scored(run, films):
    content = evaluate(run, films)
    folder = run.folder / "evaluation" / "events"
    assert content == json.loads((folder / "events.json").read_text())
    options = content["options"]
    assert options["smooth_seconds"] or options["min_seconds"] or options["high"]
    for split in ("val", "test"):
        for iou in ("0.3", "0.5", "0.7"):
            assert content[split]["iou"][iou] == {
                "precision": 1, "recall": 1, "f1": 1,
                "true_positives": 1, "false_positives": 0, "false_negatives": 0,
            }  # fmt: skip
        assert content[split]["frame_accuracy"] > 0.97
    assert content["test"]["seconds"] == pytest.approx(10)
    rows = read_rows(folder / "stretches.csv")
    assert [(row["path"], row["label"]) for row in rows] == [
        ("val.avi", "Bright"),
        ("test.avi", "Bright"),
    ]
    assert float(rows[1]["start"]) == pytest.approx(4, abs=0.3)
    assert float(rows[1]["end"]) == pytest.approx(7, abs=0.3)
    assert (folder / "timeline.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "video-1.mp4").stat().st_size  # browsers do not play an .avi


def test_without_post_processing_the_flash_costs_f1(run, films):
    content = evaluate(run, films)
    catalog = Catalog(films, (Video("test.avi", None),))
    predictions = predict_videos(events.from_run(run), catalog, window_seconds=0.2, workers=1)
    truth = [events.Event("test.avi", "Bright", 4, 7)]
    plain = events.score(predictions, truth, events.BoutOptions(), "Dark")
    assert plain["iou"]["0.3"]["false_positives"] == 2  # the flash, and the second half
    assert content["test"]["iou"]["0.3"]["false_positives"] == 0


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ([("val.avi", "Bright", 3, 2, "val")], "row 2"),
        ([("val.avi", "Bright", "nan", 2, "val")], "row 2"),
        ([("val.avi", "Bright", 1, "1,5", "val")], "row 2"),
        ([("val.avi", "Purple", 1, 2, "val")], "Purple"),
        ([("val.avi", "Bright", 1, 2, "val")], "test"),
        ([("v.avi", "Bright", 1, 2, "val"), ("v.avi", "Bright", 1, 2, "test")], "v.avi"),
        ([("val.avi", "Bright", 1, 2, "val"), ("train.avi", "Bright", 1, 2, "test")], "train.avi"),
        ([], "labels.csv"),
    ],
)
def test_a_wrong_row_is_one_line(run, tmp_path, rows, part, user_error):
    write_labels(tmp_path / "labels.csv", rows)
    with user_error(part):
        evaluate(run, tmp_path)


SPLIT = "path,label,group,split,start,end\n"


def test_the_segments_of_a_run_are_its_labels(run, films):
    """Without a CSV of stretches; an open end is that of the file, and rows of a file are one video."""
    (run.folder / "split.csv").write_text(
        SPLIT + "train.avi,Bright,,train,0,1\nval.avi,Bright,,val,2,4\nval.avi,Bright,,val,4.2,6\n"
        "test.avi,Bright,,test,4,5.5\ntest.avi,Dark,,test,7,\n"
    )
    content = evaluate(run, films, stretches=None, data=films)
    assert content["stretches"] == str(run.folder / "split.csv")
    assert (content["val"]["videos"], content["test"]["videos"]) == (1, 1)
    counts = content["val"]["iou"]["0.3"]
    assert counts["true_positives"] + counts["false_negatives"] == 2


def test_stretches_outside_the_folder_of_their_csv(run, films, tmp_path, user_error):
    rows = [(str(films / path), *rest) for path, *rest in LABELS]
    write_labels(tmp_path / "labels.csv", rows)
    with user_error("`allow_outside`"):
        evaluate(run, films, stretches=tmp_path / "labels.csv")
    content = evaluate(run, films, stretches=tmp_path / "labels.csv", allow_outside=True)
    assert content["test"]["videos"] == 1


def test_stretches_in_a_part_that_was_trained_on_are_refused(run, films, tmp_path, user_error):
    (run.folder / "split.csv").write_text(
        SPLIT + "val.avi,Bright,,train,0,1\nval.avi,Bright,,val,3,\ntest.avi,Bright,,test,4,7\n"
    )
    for film in FILMS:
        (tmp_path / film).symlink_to(films / film)
    rows = [("val.avi", "Bright", 2, "", "val"), ("test.avi", "Bright", 4, 7, "test")]
    write_labels(tmp_path / "labels.csv", rows)
    assert evaluate(run, tmp_path)["val"]["seconds"] == pytest.approx(6)  # from 2 s on
    write_labels(tmp_path / "labels.csv", [("val.avi", "Bright", 0, 1, "val"), *rows])
    with user_error("row 2", "val.avi", "train"):
        evaluate(run, tmp_path)


def test_a_stretch_beyond_its_file_is_refused_or_clipped(run, films, tmp_path, user_error):
    for film in FILMS:
        (tmp_path / film).symlink_to(films / film)
    rows = [("val.avi", "Bright", "0:02", "0:06", "val"), ("test.avi", "Bright", 4, 99, "test")]
    write_labels(tmp_path / "labels.csv", rows)
    with user_error("row 3"):
        evaluate(run, tmp_path)
    assert evaluate(run, tmp_path, segments="clip")["test"]["iou"]["0.3"]["true_positives"] == 1


def test_regions_of_one_picture_are_videos_of_their_own(run, films, tmp_path):
    for film in FILMS:
        (tmp_path / film).symlink_to(films / film)
    rows = [
        ("val.avi", "Bright", 2, 6, "val", "", "", "", ""),
        ("test.avi", "Bright", 4, 7, "test", 0, 0, 0.5, 1),
        ("test.avi", "Gray", 4, 7, "test", 0.5, 0, 1, 1),
    ]
    header = "path", "label", "start", "end", "split", "left", "top", "right", "bottom"
    write_labels(tmp_path / "labels.csv", rows, header)
    content = evaluate(run, tmp_path)
    assert content["test"]["videos"] == 2
    assert content["test"]["iou"]["0.3"] | {"precision": 0, "f1": 0} == {
        "precision": 0, "recall": 0.5, "f1": 0,
        "true_positives": 1, "false_positives": 1, "false_negatives": 1,
    }  # fmt: skip


def test_a_file_in_several_splits_is_evaluated_in_parts(run, films):
    """test.avi: train to 1 s, val to 2.5 s, then test, whose events are those of the run."""
    rows = [
        ("test.avi", "Dark", "b1", "train", 0, 0.5),
        ("test.avi", "Dark", "b2", "val", 1.5, 2),
        ("test.avi", "Dark", "b3", "test", 3, 4),
        ("test.avi", "Bright", "b3", "test", 4, 7),
    ]
    write_labels(
        run.folder / "split.csv", rows, ("path", "label", "group", "split", "start", "end")
    )
    content = evaluate(run, films, stretches=None, data=films)
    assert content["val"]["seconds"] == pytest.approx(1.5)
    assert content["test"]["seconds"] == pytest.approx(7.5)
    assert content["test"]["iou"]["0.3"]["recall"] == 1
    found = read_rows(run.folder / "evaluation" / "events" / "stretches.csv")
    first = next(row for row in found if row["label"] == "Bright")
    assert (first["path"], first["split"]) == ("test.avi", "test")
    assert float(first["start"]) == pytest.approx(4, abs=0.3)  # of the file, not of the part


def test_parts_meet_between_the_segments_of_two_splits():
    def segment(start, end, split):
        return Video("a.mp4", "x", start=start, end=end), split

    rows = [
        segment(30, 35, "test"),
        segment(0, 5, "train"),
        segment(10, 20, "val"),
        segment(22, 25, "val"),
    ]
    parts = event_labels.parts_of_file(rows)
    assert [(part.start, part.end, split) for part, split in parts] == [
        (0, 7.5, "train"), (7.5, 27.5, "val"), (27.5, None, "test"),
    ]  # fmt: skip
    assert event_labels.parts_of_file(rows[2:]) == [(Video("a.mp4", None), "val")]


@pytest.mark.parametrize(
    "flags",
    [
        ["--events"],
        ["--events", "--window-seconds", "1", "--split", "val"],
        ["--window-seconds", "2"],
        ["--events", "--window-seconds", "0"],
        ["--background", "x"],
        ["--segments", "clip"],
    ],
)
def test_flags_that_do_not_fit_together(flags, run, capsys):
    assert main(["evaluate", "--run", str(run.folder), *flags]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


DRIVER = """<!doctype html><iframe src="evaluation/events/timeline.html" width="1100" height="800"></iframe>
<script>
const report = (text) => fetch("/result?" + encodeURIComponent(text));
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {
  const page = frame.contentDocument, video = page.querySelector("video");
  const rows = page.querySelector(".rows"), labels = () => [...rows.querySelectorAll("b")].map((b) => b.textContent);
  video.addEventListener("error", () => report("error " + video.error.message));
  const go = () => {
    const box = rows.getBoundingClientRect();
    video.addEventListener("seeked", () => {
      const seen = labels().join(" "), at = video.currentTime.toFixed(1);
      const left = parseFloat(rows.querySelector(".cursor").style.left).toFixed(0);
      video.addEventListener("ended", () => report([seen, at, left, video.currentTime.toFixed(1)].join(" ")));
      video.playbackRate = 8;
      video.play();
    }, { once: true });
    const middle = box.left + box.width / 2;  // 5 of 10 seconds, inside the event
    rows.dispatchEvent(new PointerEvent("pointerdown", { clientX: middle, bubbles: true }));
  };
  if (video.readyState >= 1) go(); else video.addEventListener("loadedmetadata", go, { once: true });
});
</script>"""


@pytest.mark.slow
def test_the_page_plays_in_a_browser(run, films):
    evaluate(run, films)
    (run.folder / "driver.html").write_text(DRIVER)
    assert reported(run.folder, "driver.html") == "Bright Bright 5.0 50 10.0"
