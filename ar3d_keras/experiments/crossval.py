"""Cross-validation: a run for each fold, and one summary of them all."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from ar3d_keras.config import Preset, Range, TrainConfig
from ar3d_keras.console import Console
from ar3d_keras.distributed.workers import WorkerError, check_on, open_workers
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.results import read_result
from ar3d_keras.experiments import setup
from ar3d_keras.experiments.configure import configure, without_fold
from ar3d_keras.experiments.crossval_summary import summarize
from ar3d_keras.experiments.label_loop import write_suspects
from ar3d_keras.experiments.train import resume, train
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import RunFolder, check_plain_name
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.column_splits import grouped_by_column
from ar3d_keras.videos.folds import FOLD_SCHEMES, num_folds


def crossval(
    config: TrainConfig | str | os.PathLike[str] | None = None,
    *,
    preset: Preset | None = None,
    name: str = "crossval",
    runs_dir: str | os.PathLike[str] = "runs",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    export: bool = False,
    suspects: bool = False,
    checkpoint_minutes: float = 10.0,
    on: str | None = None,
    reporter: Reporter | None = None,
    command: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Trains and evaluates a run for every fold, and sums up their test results.

    The runs are `runs_dir`/`name`/fold-1 and so on. Finished folds are not repeated and a stopped
    one is resumed, so that the same call continues a stopped cross-validation.

    Args:
        config: as for `train`.
        preset: as for `train`.
        name: of the cross-validation's folder.
        runs_dir: the folder of all runs.
        callbacks: as for `train`; used for every fold.
        export: whether each fold writes a SavedModel.
        suspects: whether to list the videos whose label the other folds' networks contradict
            (suspects.csv and suspects.html).
        checkpoint_minutes: as for `train`.
        on: where the folds are trained, several at a time. Default: in this process; ray: in the
            Ray cluster of RAY_ADDRESS, or a local one; ray://HOST:PORT: in a cluster, whose
            machines need the data and `runs_dir` under the same paths. `workers` is the number of
            Ray actors then; the default is one per GPU, or per machine without GPUs.
        reporter: receives progress and log lines. Default: prints them.
        command: the command to record.
        options: as for `train`; `split_scheme` is kfold (default), logo (default with
            `split_by`) or random.

    Returns:
        The content of crossval.json: top1 of all videos, top1_mean over the folds, their
        intervals, and each fold's metrics.

    Raises:
        UserError: as `train`; the folder holds folds of other options or other data.
        KeyboardInterrupt: the same call continues.
    """
    if options.get("fold") is not None:
        raise UserError("`fold` is an option of train: crossval runs every fold")
    check_on(on)
    if on and callbacks:
        raise UserError("`callbacks` cannot be used with `on`: the folds are trained elsewhere")
    reporter = reporter or Console()
    configured = with_folds(configure(config, preset=preset, reporter=reporter, **options))
    configured = setup.with_devices(configured)
    check_plain_name(name)
    Range(0).check("checkpoint_minutes", checkpoint_minutes)
    catalog = setup.open_catalog(configured, reporter)
    folder = Path(runs_dir) / name
    folds = fold_configs(configured, catalog)
    _check_folder(folder, folds, catalog.fingerprint)
    command = command or f"ar3d_keras.crossval(name={name!r})"
    how: dict[str, Any] = {
        "folder": folder,
        "export": export,
        "checkpoint_minutes": checkpoint_minutes,
        "command": command,
    }
    if on is None:
        for number, (fold, fold_config) in enumerate(folds.items(), start=1):
            reporter.log(f"{name}: fold {number} of {len(folds)}")
            run_fold(fold, fold_config, **how, callbacks=callbacks, reporter=reporter)
            keras.utils.clear_session()
    else:
        _run_on_workers(on, folds, how, configured.data.workers, reporter)
    runs = [RunFolder(folder / fold) for fold in folds]
    result = read_result(folder.resolve().name, runs, "test")
    reporter.log_to(folder / "log.txt")
    metrics = summarize(folder, result, {"command": command})
    if suspects:
        write_suspects(folder, runs, reporter)
    return metrics


def run_fold(
    fold: str,
    config: TrainConfig,
    *,
    folder: Path,
    export: bool,
    checkpoint_minutes: float,
    command: str,
    callbacks: Sequence[keras.callbacks.Callback],
    reporter: Reporter,
) -> None:
    """Trains and evaluates the run of a fold, or continues it; a finished one is left as it is."""
    run = RunFolder(folder / fold)
    if _is_finished(run):
        return
    if (run.folder / "run.json").is_file():
        resume(
            run.folder,
            data=config.data.data,
            workers=config.data.workers,
            devices=config.recipe.devices,
            checkpoint_minutes=checkpoint_minutes,
            callbacks=callbacks,
            reporter=reporter.fresh(),
            command=command,
        )
    else:
        train(
            config,
            name=fold,
            runs_dir=folder,
            callbacks=callbacks,
            export=export,
            checkpoint_minutes=checkpoint_minutes,
            reporter=reporter.fresh(),
            command=command,
        )


