"""The model card and the data card of a run: Markdown files that go with every export."""

import csv
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.metrics import format_interval
from ar3d_keras.reports.page import render
from ar3d_keras.runs import RunFolder
from ar3d_keras.version import __version__
from ar3d_keras.videos.splits import SPLITS, Split

WORST = 5  # classes that the model card lists


@dataclass(frozen=True)
class _Evaluation:
    """A stored evaluation.

    Attributes:
        metrics: the content of metrics.json.
        interval: of top-1, as text.
        worst: the classes with the lowest recall below 1, worst first; the columns of
            per_class.csv, and the class that they are most often taken for.
    """

    metrics: dict[str, Any]
    interval: str
    worst: list[dict[str, Any]]


def make_cards(run: RunFolder, description: dict[str, Any]) -> dict[str, str]:
    """Returns the cards by file name: model_card.md and data_card.md.

    Args:
        run: a run with weights.
        description: made by `inference.classifier.describe` for its network.

    Raises:
        UserError: the run is damaged.
    """
    record = {"parameters": 0, "init_from": None, "skipped": [], **run.record()}
    values: dict[str, Any] = {"run": run.name, "record": record, "version": __version__}
    shape = description["clip_shape"]
    model_card = render(
        "model_card.md",
        network=description["about"]["network"],
        clip=", ".join(str(shape[name]) for name in ("frames", "height", "width"))
        + (", 5" if shape["flow"] else ", 3"),
        protocol=description["protocol"],
        evaluations=_evaluations(run),
        inference=description.get("inference", {}),
        rejects=bool(description.get("calibration", {}).get("thresholds")),
        **values,
    )
    split = run.split(run.folder, record["split"]["scheme"])
    data_card = render("data_card.md", splits=SPLITS, classes=_classes(split), **values)
    return {"model_card.md": model_card, "data_card.md": data_card}


def _evaluations(run: RunFolder) -> dict[str, _Evaluation]:
    """The stored evaluations with one clip of each video, by split; test is the last."""
    found = {}
    for split in ("val", "test"):
        folder = run.evaluation(split)
        if not (folder / "metrics.json").is_file():
            continue
        try:
            metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
            interval = format_interval(metrics["top1_interval"]) or "unknown"
            with (folder / "confusion.csv").open(encoding="utf-8", newline="") as lines:
                (_, *names), *counts = csv.reader(lines)
            with (folder / "per_class.csv").open(encoding="utf-8", newline="") as lines:
                rows = list(csv.DictReader(lines))
            confused = {name: _most_confused(names, name, row) for name, *row in counts}
            classes: list[dict[str, Any]] = [
                {
                    "name": row["class"],
                    "videos": int(row["videos"]),
                    "recall": float(row["recall"] or "nan"),
                    "precision": float(row["precision"] or "nan"),
                    "taken_for": confused.get(row["class"], ""),
                }
                for row in rows
            ]
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise UserError(
                f"{folder} cannot be read ({error}): evaluate the run again with "
                f"`python evaluate.py --run {run.name} --split {split}`"
            ) from None
        missed = [row for row in classes if row["videos"] and row["recall"] < 1]
        missed.sort(key=lambda row: (row["recall"], row["name"]))
        found[split] = _Evaluation(metrics, interval, missed[:WORST])
    return found


def _most_confused(names: list[str], name: str, counts: list[str]) -> str:
    """The class that videos of `name` are most often taken for: "Run (3 of 12)"."""
    videos = [int(count) for count in counts]
    wrong = {other: n for other, n in zip(names, videos, strict=True) if other != name and n}
    if not wrong:
        return ""
    other = max(wrong, key=wrong.__getitem__)
    return f"{other} ({wrong[other]} of {sum(videos)})"


def _classes(split: Split) -> list[dict[str, Any]]:
    """One row a class: its videos in each split, its groups and its segments."""
    rows: dict[str | None, dict[str, Any]] = {}
    groups: dict[str | None, set[str]] = {}
    for video, name in zip(split.catalog.videos, split.assigned, strict=True):
        row = rows.setdefault(
            video.label, {"name": video.label, "videos": Counter(), "segments": 0}
        )
        row["videos"][name] += 1
        row["segments"] += video.is_segment
        if video.group:
            groups.setdefault(video.label, set()).add(video.group)
    return [
        {**row, "groups": len(groups.get(name, ()))} for name, row in sorted(rows.items(), key=str)
    ]
