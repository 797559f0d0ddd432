"""The predictions of a finished run or a cross-validation on a split, read from its reports."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.metrics import top1_interval
from ar3d_keras.runs import RunFolder, columns, find_run, read_history

SUMMARY = "crossval.json"  # written last: a folder with it is a complete cross-validation


@dataclass(frozen=True, eq=False)
class Result:
    """The predictions of one network, or of the networks of all folds together.

    Attributes:
        name: the folder's name.
        runs: one run, or one per fold.
        split: train, val or test.
        records: run.json of each run.
        metrics: metrics.json of each run.
        paths: (videos,) each video once.
        labels: (videos,) names of the true classes.
        predicted: (videos,) names of the most likely classes.
        in_top5: (videos,) bool.
        groups: (videos,) source recordings, None where unknown.
    """

    name: str
    runs: tuple[RunFolder, ...]
    split: str
    records: tuple[dict, ...]
    metrics: tuple[dict, ...]
    paths: tuple[str, ...]
    labels: np.ndarray
    predicted: np.ndarray
    in_top5: np.ndarray
    groups: tuple[str | None, ...]

    @property
    def correct(self) -> np.ndarray:
        """(videos,) bool."""
        return self.labels == self.predicted

    @property
    def top1(self) -> float:
        """Over all videos of all folds, each with the same weight; 0..1."""
        return float(self.correct.mean())

    @property
    def top5(self) -> float:
        """The share of videos whose class is among the `top5_k` most likely classes; 0..1."""
        return float(self.in_top5.mean())

    @property
    def top5_k(self) -> int:
        """5, or the number of classes where there are fewer."""
        return self.metrics[0]["top5_k"]

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.records[0]["class_names"])

    @property
    def loss(self) -> float:
        """Cross-entropy over all videos, each with the same weight; nats."""
        return float(
            np.average(
                [m["loss"] for m in self.metrics], weights=[m["videos"] for m in self.metrics]
            )
        )

    @cached_property
    def interval(self) -> tuple[list[float] | None, str]:
        """The 95 % interval of `top1`, and the sentence that names its method."""
        return top1_interval(self.correct, self.groups)

    @property
    def skipped(self) -> int:
        """Videos that could not be decoded and that no metric counts."""
        return sum(m["skipped"] for m in self.metrics)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names, sorted, with invalid UTF-8 escaped as in predictions.csv."""
        return tuple(
            name.encode("utf-8", "backslashreplace").decode()
            for name in self.records[0]["class_names"]
        )

    @property
    def scheme(self) -> str:
        """The split scheme; for a cross-validation without the number of the fold."""
        scheme = self.records[0]["split"]["scheme"]
        if len(self.runs) == 1:
            return scheme
        data = self.records[0]["config"]["data"]
        by = f" by {data['split_by']}" if data.get("split_by") else ""
        return f"{data['split_scheme']}{by}, all {len(self.runs)} folds"

    @property
    def protocol(self) -> str:
        """How many clips and crops of each video were averaged."""
        return self.metrics[0]["protocol"]

    @property
    def history(self) -> dict[str, list[float]]:
        """The learning curves; for a cross-validation the mean over the folds, epoch by epoch."""
        histories = [columns(read_history(run.history)) for run in self.runs]
        epochs = min(len(history.get("epoch", ())) for history in histories)
        names = [name for name in histories[0] if all(name in h for h in histories)]
        return {n: np.mean([h[n][:epochs] for h in histories], axis=0).tolist() for n in names}

    @cached_property
    def training_rate(self) -> float | None:
        """Training speed in clips per second: the median epoch after the first, which compiles."""
        rates = [
            rate
            for run in self.runs
            for rate in columns(read_history(run.history)).get("clips_per_s", [])[1:]
        ]
        return float(np.median(rates)) if rates else None

    @cached_property
    def assignment(self) -> frozenset[str]:
        """split.csv of every run: the videos of train, val and test."""
        return frozenset(
            (run.folder / "split.csv").read_text("utf-8", "surrogateescape") for run in self.runs
        )


def find_result(name: str, runs_dir: Path, split: str, clips: int | None = None) -> Result:
    """Finds the result of a run or a cross-validation: a path, or a name under `runs_dir`.

    Args:
        name: of the run or cross-validation.
        runs_dir: the folder of all runs.
        split: val or test.
        clips: clips of each video in the report that is read; None: those of the training's report.

    Raises:
        UserError: There is no such run, or it has no report on the split.
    """
    for folder in (Path(name), runs_dir / name):
        if (folder / SUMMARY).is_file():
            try:
                summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
                runs = [RunFolder(folder / fold["run"]) for fold in summary["folds"]]
            except (OSError, ValueError, TypeError, KeyError) as error:
                raise UserError(f"{folder / SUMMARY} cannot be read ({error})") from None
            return read_result(folder.resolve().name, runs, split, clips)
    run = find_run(name, runs_dir)
    return read_result(run.folder.resolve().name, [run], split, clips)


