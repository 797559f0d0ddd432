"""All folds of a cross-validation in one summary: crossval.html and crossval.json."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ar3d_keras.atomic import write_json, write_text
from ar3d_keras.evaluation.results import SUMMARY, Result
from ar3d_keras.reports import crossval_page, drawing, plots
from ar3d_keras.runs import RunFolder, columns, read_history


def mean_interval(shares: np.ndarray) -> list[float] | None:
    """The 95 % interval of the mean of the folds' top-1, by Student's t, within 0..1.

    The training sets of the folds overlap, so the folds are not independent and the interval is
    a rough guide (Bengio and Grandvalet, 2004: no unbiased estimate exists).

    Args:
        shares: (folds,) top-1 of each fold.

    Returns:
        [low, high]; None for one fold, or where all folds have the same top-1.
    """
    from scipy.stats import t

    shares = np.asarray(shares, np.float64)
    if (shares == shares[0]).all():
        return None
    reach = t.ppf(0.975, len(shares) - 1) * shares.std(ddof=1) / np.sqrt(len(shares))
    mean = shares.mean()
    return [float(max(mean - reach, 0)), float(min(mean + reach, 1))]


def summarize(folder: Path, result: Result, about: Mapping[str, object]) -> dict:
    """Writes curves.png, confusion.png, crossval.html and, last, crossval.json into `folder`.

    Args:
        folder: of the cross-validation; the runs of `result` are in it.
        result: the test reports of all folds.
        about: what this process is (command, ...), for the record.

    Returns:
        The metrics of crossval.json: top1 (all videos with the same weight) with its interval over
        groups, top1_mean (the mean of the folds) with its interval over folds, and each fold's.
    """
    metrics, about = _metrics(folder, result), _about(result) | dict(about)
    matrix = plots.confusion(
        _confusion(result), result.class_names, f"Confusion · {result.name}, all folds"
    )
    pictures = {"confusion": matrix}
    histories = {run.name: columns(read_history(run.history)) for run in result.runs}
    if any(map(plots.drawable, histories.values())):
        pictures["curves"] = plots.curves(histories)
    drawn = {name: drawing.png_bytes(figure) for name, figure in pictures.items()}
    page = crossval_page.build(metrics, about, result.class_names, drawn)
    write_text(folder / "crossval.html", page)
    for name, figure in pictures.items():
        drawing.save(figure, folder / f"{name}.png")
    write_json(folder / SUMMARY, metrics | about)
    return metrics


def _metrics(folder: Path, result: Result) -> dict:
    folds = [
        {
            "run": run.folder.relative_to(folder).as_posix(),
            **{
                key: metrics[key]
                for key in ("videos", "skipped", "top1", "top1_interval", "top5", "loss")
            },
            "epoch": _kept_epoch(run),
        }
        for run, metrics in zip(result.runs, result.metrics, strict=True)
    ]
    shares = np.array([fold["top1"] for fold in folds])
    interval, method = result.interval
    loud = any(record["split"]["has_leakage"] for record in result.records)
    return {
        "name": result.name,
        "top1": result.top1,
        "top1_interval": interval,
        "interval_method": method,
        "top1_mean": float(shares.mean()),
        "top1_mean_interval": mean_interval(shares),
        "mean_interval_method": _mean_interval_method(shares),
        "top1_deviation": float(shares.std(ddof=1)) if len(shares) > 1 else None,
        "top5": result.top5,
        "top5_k": result.top5_k,
        "num_classes": result.num_classes,
        "loss": result.loss,
        "videos": len(result.paths),
        "skipped": result.skipped,
        "folds": folds,
        "leak": _leak(result),
        "has_leakage": loud,
    }


def _mean_interval_method(shares: np.ndarray) -> str:
    if len(shares) == 1:
        return "The 95 % interval of the mean cannot be estimated from one fold."
    if mean_interval(shares) is None:
        return "The 95 % interval of the mean cannot be estimated: all folds have the same top-1."
    return (
        f"95 % by Student's t over {len(shares)} folds, whose training sets overlap: a rough guide."
    )


def _about(result: Result) -> dict:
    """Where the numbers come from."""
    record = result.records[0]
    return {
        "dataset": result.metrics[0]["dataset"],
        "split": result.split,
        "split_scheme": result.scheme,
        "protocol": result.protocol,
        "precision": result.metrics[0]["precision"],
        "seed": record["config"]["recipe"]["seed"],
        "network": result.metrics[0]["network"],
        "backend": record["backend"],
        "device": record["device"],
        "versions": ", ".join(f"{k} {v}" for k, v in record["versions"].items()),
        "git_commit": record["git_commit"],
    }


def _leak(result: Result) -> list[str]:
    """One verdict over all folds, then the notes of each run."""
    counts = [record["split"]["leak_counts"] for record in result.records]
    tested = sum(count["sizes"]["test"] for count in counts)
    shared = sum(count["test_train"] for count in counts)
    notes = dict.fromkeys(note for record in result.records for note in record["split"]["notes"])
    if shared:
        verdict = (
            f"LEAK: over all folds {shared} of {tested} test videos ({shared / tested:.1%}) share "
            "a source recording with a training video of their fold, so the score measures "
            "recognition of recordings too."
        )
    else:
        verdict = result.records[0]["split"]["leak"][0]
    return [verdict, *notes]


def _kept_epoch(run: RunFolder) -> int | None:
    """The epoch whose network was evaluated; None where the history is missing."""
    history = columns(read_history(run.history))
    recipe = run.record()["config"]["recipe"]
    if history and recipe.get("keep") == "last":
        return int(history["epoch"][-1])
    best = plots.best_epoch(history, recipe.get("monitor", "val_accuracy"))
    return None if best is None else int(best)


def _confusion(result: Result) -> np.ndarray:
    """(classes, classes) int64 over all folds: rows true, columns predicted."""
    from sklearn.metrics import confusion_matrix

    names = list(result.class_names)
    if len(names) == 1:  # scikit-learn warns
        return np.full((1, 1), len(result.labels))
    return confusion_matrix(result.labels.astype(str), result.predicted.astype(str), labels=names)
