"""All folds of a cross-validation in one summary: crossval.html and crossval.json."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ar3d_keras.atomic import write_json, write_text
from ar3d_keras.evaluation.results import SUMMARY, Result
from ar3d_keras.reports import drawing, page, plots
from ar3d_keras.reports.page import percent, shown
from ar3d_keras.runs import columns, read_history


def mean_interval(shares: np.ndarray) -> list[float]:
    """The 95 % interval of the mean of the folds' figures, by Student's t, within 0..1.

    The training sets of the folds overlap, so the folds are not independent and the interval is
    a rough guide (Bengio and Grandvalet, 2004: no unbiased estimate exists).

    Args:
        shares: (folds,) at least two.
    """
    from scipy.stats import t  # scikit-learn stands on scipy

    shares = np.asarray(shares, np.float64)
    reach = t.ppf(0.975, len(shares) - 1) * shares.std(ddof=1) / np.sqrt(len(shares))
    mean = shares.mean()
    return [float(max(mean - reach, 0)), float(min(mean + reach, 1))]


def summarise(folder: Path, result: Result, about: Mapping[str, object]) -> dict:
    """Writes curves.png, confusion.png, crossval.html and, last, crossval.json into `folder`.

    Args:
        folder: of the cross-validation; the runs of `result` are in it.
        result: the test reports of all folds.
        about: what this process is (command, ...), for the record.

    Returns:
        The figures of crossval.json: top1 (of all videos alike) with its interval over groups,
        top1_mean (of the folds' figures) with its interval over folds, and each fold's.
    """
    figures, about = _figures(folder, result), _about(result) | dict(about)
    matrix = plots.confusion(
        _confusion(result), result.class_names, f"Confusion · {result.name}, all folds"
    )
    curves = plots.curves({run.name: columns(read_history(run.history)) for run in result.runs})
    pictures = {"confusion": matrix, "curves": curves}
    drawn = {name: drawing.png_bytes(figure) for name, figure in pictures.items()}
    write_text(folder / "crossval.html", _page(result, figures, about, drawn))
    for name, figure in pictures.items():
        drawing.save(figure, folder / f"{name}.png")
    write_json(folder / SUMMARY, figures | about)
    return figures


def _figures(folder: Path, result: Result) -> dict:
    folds = [
        {
            "run": run.folder.relative_to(folder).as_posix(),
            **{
                key: judged[key]
                for key in ("videos", "skipped", "top1", "top1_interval", "top5", "loss")
            },
            "epoch": _kept_epoch(run),
        }
        for run, judged in zip(result.runs, result.figures, strict=True)
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
        "mean_interval_method": f"95 % by Student's t over {len(folds)} folds, whose training "
        "sets overlap: a rough guide.",
        "top1_deviation": float(shares.std(ddof=1)),
        "top5": result.top5,
        "top5_k": result.top5_k,
        "loss": result.loss,
        "videos": len(result.paths),
        "skipped": result.skipped,
        "folds": folds,
        "leak": _leak(result),
        "has_leakage": loud,
    }


def _about(result: Result) -> dict:
    """What the figures stand for."""
    record = result.records[0]
    return {
        "dataset": result.figures[0]["dataset"],
        "split": result.split,
        "split_scheme": result.scheme,
        "protocol": result.protocol,
        "precision": result.figures[0]["precision"],
        "seed": record["config"]["recipe"]["seed"],
        "network": result.figures[0]["network"],
        "backend": record["backend"],
        "device": record["device"],
        "versions": ", ".join(f"{k} {v}" for k, v in record["versions"].items()),
        "git_commit": record["git_commit"],
    }


def _leak(result: Result) -> list[str]:
    """One verdict over all folds, then what each run's notes say."""
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


def _kept_epoch(run) -> int | None:
    """Whose network was judged; None where its history is gone."""
    history = columns(read_history(run.history))
    if history and run.record()["config"]["recipe"].get("keep") == "last":
        return int(history["epoch"][-1])
    best = plots.best_epoch(history)
    return None if best is None else int(best)


def _confusion(result: Result) -> np.ndarray:
    """(classes, classes) int64 over all folds: rows true, columns predicted."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(
        result.labels.astype(str), result.predicted.astype(str), labels=result.class_names
    )


def _page(result: Result, figures: Mapping, about: Mapping, pictures: Mapping[str, bytes]) -> str:
    low, high = (100 * share for share in figures["top1_interval"])
    mean_low, mean_high = (100 * share for share in figures["top1_mean_interval"])
    skipped = f"{figures['skipped']:,} skipped" if figures["skipped"] else "none skipped"
    tiles = [
        (
            "top-1, all videos",
            percent(figures["top1"]),
            f"95 % over groups {low:.1f} to {high:.1f} %",
        ),
        (
            "mean of the folds",
            percent(figures["top1_mean"]),
            f"95 % {mean_low:.1f} to {mean_high:.1f} %",
        ),
        (f"top-{figures['top5_k']}", percent(figures["top5"]), "true class among them"),
        ("loss", f"{figures['loss']:.3f}", "cross-entropy, nats"),
        ("videos", f"{figures['videos']:,}", f"{len(figures['folds'])} folds, {skipped}"),
    ]
    meaning = " · ".join(
        f"{shown(key.replace('_', ' '))} <b>{shown(about[key])}</b>" for key in page.MEANING
    )
    rows = [
        (
            shown(fold["run"]),
            f"{fold['videos']:,}",
            page.bar(fold["top1"]),
            "{:.1f} to {:.1f}".format(*(100 * share for share in fold["top1_interval"])),
            f"{100 * fold['top5']:.1f}",
            f"{fold['loss']:.3f}",
            fold["epoch"] or "–",
        )
        for fold in figures["folds"]
    ]
    header = (
        "fold",
        "videos",
        "top-1, %",
        "95 % interval",
        f"top-{figures['top5_k']}, %",
        "loss",
        "epoch kept",
    )
    sections = (
        page.box(figures["leak"], figures["has_leakage"]),
        page.table("Folds", "folds", header, rows),
        page.picture(
            "Learning curves",
            pictures["curves"],
            "One column a fold.",
            "accuracy and loss by epoch",
            wide=True,
        ),
        page.picture(
            "Confusion matrix",
            pictures["confusion"],
            "Every video as the fold that tested it answered. Rows are true classes, columns what "
            "was predicted, in shares of the true class's videos.",
            "confusion matrix",
            wide=len(result.class_names) > plots.DETAILED,
        ),
        page.table(
            "Provenance", "provenance", (), [(shown(k), shown(v)) for k, v in about.items()]
        ),
    )
    footer = (
        f"Interval of all videos: {figures['interval_method']} Interval of the mean: "
        f"{figures['mean_interval_method']} Every video's answer: evaluation/{result.split}/"
        "predictions.csv of its fold."
    )
    return page.document(result.name, tiles, meaning, sections, footer)
