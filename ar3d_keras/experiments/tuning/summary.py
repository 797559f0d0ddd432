"""What a search leaves behind: trials.csv, best.json, and tuning.html, a page to open."""

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
from ar3d_keras.reports.page import shown as escaped


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
    """Writes the files and returns the best trial, None where none has a score.

    Args:
        folder: of the search.
        config: what the trials have in common.
        space: what they differ in.
        results: of the trials that are over.
        about: what the figures stand for, shown beside them.
        leak: sentences on source recordings that stand in two splits.
        has_leakage: whether that box is red.
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


def _csv(results: Sequence[Result], space: Sequence[Parameter]) -> tuple[list, list]:
    names = [parameter.name for parameter in space]
    facts = ["trial", "val_top1", "val_loss", "epoch", "epochs", "goes_on_from", "seconds"]
    rows = [
        [
            r.trial, *("" if v is None else v for v in (r.top1, r.loss, r.epoch)), r.epochs,
            r.goes_on_from or "", f"{r.seconds:.1f}", r.reason or "",
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
    meaning = " · ".join(
        f"{escaped(key.replace('_', ' '))} <b>{escaped(about[key])}</b>"
        for key in page.MEANING
        if about.get(key)
    )
    sections = [page.box(leak, has_leakage)]
    if order:
        advice = [
            f"The best of {len(order)} on val is flattered by being chosen there.",
            f"Train it, and open test once: python train.py --config {folder / 'best.json'}",
        ]
        sections.append(page.box(advice, False))
        caption = (
            "A dot is a trial, the best is orange; the darker the more epochs it trained. A red "
            "cross failed. First panel: the trials in order, and the best so far."
        )
        png = drawing.png_bytes(picture.draw(results, space))
        sections.append(page.picture("What matters", png, caption, "val top-1 against each option"))
    sections += [
        _trials(order, space),
        _failed([result for result in results if result.failed], space),
        page.table(
            "Provenance", "provenance", (), [(escaped(k), escaped(v)) for k, v in about.items()]
        ),
    ]
    footer = (
        "Trials are ranked by val top-1 of the epoch that a run would keep, ties by its val loss. Test was not "
        "opened. The same figures: trials.csv; a trial's own: trial_N/history.csv and curves.png."
    )
    return page.document(f"Search {folder.name}", _tiles(results, order), meaning, sections, footer)


def _tiles(results: Sequence[Result], order: Sequence[Result]) -> list[tuple[str, str, str]]:
    failed = len(results) - len(order)
    hours = sum(result.seconds for result in results) / 3600
    best = order[0] if order else None
    return [
        (
            "best val top-1",
            percent(best.top1) if best else "–",
            f"trial {best.trial}, epoch {best.epoch}" if best else "no trial has a score",
        ),
        ("its val loss", f"{best.loss:.3f}" if best else "–", "cross-entropy, nats"),
        (
            "median val top-1",
            percent(order[len(order) // 2].top1) if order else "–",
            "over the trials",
        ),
        ("trials", f"{len(results):,}", f"{failed:,} failed" if failed else "none failed"),
        ("time", _time(hours), "of all trials, summed"),
    ]


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"


def _trials(order: Sequence[Result], space: Sequence[Parameter]) -> str:
    rows = [
        (
            escaped(result.trial),
            percent(result.top1),
            f"{result.loss:.3f}",
            f"{result.epoch} of {result.epochs}{_origin(result)}",
            *(escaped(shown(result.values[parameter.name])) for parameter in space),
        )
        for result in order
    ]
    header = ("trial", "val top-1", "loss", "epoch", *(_heading(each) for each in space))
    return page.table("Trials", "results", header, rows) if rows else ""


def _origin(result: Result) -> str:
    earlier = result.goes_on_from
    return f" <small>went on from {escaped(earlier)}</small>" if earlier else ""


def _failed(results: Sequence[Result], space: Sequence[Parameter]) -> str:
    rows = [
        (
            escaped(result.trial),
            escaped(result.reason),
            escaped(", ".join(f"{p.option} {shown(result.values[p.name])}" for p in space)),
        )
        for result in results
    ]
    header = ("trial", "reason", "values")
    return page.table("Trials that failed", "results", header, rows) if rows else ""


def _heading(parameter: Parameter) -> str:
    section, _, option = parameter.name.partition(".")
    return f"<small>{escaped(section)}</small> {escaped(option.replace('_', ' '))}"


def about_search(record: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """What the figures of a search stand for, from its search.json."""
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