def read_result(
    name: str, runs: Sequence[RunFolder], split: str, clips: int | None = None
) -> Result:
    """Reads the reports of `runs` on `split` and joins them; `clips` as for `find_result`.

    Raises:
        UserError: A report is missing or damaged, the reports do not match (different data or
            protocol), or a video is in two of them.
    """
    records = [run.record() for run in runs]
    reports = [_read_report(run, split, clips) for run in runs]
    for what, values in (
        ("data", [record["data"]["fingerprint"] for record in records]),
        ("protocol", [metrics["protocol"] for metrics, _ in reports]),
    ):
        for run, value in zip(runs, values, strict=True):
            if value != values[0]:
                raise UserError(
                    f"the folds of {name} do not match: {what} of {runs[0].folder} is "
                    f"{values[0]!r}, of {run.folder} {value!r}: evaluate them in the same way with "
                    "evaluate.py, or repeat them under another `name`"
                )
    rows = [row for _, rows in reports for row in rows]
    paths = tuple(row["path"] for row in rows)
    if len(set(paths)) < len(paths):
        raise UserError(
            f"{name} evaluated videos more than once on {split}, since its folds share them: "
            "choose `split` test or val"
        )
    tops = _tops(reports[0][0])
    return Result(
        name=name,
        runs=tuple(runs),
        split=split,
        records=tuple(records),
        metrics=tuple(metrics for metrics, _ in reports),
        paths=paths,
        labels=np.array([row["label"] for row in rows], dtype=object),
        predicted=np.array([row["predicted"] for row in rows], dtype=object),
        in_top5=np.array([row["label"] in [row[top] for top in tops] for row in rows]),
        groups=tuple(row["group"] or None for row in rows),
    )


# Entries of metrics.json, and what they may be.
_METRICS: dict[str, Any] = {
    **dict.fromkeys(("loss", "top1", "top5"), (int, float)),
    "top1_interval": (list, type(None)),
    "skipped": int,
    **dict.fromkeys(("protocol", "dataset"), str),
}


def _tops(metrics: Mapping[str, Any]) -> list[str]:
    """The columns of predictions.csv with the likeliest classes."""
    count = metrics["top5_k"]
    if not isinstance(count, int) or not 1 <= count <= 5:
        raise ValueError(f"top5_k is {count!r}")
    return [f"top{place}" for place in range(1, count + 1)]


def _read_report(
    run: RunFolder, split: str, clips: int | None
) -> tuple[dict, list[dict[str, str]]]:
    """Returns metrics.json and the rows of predictions.csv."""
    folder = run.evaluation(split, clips=clips)
    if not (folder / "metrics.json").is_file():
        raise UserError(
            f"{run.folder} has no report on {split}: make it with "
            f"`python evaluate.py --run {run.folder} --split {split}{_flag(folder, split)}`"
        )
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        with (folder / "predictions.csv").open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, strict=True))
        if len(rows) != metrics["videos"] or not rows:
            raise ValueError(f"{len(rows)} predictions for {metrics['videos']} videos")
        columns = "path", "label", "predicted", "group", *_tops(metrics)
        if any(row.get(column) is None for row in rows for column in columns):
            raise ValueError(f"a row lacks one of {', '.join(columns)}")
        for key, kinds in _METRICS.items():
            if not isinstance(metrics[key], kinds) or isinstance(metrics[key], bool):
                raise ValueError(f"{key} is {metrics[key]!r}")
        if (interval := metrics["top1_interval"]) is not None:
            low, high = map(float, interval)
            if not low <= high:
                raise ValueError(f"top1_interval is {interval}")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, csv.Error) as error:
        raise UserError(
            f"the report in {folder} is damaged ({error}): make it again with "
            f"`python evaluate.py --run {run.folder} --split {split}`"
        ) from None
    return metrics, rows


def _flag(folder: Path, split: str) -> str:
    """The flag of evaluate.py for a folder of several clips; empty for one."""
    clips = folder.name.removeprefix(split).strip("-").partition("x")[0]
    return f" --clips {clips}" if clips else ""
