"""Cross-validation: every fold of a data set is trained, judged and summed up.

ar3d crossval --attention --data DIR --folds 5                 no recording in two splits
ar3d crossval --attention --data DIR --name NAME               once more, it goes on where it was
ar3d crossval --attention --data DIR --split-scheme random     blind to recordings: what a leak is worth
"""

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ar3d_keras.cli import train
from ar3d_keras.cli.console import Console, start_backend
from ar3d_keras.cli.options import command, parse
from ar3d_keras.config import TrainConfig, from_json
from ar3d_keras.errors import UserError


@dataclass(frozen=True, kw_only=True)
class CrossvalOptions(train.NewRun):
    """What the run of each fold is made of: the options of `train`, and a name."""

    name: str = "crossval"
    """The runs are RUNS_DIR/NAME/fold-1, ... Finished ones are not repeated, a stopped one goes on."""


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can put right."""
    options = parse(
        CrossvalOptions, arguments, verb="crossval", text=__doc__,
        default=train.defaults(arguments, CrossvalOptions()),
    )  # fmt: skip
    options = _with_folds(options)
    console = Console()
    folds = _configs(options, console)
    start_backend()
    import keras

    folder = options.runs_dir / options.name
    typed = command("crossval", arguments)
    for number, (name, config) in enumerate(folds.items(), start=1):
        console.log(f"{options.name}: fold {number} of {len(folds)}")
        _fold(folder, name, config, typed)
        keras.utils.clear_session()
    _sum_up(folder, list(folds), typed, console)


def _with_folds(options: CrossvalOptions) -> CrossvalOptions:
    """The options with their split scheme and number of folds, or the reason why not."""
    from ar3d_keras.runs import check_plain_name
    from ar3d_keras.videos.splits import FOLDS

    data = options.data
    if data.split_scheme not in (None, "kfold", "random"):
        raise UserError(f"--split-scheme {data.split_scheme} has no folds: take kfold or random")
    if data.fold is not None:
        raise UserError(f"--fold {data.fold} is for train: crossval runs every fold")
    check_plain_name(options.name)
    options = dataclasses.replace(
        options,
        data=dataclasses.replace(
            data, split_scheme=data.split_scheme or "kfold", folds=data.folds or FOLDS
        ),
    )
    options.validate()
    return options


def _configs(options: CrossvalOptions, console: Console) -> dict[str, TrainConfig]:
    """The name and configuration of each fold's run; what cannot be is refused before it begins."""
    from ar3d_keras.cli.demo import make
    from ar3d_keras.videos.dataset import open_data
    from ar3d_keras.videos.splits import make_split

    data = options.data
    catalog = open_data(data.data or make(train.DEMO, console))
    seed = options.recipe.seed
    make_split(catalog, data.split_scheme, seed=seed, folds=data.folds)
    configs = {
        f"fold-{fold}": TrainConfig(
            data=dataclasses.replace(data, fold=fold), model=options.model, recipe=options.recipe
        )
        for fold in range(1, data.folds + 1)
    }
    folder = options.runs_dir / options.name
    for name, config in configs.items():
        _check_same_run(folder / name, config, catalog.fingerprint)
    if strangers := {path.name for path in folder.glob("fold-*")} - configs.keys():
        raise UserError(
            f"{folder} holds {min(strangers)}, which is none of {data.folds} folds: repeat the "
            "command as it was, or choose another --name"
        )
    return configs


def _check_same_run(folder: Path, config: TrainConfig, fingerprint: str) -> None:
    """Folds that were begun with other options or data cannot be summed up with new ones."""
    from ar3d_keras.runs import Run

    if not (folder / "run.json").is_file():
        # Killed before its record was written: what is there says nothing yet.
        for name in ("split.csv", "log.txt"):
            (folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not there, or not ours: begin refuses it
            folder.rmdir()
        return
    record = Run(folder).record()
    before = from_json(record["config"], TrainConfig(), str(folder))
    # Where the data is and how many threads decode it changes no figure.
    same_place = dataclasses.replace(
        before.data, data=config.data.data, workers=config.data.workers
    )
    for what, same in (
        ("options", dataclasses.replace(before, data=same_place) == config),
        ("data", record["data"]["fingerprint"] == fingerprint),
    ):
        if not same:
            raise UserError(
                f"{folder} was begun with other {what}: repeat the command as it was, or choose "
                "another --name"
            )


def _fold(folder: Path, name: str, config: TrainConfig, typed: str) -> None:
    """Begins the run of a fold, goes on with it, or leaves it if it is finished."""
    run = folder / name
    if any((run / "saved_model").glob("*/saved_model.pb")):
        return
    sections = {item.name: getattr(config, item.name) for item in dataclasses.fields(config)}
    console = Console()
    if (run / "run.json").is_file():
        options = train.TrainOptions(**sections, resume=str(run))
        train.resume(options, typed, console, again="the same command")
    else:
        options = train.TrainOptions(**sections, runs_dir=folder, name=name)
        train.begin(options, typed, console, again="the same command")


def _sum_up(folder: Path, names: Sequence[str], typed: str, console: Console) -> None:
    from ar3d_keras.evaluation.metrics import format_interval
    from ar3d_keras.evaluation.results import read_result
    from ar3d_keras.experiments.crossval import summarise
    from ar3d_keras.runs import Run

    result = read_result(folder.resolve().name, [Run(folder / name) for name in names], "test")
    figures = summarise(folder, result, {"command": typed})
    console.log_to(folder / "log.txt")
    for fold in figures["folds"]:
        console.log(
            f"{fold['run']:<8} top-1 {fold['top1']:.3f} {format_interval(fold['top1_interval'])}   "
            f"loss {fold['loss']:.3f}   {fold['videos']} videos"
        )
    mean_interval = format_interval(figures["top1_mean_interval"])
    console.log(
        f"mean     top-1 {figures['top1_mean']:.3f} {mean_interval}   over {len(names)} folds"
    )
    interval = format_interval(figures["top1_interval"])
    console.log(
        f"pooled   top-1 {figures['top1']:.3f} {interval}   over groups   "
        f"loss {figures['loss']:.3f}   {figures['videos']} videos"
    )
    console.log(figures["leak"][0])
    console.log(f"         {folder / 'crossval.html'}")
