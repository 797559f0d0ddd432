"""Writes the results of a search: trials.csv, best.json and tuning.html."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ar3d_keras.atomic import write_csv, write_json, write_text
from ar3d_keras.config import TrainConfig, to_json
from ar3d_keras.experiments.tuning import picture
from ar3d_keras.experiments.tuning.results import Result, ranked
from ar3d_keras.experiments.tuning.space import Parameter, shown, with_values
from ar3d_keras.reports import drawing, page
from ar3d_keras.reports.page import percent


def write_summary(
    folder: Path,
    config: TrainConfig,
    space: Sequence[Parameter],
    results: Sequence[Result],
    about: Mapping[str, str],
    *,
    leak: Sequence[str] = (),
    has_leakage: bool = False,
) -> Result | None:
    """Writes the files and returns the best trial; None if no trial has a score.

    Args:
        folder: the folder of the search.
        config: the options that all trials share.
        space: the options that they search.
        results: the results of the finished trials.
        about: where the numbers come from; the page shows it.
        leak: sentences about source recordings that are in two splits.
        has_leakage: whether these sentences are a warning.
    """
    order = ranked(results)
    best = order[0] if order else None
    write_csv(folder / "trials.csv", *_csv(order + [r for r in results if r.failed], space))
    if best:
        write_json(
            folder / "best.json",
            {
                "trial": best.trial,
                "val_top1": best.top1,
                "val_loss": best.loss,
                "epoch": best.epoch,
                "config": to_json(with_values(config, best.values)),
            },
        )
    if results:
        page_text = _page(folder, space, results, order, about, leak, has_leakage)
        write_text(folder / "tuning.html", page_text)
    return best


def _csv(results: Sequence[Result], space: Sequence[Parameter]) -> tuple[list[str], list[list]]:
    names = [parameter.name for parameter in space]
    facts = ["trial", "val_top1", "val_loss", "epoch", "epochs", "resumed_from", "seconds"]
    rows = [
        [
            r.trial, *(("", "", "") if r.failed else (r.top1, r.loss, r.epoch)), r.epochs,
            r.resumed_from or "", f"{r.seconds:.1f}", r.reason or "",
            *(" ".join(map(str, v)) if isinstance(v, list) else v for v in map(r.values.get, names)),
        ]
        for r in results
    ]  # fmt: skip
    return [*facts, "failed", *names], rows


def _page(
    folder: Path,
    space: Sequence[Parameter],
    results: Sequence[Result],
    order: Sequence[Result],
    about: Mapping[str, str],
    leak: Sequence[str],
    has_leakage: bool,
) -> str:
    failed = [result for result in results if result.failed]
    return page.render(
        "tuning.html",
        title=f"Search {folder.name}",
        tiles=_tiles(results, order),
        about=about,
        leak=leak,
        has_leakage=has_leakage,
        advice=[
            f"The val accuracy of the best of {len(order)} trials is optimistic: it was chosen there.",
            "Train it and evaluate it on test once: "
            f"python train.py --config {folder / 'best.json'}",
        ],
        png=drawing.png_bytes(picture.draw(results, space)) if order else None,
        options=[parameter.name.replace(".", " ").replace("_", " ") for parameter in space],
        trials=[_trial(result, space) for result in order],
        failed=[(result.trial, result.reason, _values(result, space)) for result in failed],
    )


def _tiles(results: Sequence[Result], order: Sequence[Result]) -> list[tuple[str, str, str]]:
    failed = len(results) - len(order)
    hours = sum(result.seconds for result in results) / 3600
    top1, loss, median, which = "–", "–", "–", "no trial has a score"
    ranked_by = ""
    if order:
        best, middle = order[0], order[len(order) // 2]
        assert best.top1 is not None and middle.top1 is not None  # `order` has no failed trial
        top1, loss, median = percent(best.top1), f"{best.loss:.3f}", percent(middle.top1)
        which = f"trial {best.trial}, epoch {best.epoch}"
        if best.monitor != "val_accuracy":
            ranked_by = f" of the trial with the best {best.monitor}"
    return [
        (f"val top-1{ranked_by}" if ranked_by else "best val top-1", top1, which),
        ("its val loss", loss, "cross-entropy, nats"),
        ("median val top-1", median, "over the trials"),
        ("trials", f"{len(results):,}", f"{failed:,} failed" if failed else "none failed"),
        ("time", _time(hours), "of all trials, summed"),
    ]


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"


def _trial(result: Result, space: Sequence[Parameter]) -> dict[str, object]:
    """A row of the table of trials."""
    return {
        "name": result.trial,
        "top1": result.top1,
        "loss": result.loss,
        "epoch": result.epoch,
        "epochs": result.epochs,
        "resumed_from": result.resumed_from,
        "values": [shown(result.values[parameter.name]) for parameter in space],
    }


def _values(result: Result, space: Sequence[Parameter]) -> str:
    return ", ".join(f"{p.option} {shown(result.values[p.name])}" for p in space)


def about_search(record: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Where the numbers of a search come from, from its search.json."""
    return {
        "dataset": f"{record['data']['root']} (fingerprint {record['fingerprint']})",
        "split": "val",
        "split_scheme": record["split"]["scheme"],
        "protocol": "1 centre clip x 1 centre crop",
        "backend": record["backend"],
        "precision": record["precision"],
        "seed": str(record["config"]["recipe"]["seed"]),
        "device": record["device"],
        "search": str(folder),
        "tuner": record["tuner"],
        "search_space": ", ".join(map(_described, record["space"])),
        "command": record["command"],
        "versions": ", ".join(f"{k} {v}" for k, v in record["versions"].items()),
        "git_commit": str(record["git_commit"]),
    }


def _described(form: Mapping[str, Any]) -> str:
    if form["kind"] == "choice":
        return f"{form['name']} ({' | '.join(map(shown, form['values']))})"
    low, high = map(shown, form["values"])
    extra = " log" * form["log"] + (f" step {form['step']}" if form["step"] > 1 else "")
    return f"{form['name']} ({low} to {high}{extra})"
