"""Model card and data card of a run."""

import csv
import json
import re
import shutil

import pytest

from ar3d_keras.inference.classifier import describe
from ar3d_keras.reports.cards import make_cards
from ar3d_keras.runs import RunFolder
from ar3d_keras.videos.sampling import ClipShape

ABOUT = {"network": "conv3d"}


@pytest.fixture
def run(trained, tmp_path):
    """A run whose files a test may change."""
    return RunFolder(shutil.copytree(trained, tmp_path / "a run"))


def cards(run):
    description = describe(run.record()["class_names"], ClipShape(), ABOUT)
    return make_cards(run, description)


def table(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose header begins with `first`."""
    lines = iter(text.splitlines())
    next(line for line in lines if line.startswith(f"| {first} |"))
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def test_the_model_card_has_the_numbers_of_the_reports(run):
    card = cards(run)["model_card.md"]
    rows = {row[0]: row for row in table(card, "split | videos")}
    for split in ("val", "test"):
        metrics = json.loads((run.evaluation(split) / "metrics.json").read_text())
        assert rows[split][1] == str(metrics["videos"])
        assert rows[split][2] == f"{metrics['top1']:.3f}"
    assert run.record()["git_commit"] in card
    assert " ".join(run.record()["split"]["leak"]) in card


def test_the_data_card_counts_the_videos_of_each_split(run):
    rows = table(cards(run)["data_card.md"], "class")
    assert [row[0] for row in rows] == sorted(run.record()["class_names"])
    sizes = run.record()["split"]["sizes"]
    for place, split in enumerate(("train", "val", "test"), 1):
        assert sum(int(row[place]) for row in rows) == sizes[split]


def test_the_worst_classes_come_first_with_what_they_are_taken_for(run):
    folder = run.evaluation("test")
    names = sorted(run.record()["class_names"])
    with (folder / "per_class.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["class", "videos", "precision", "recall", "f1"])
        writer.writerows([name, 4, 1, 0.25 * place, 1] for place, name in enumerate(names[:3], 1))
    with (folder / "confusion.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["true", *names])
        writer.writerow([names[0], 1, 0, 3, *[0] * (len(names) - 3)])
    rows = table(cards(run)["model_card.md"], "class")
    assert [row[:3] for row in rows] == [
        [name, "4", f"{0.25 * place:.3f}"] for place, name in enumerate(names[:3], 1)
    ]
    assert rows[0][4] == f"{names[2]} (3 of 4)"


def test_names_cannot_add_markup_or_columns(run):
    record = run.record()
    hostile = "a|b<script>`x`[y](z)\n| c"
    text = (run.folder / "split.csv").read_text()
    old = record["class_names"][0]
    rows = list(csv.reader(text.splitlines()))
    with (run.folder / "split.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows(
            [path, hostile if label == old else label, *rest] for path, label, *rest in rows
        )
    card = cards(run)["data_card.md"]
    assert "<script>" not in card
    assert {len(row) for row in table(card, "class")} == {6}


def test_a_damaged_report_is_named(run, user_error):
    (run.evaluation("test") / "metrics.json").write_text("{")
    with user_error("evaluation", "evaluate.py"):
        cards(run)