class FoldWorker:
    """Trains folds in a process of its own; a context manager."""

    def __init__(self, **how: Any):
        self._how = how

    def __enter__(self) -> "FoldWorker":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, fold: tuple[str, TrainConfig]) -> None:
        run_fold(*fold, **self._how, callbacks=(), reporter=Reporter())
        keras.utils.clear_session()


def _run_on_workers(
    on: str,
    folds: dict[str, TrainConfig],
    how: dict[str, Any],
    workers: int | None,
    reporter: Reporter,
) -> None:
    """Trains the folds by Ray actors; a fold whose actor dies is continued by another one."""
    todo = {
        # `workers` is the number of actors here, and that of decoding threads in a fold
        fold: dataclasses.replace(config, data=dataclasses.replace(config.data, workers=None))
        for fold, config in folds.items()
    }
    dead: dict[str, str] = {}
    with (
        open_workers(
            on,
            functools.partial(FoldWorker, **how),
            workers=workers,
            threads=1,
            reporter=reporter,
            network=True,
            name=_name,
        ) as actors,
        reporter.bar("folds", len(folds), "folds") as update,
        contextlib.closing(actors.map(todo.items())) as results,
    ):
        for number, ((fold, _), future) in enumerate(results, start=1):
            try:
                future.result()
                reporter.log(f"{fold}: finished ({number} of {len(folds)})")
            except WorkerError as error:
                dead[fold] = str(error)
                reporter.log(f"{fold}: {error}")
            update(number)
    if dead:
        raise UserError(
            f"{len(dead)} of {len(folds)} folds are not finished ({', '.join(dead)}: "
            f"{next(iter(dead.values()))}): the same command continues"
        )


def _name(fold: tuple[str, TrainConfig]) -> str:
    return fold[0]


def with_folds(config: TrainConfig) -> TrainConfig:
    """The configuration with a split scheme that has folds."""
    data = config.data
    if data.split_scheme not in (None, *FOLD_SCHEMES):
        raise UserError(
            f"`split_scheme` {data.split_scheme} has no folds: use {', '.join(FOLD_SCHEMES)}"
        )
    scheme = data.split_scheme or ("logo" if data.split_by else "kfold")
    data = dataclasses.replace(data, split_scheme=scheme)
    return without_fold(dataclasses.replace(config, data=data))


def fold_configs(config: TrainConfig, catalog: Catalog) -> dict[str, TrainConfig]:
    """The name and resolved configuration of each fold's run."""
    config = setup.resolve(config, catalog)
    scheme = config.data.split_scheme
    assert scheme is not None, "the configuration is resolved"
    folds = num_folds(grouped_by_column(catalog, config.data.split_by), scheme, config.data.folds)
    configs = {
        f"fold-{fold}": dataclasses.replace(
            config, data=dataclasses.replace(config.data, fold=fold)
        )
        for fold in range(1, folds + 1)
    }
    for fold_config in configs.values():
        setup.split_videos(fold_config, catalog)  # a fold that cannot be is refused now
    return configs


def _check_folder(folder: Path, folds: dict[str, TrainConfig], fingerprint: str) -> None:
    """Checks that the folds in a folder, if any, are folds of this cross-validation."""
    for name, config in folds.items():
        if (folder / name / "run.json").is_file():
            _check_same_run(RunFolder(folder / name), config, fingerprint)
    if strangers := {path.name for path in folder.glob("fold-*")} - folds.keys():
        raise UserError(
            f"{folder} holds {min(strangers)}, but there are {len(folds)} folds: repeat the "
            "command as it was, or choose another `name`"
        )


def _check_same_run(run: RunFolder, config: TrainConfig, fingerprint: str) -> None:
    """Folds with other options or data cannot be summed up with these."""
    before = run.config()
    # Where the data is and how many threads decode it changes no metric; devices change last bits.
    data = dataclasses.replace(before.data, data=config.data.data, workers=config.data.workers)
    recipe = dataclasses.replace(before.recipe, devices=config.recipe.devices)
    for what, same in (
        ("options", dataclasses.replace(before, data=data, recipe=recipe) == config),
        ("data", run.record()["data"]["fingerprint"] == fingerprint),
    ):
        if not same:
            raise UserError(
                f"{run.folder} began with other {what}: repeat the command as it was, or choose "
                "another `name`"
            )


def _is_finished(run: RunFolder) -> bool:
    if not (run.folder / "run.json").is_file():
        return False
    record = run.record()
    by_old_version = any(run.saved_model.glob("*/saved_model.pb"))
    return record.get("finished_epochs") == run.config().recipe.epochs or by_old_version
