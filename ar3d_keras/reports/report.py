"""Writes the report of a split: metrics as JSON and CSV, pictures, and report.html.

report.html needs nothing beside it (pictures and script are inside), so it can be mailed.
metrics.json is written last: a folder with it is complete.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ar3d_keras.atomic import replacing, write_csv, write_json, write_text
from ar3d_keras.config import Monitor
from ar3d_keras.evaluation.calibration import calibration_metrics
from ar3d_keras.evaluation.metrics import (
    Evaluation,
    confusion_matrix,
    metrics,
    per_class,
    top_k,
)
from ar3d_keras.inference.calibration import Calibration
from ar3d_keras.reports import drawing, examples, plots, report_page
from ar3d_keras.reports.calibration import draw_reliability
from ar3d_keras.reports.explanation_sheet import Explanations, draw_explanations

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(
    folder: str | os.PathLike,
    evaluation: Evaluation,
    *,
    about: Mapping[str, object],
    title: str,
    history: plots.History | None = None,
    monitor: Monitor = "val_accuracy",
    leak: Sequence[str] | None = None,
    has_leakage: bool = False,
    example_clips: tuple[np.ndarray, np.ndarray] | None = None,
    explanations: Explanations | None = None,
    calibration: Calibration | None = None,
) -> dict:
    """Writes metrics.json, three CSV files, the pictures and report.html into `folder`.

    Args:
        folder: made if it is missing; an older report in it is replaced.
        evaluation: the predictions of the network.
        about: where the numbers come from (dataset, split, split_scheme, protocol, backend,
            precision, seed, run, command, ...); goes into metrics.json and the page.
        title: the page's heading.
        history: the run's learning curves; see `plots.curves`.
        monitor: what makes an epoch the best in them.
        leak: sentences on source recordings that are in two splits, the headline first.
        has_leakage: whether these sentences are a warning.
        example_clips: (indices (n,) of videos, their clips (n, T, H, W, C) uint8); see
            `examples.choose_examples`.
        explanations: those of the predictions for these videos.
        calibration: what was fitted on val; None: only the uncalibrated numbers are reported.

    Returns:
        The content of metrics.json: `metrics(evaluation)`, `calibration_metrics(evaluation,
        calibration)`, `about`, leak, skipped_videos.

    Raises:
        UserError: There is no video, or a probability is NaN or infinite; nothing is written.
        ValueError: An entry of `about` has the name of a metric.
    """
    folder = Path(folder)
    # The thresholds have the names of the classes as they are.
    computed = metrics(evaluation) | calibration_metrics(evaluation, calibration)
    evaluation = _writable(evaluation)
    computed |= {
        "leak": [_utf8(sentence) for sentence in leak or ()],
        "skipped_videos": [{"path": path, "reason": why} for path, why in evaluation.skipped],
    }
    about = {
        key: value if isinstance(value, int | float) else _utf8(str(value))
        for key, value in about.items()
        if value is not None
    }
    if clash := sorted(about.keys() & computed.keys()):
        raise ValueError(f"about may not hold {clash}: metrics have these names.")
    written = computed | about
    drawn = _draw(evaluation, title, example_clips, explanations)
    drawn["reliability"] = draw_reliability(evaluation, calibration)
    pictures = {name: drawing.png_bytes(figure) for name, figure in drawn.items()}
    if history is not None and plots.drawable(history):
        pictures["curves"] = plots.curves_png(history, monitor)
    caption = explanations.caption if explanations else ""
    built = report_page.build(evaluation, computed, about, title, has_leakage, pictures, caption)
    # Everything is made before anything is written: if that fails, an older report is unchanged.
    write_text(folder / "report.html", built)
    for name in pictures.keys() - {"curves"}:  # the run folder has them
        with replacing(folder / f"{name}.png") as temporary:
            temporary.write_bytes(pictures[name])
    for name in {"examples", "explanation"} - pictures.keys():
        (folder / f"{name}.png").unlink(missing_ok=True)
    _write_tables(folder, evaluation)
    write_json(folder / "metrics.json", written)
    return written


def _writable(evaluation: Evaluation) -> Evaluation:
    """The same evaluation with invalid UTF-8 in names escaped (a file name can be any bytes)."""
    return dataclasses.replace(
        evaluation,
        class_names=tuple(map(_utf8, evaluation.class_names)),
        paths=tuple(map(_utf8, evaluation.paths)),
        groups=tuple(None if g is None else _utf8(g) for g in evaluation.groups),
        skipped=tuple((_utf8(path), _utf8(why)) for path, why in evaluation.skipped),
    )


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _write_tables(folder: Path, evaluation: Evaluation) -> None:
    """Writes confusion.csv, per_class.csv and predictions.csv."""
    class_names = evaluation.class_names
    counts = confusion_matrix(evaluation)
    write_csv(
        folder / "confusion.csv",
        ["true \\ predicted", *class_names],
        ([name, *row] for name, row in zip(class_names, counts.tolist(), strict=True)),
    )
    rows = per_class(evaluation)
    write_csv(folder / "per_class.csv", list(rows[0]), (row.values() for row in rows))
    best = top_k(evaluation.probabilities, min(5, len(class_names)))
    shares = np.take_along_axis(evaluation.probabilities, best, axis=1)
    ranks = range(1, best.shape[1] + 1)
    write_csv(
        folder / "predictions.csv",
        ["path", "label", "predicted", "correct", "group"]
        + [name for k in ranks for name in (f"top{k}", f"top{k}_probability")],
        (
            [path, class_names[label], class_names[top[0]], int(top[0] == label), group or ""]
            + [
                cell
                for c, p in zip(top, share, strict=True)
                for cell in (class_names[c], f"{p:.6f}")
            ]
            for path, label, top, share, group in zip(
                evaluation.paths, evaluation.labels, best, shares, evaluation.groups, strict=True
            )
        ),
    )


def _draw(
    evaluation: Evaluation,
    title: str,
    example_clips: tuple[np.ndarray, np.ndarray] | None,
    explanations: Explanations | None,
) -> dict[str, Figure]:
    """Draws the pictures for which there is something to draw."""
    figures: dict[str, Figure] = {}
    if example_clips is not None and len(example_clips[0]):
        chosen, clips = example_clips
        shown = (
            [evaluation.paths[i] for i in chosen],
            evaluation.labels[chosen],
            evaluation.probabilities[chosen],
            evaluation.class_names,
        )
        figures["examples"] = examples.draw_examples(clips, *shown)
        if explanations is not None:
            figures["explanation"] = draw_explanations(explanations, *shown)
    figures["confusion"] = plots.confusion(
        confusion_matrix(evaluation), evaluation.class_names, f"Confusion · {title}"
    )
    return figures
