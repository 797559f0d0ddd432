"""Wrong labels are found by cross-validation, and videos to label next by uncertainty."""

import csv
import random

import pytest

import ar3d_keras
from ar3d_keras.progress import Reporter

TINY = {"height": 16, "width": 16, "filters": 4, "gate_kernel": (1, 1, 1), "dense": 8}


def rows(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.slow
def test_flipped_labels_are_found_first(tmp_path):
    """5 % of the labels are flipped; at least 90 % of them are among the first 8 % of the list."""
    data = ar3d_keras.make_demo(tmp_path / "demo", groups=15, clips=2)
    videos = [
        {"path": f"{file.parent.name}/{file.name}", "label": file.parent.name}
        | {"group": file.name.split("_")[2] + file.parent.name}
        for file in sorted(data.glob("*/*.avi"))
    ]
    draw, classes = random.Random(0), sorted({video["label"] for video in videos})
    flipped = set()
    for video in draw.sample(videos, len(videos) // 20):
        video["label"] = draw.choice([name for name in classes if name != video["label"]])
        flipped.add(video["path"])
    with (data / "flipped.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "group"])
        writer.writeheader()
        writer.writerows(videos)
    ar3d_keras.crossval(
        data=data / "flipped.csv", preset="demo", attention=True, height=32, width=32, filters=16,
        epochs=20, learning_rate=2e-3, suspects=True, runs_dir=tmp_path, reporter=Reporter(),
    )  # fmt: skip
    ranked = [row["path"] for row in rows(tmp_path / "crossval/suspects.csv")]
    assert len(ranked) == len(videos)
    found = flipped & set(ranked[: round(0.08 * len(ranked))])
    assert len(found) >= 0.9 * len(flipped)
    assert (tmp_path / "crossval/suspects.html").read_text().count("<img") > 0


@pytest.mark.usefixtures("eagerly")
def test_the_next_videos_to_label(tmp_path):
    data = ar3d_keras.make_demo(tmp_path / "demo", groups=5, clips=1)
    run = ar3d_keras.train(
        data=data, attention=True, epochs=1, export=False, runs_dir=tmp_path / "runs",
        reporter=Reporter(), **TINY,
    )  # fmt: skip
    predictions = ar3d_keras.next_to_label(
        data, run=run.folder, count=3, out=tmp_path / "next.csv", reporter=Reporter()
    )
    listed = rows(tmp_path / "next.csv")
    assert [row["path"] for row in listed] == [p.path for p in predictions]
    assert [row["rank"] for row in listed] == ["1", "2", "3"]
    assert len({p.path for p in predictions}) == 3
    evaluated = run.model().predict_videos([p.path for p in predictions])
    for one, other in zip(predictions, evaluated, strict=True):
        assert one.top(1)[0][0] == other.top(1)[0][0]
    assert (tmp_path / "next.html").read_text().count("<img") == 3


def test_what_cannot_be_selected_is_refused(tmp_path, user_error):
    with user_error("`count`"):
        ar3d_keras.next_to_label(tmp_path, count=0)
