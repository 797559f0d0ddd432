"""Cross-validation: train and evaluate a run for every fold, and sum up the test results.

ar3d crossval --attention --data DIR --folds 5                 no recording in two splits
ar3d crossval --attention --data DIR --split-scheme logo       leave one recording out
ar3d crossval --attention --data DIR --name NAME               the same command again continues
ar3d crossval --attention --data DIR --on ray                  several folds at a time, on a Ray cluster
ar3d crossval --attention --data DIR --split-scheme random     ignores recordings: what a leak is worth
ar3d crossval --attention --data DIR --shares 0.25 0.5 1       what would more videos bring?
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ar3d_keras.cli.options import command, parse_config, typed_names
from ar3d_keras.cli.train import NewRun
from ar3d_keras.config import TrainConfig
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError

ESSENTIAL = (
    *("data", "attention", "model", "epochs", "preset", "name", "split_scheme", "folds"),
    *("batch_size", "learning_rate", "seed", "runs_dir"),
)


@dataclass(frozen=True, kw_only=True)
class CrossvalOptions(NewRun):
    """The options of train, which hold for every fold, and a name."""

    name: str = "crossval"
    """The runs are RUNS_DIR/NAME/fold-1 and so on. Finished folds are not repeated, a stopped one is resumed."""
    export: bool = False
    """Write a SavedModel for every fold."""
    suspects: bool = False
    """List the videos whose label is contradicted by networks that were not trained on them: suspects.csv and suspects.html."""
    on: str | None = None
    """Train the folds on a Ray cluster, several at a time: `ray` (that of RAY_ADDRESS, else a local one) or ray://HOST:PORT. --workers is the number of Ray workers then; default: one per GPU, or per machine without GPUs."""
    shares: tuple[float, ...] = ()
    """Repeat the cross-validation with these shares of the training videos, e.g. 0.25 0.5 1: accuracy against the number of videos, and what twice as many would bring. Whole groups, each share a part of the next."""


OPTIONS = CrossvalOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct."""
    options = parse_config(
        CrossvalOptions, arguments, verb="crossval", text=__doc__, essential=ESSENTIAL
    )
    if "fold" in typed_names(arguments):
        raise UserError("`fold` is an option of train: crossval runs every fold")
    # The config of a run of one fold stands for all of them.
    data = dataclasses.replace(options.data, fold=None)
    from ar3d_keras.experiments.crossval import crossval

    console = Console()
    config = TrainConfig(data=data, model=options.model, recipe=options.recipe)
    if options.shares:
        _shares(options, config, arguments, console)
        return
    metrics = crossval(
        config,
        name=options.name,
        runs_dir=options.runs_dir,
        export=options.export,
        suspects=options.suspects,
        checkpoint_minutes=options.checkpoint_minutes,
        on=options.on,
        reporter=console,
        command=command("crossval", arguments),
    )
    _log(metrics, console)
    console.log(f"         {options.runs_dir / options.name / 'crossval.html'}")


def _shares(
    options: CrossvalOptions, config: TrainConfig, arguments: Sequence[str], console: Console
) -> None:
    from ar3d_keras.evaluation.metrics import format_interval
    from ar3d_keras.experiments.data_curve import data_curve

    given = typed_names(arguments)
    for option in ("suspects", "export", "train_share", "on"):
        if option in given:
            raise UserError(f"`{option}` cannot be combined with `shares`: leave it out")
    curve = data_curve(
        options.shares,
        config,
        name=options.name,
        runs_dir=options.runs_dir,
        checkpoint_minutes=options.checkpoint_minutes,
        reporter=console,
        command=command("crossval", arguments),
    )
    for videos, top1, interval in zip(
        curve["videos"], curve["top1"], curve["intervals"], strict=True
    ):
        console.log(f"{videos:6.0f} videos   top-1 {top1:.3f} {format_interval(interval)}")
    console.log(f"         {options.runs_dir / options.name / 'data_curve.png'}")


def _log(metrics: Mapping[str, Any], console: Console) -> None:
    from ar3d_keras.evaluation.metrics import format_interval

    for fold in metrics["folds"]:
        console.log(
            f"{fold['run']:<8} top-1 {fold['top1']:.3f} {format_interval(fold['top1_interval'])}   "
            f"loss {fold['loss']:.3f}   {fold['videos']} videos"
        )
    folds = len(metrics["folds"])
    console.log(
        f"mean     top-1 {metrics['top1_mean']:.3f} "
        f"{format_interval(metrics['top1_mean_interval'])}   over {folds} folds"
    )
    console.log(
        f"pooled   top-1 {metrics['top1']:.3f} {format_interval(metrics['top1_interval'])}   "
        f"over groups   loss {metrics['loss']:.3f}   {metrics['videos']} videos"
    )
    console.log(metrics["leak"][0])
