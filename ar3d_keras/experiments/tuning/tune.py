"""A hyper-parameter search from its options to its report."""

import contextlib
import dataclasses
import importlib
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import keras

from ar3d_keras.config import Preset, Range, TrainConfig, check_choice, to_json
from ar3d_keras.console import Console
from ar3d_keras.distributed.workers import check_on
from ar3d_keras.errors import UserError
from ar3d_keras.experiments import setup
from ar3d_keras.experiments.configure import configure
from ar3d_keras.experiments.record import make_record
from ar3d_keras.experiments.tuning.record import (
    LOCK,
    check_same_search,
    read_record,
    write_record,
)
from ar3d_keras.experiments.tuning.results import Result, read_results
from ar3d_keras.experiments.tuning.space import (
    Parameter,
    default_space,
    make_space,
    read_space,
)
from ar3d_keras.experiments.tuning.space import to_json as space_json
from ar3d_keras.experiments.tuning.summary import about_search, write_summary
from ar3d_keras.locking import LockedError, locked
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import check_plain_name
from ar3d_keras.training.precision import choose_precision
from ar3d_keras.training.warm_start import find_warm_start
from ar3d_keras.videos.folds import FOLD_SCHEMES
from ar3d_keras.videos.reader import decoding_threads

if TYPE_CHECKING:
    from ar3d_keras.experiments.tuning.search import Search

Tuner = Literal["hyperband", "bayesian", "random"]


def tune(
    config: TrainConfig | str | os.PathLike[str] | None = None,
    *,
    trials: int = 20,
    tuner: Tuner = "hyperband",
    space: str | os.PathLike[str] | None = None,
    preset: Preset | None = None,
    name: str | None = None,
    runs_dir: str | os.PathLike[str] = "runs",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint_minutes: float = 10.0,
    on: str | None = None,
    reporter: Reporter | None = None,
    command: str | None = None,
    fixed: Collection[str] = (),
    **options: Any,
) -> Result | None:
    """Searches sizes and recipe with keras-tuner, by val accuracy; test is not opened.

    The same call continues a search that was stopped. Several processes search together if
    keras-tuner's environment variables are set (docs/tuning.md).

    Args:
        config: the options that all trials share, as for `train`.
        trials: the largest number of trials.
        tuner: how values are chosen.
        space: a JSON file with the search space. Default: the open sizes of the network, and the
            learning rate, weight decay and batch size.
        preset: as for `train`.
        name: the search's folder is `runs_dir`/`name`. Default: tune-NETWORK.
        runs_dir: the folder of all runs.
        callbacks: as for `train`; used for every trial.
        checkpoint_minutes: as for `train`.
        on: where the trials are trained, several at a time; as for `crossval`. The values that
            `bayesian` and `hyperband` choose depend on which trials end first.
        reporter: receives progress and log lines. Default: prints them.
        command: the command to record.
        fixed: names of options that are not searched, besides those in `options`.
        options: as for `train`; an option that is given is not searched.

    Returns:
        The best trial; None in a worker process.

    Raises:
        UserError: as `train`; the folder holds another search, another process searches in it, a
            package is missing, or no trial succeeded.
        KeyboardInterrupt: the same call continues.
    """
    check_on(on)
    if on and callbacks:
        raise UserError("`callbacks` cannot be used with `on`: the trials are trained elsewhere")
    configured = configure(config, preset=preset, reporter=reporter, **options)
    configured = setup.with_devices(configured)
    Range(1).check("trials", trials)
    Range(0).check("checkpoint_minutes", checkpoint_minutes)
    check_choice("tuner", tuner, Tuner)
    _require_keras_tuner()
    # These modules import keras-tuner.
    from ar3d_keras.experiments.tuning.parallel import read_role
    from ar3d_keras.experiments.tuning.search import Search, drop_state, search

    reporter, role = reporter or Console(), read_role()
    if on and role.address:
        raise UserError(
            "`on` cannot be used with keras-tuner's chief and workers: unset KERASTUNER_TUNER_ID, "
            "KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT"
        )
    folder = Path(runs_dir) / (name or f"tune-{configured.model.full_name}")
    check_plain_name(folder.name if name is None else name)
    parameters = _space(configured, space, {*fixed, *options})
    threads = decoding_threads(configured.data.workers)
    # A chief trains nothing.
    splits = ("val",) if role.is_chief else ("train", "val")
    if configured.data.split_scheme in FOLD_SCHEMES:
        configured = configured.replace(val_fold=True)  # trials are compared on val
    resolved, dataset = setup.prepare(configured, reporter, splits)
    if not dataset.split.sizes["val"]:
        raise UserError("a search compares its trials on val: add val videos")
    source = configured.recipe.init_from
    start = None
    if source:
        start = find_warm_start(source, Path(runs_dir), configured.model.model, reporter)
    # A search stays the same with other threads, and after its videos were moved.
    place_free = dataclasses.replace(configured.data, data=None, workers=None)
    command = command or f"ar3d_keras.tune(name={folder.name!r})"
    precision, _ = choose_precision(resolved)  # the same for all trials
    record = {
        **make_record(resolved, command, dataset, precision),
        "init_from": start and start.record(),
        "tuner": tuner,
        "space": space_json(parameters),
        "trials": trials,
        "fingerprint": dataset.fingerprint,
        "config": to_json(dataclasses.replace(configured, data=place_free)),
    }
    plan = Search(
        folder=folder,
        config=configured,
        space=parameters,
        tuner=tuner,
        trials=trials,
        record=record,
        callbacks=callbacks,
        checkpoint_minutes=checkpoint_minutes,
    )
    if role.is_worker:
        search(plan, dataset, role, workers=threads, reporter=reporter)
        reporter.log(f"the search is over; its chief writes the report in {folder}")
        return None
    check_same_search(folder, record)
    with _only_one(folder):
        before = read_record(folder)
        # A finished search is over until `trials` grows, so that no worker waits for it.
        over = bool(before and before["over"] and before["trials"] >= trials)
        write_record(folder, record, over=over)
        reporter.log_to(folder / "log.txt")
        names = ", ".join(each.name for each in parameters)
        reporter.log(f"{tuner} over {names}; search {folder}")
        try:
            search(plan, dataset, role, workers=threads, reporter=reporter, on=on)
        except KeyboardInterrupt:
            _summarize(plan, reporter)
            reporter.log("stopped; the same command continues")
            raise
        for trial in folder.glob("trial_*"):
            drop_state(trial)
        best = _summarize(plan, reporter)
        write_record(folder, record, over=True)
    if best is None:
        raise UserError(f"no trial of {folder} has a score: its tuning.html says why")
    return best


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Keeps other searches out of the folder; the workers of this one take no lock."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / LOCK):
            yield
    except LockedError as error:
        raise UserError(
            f"{folder} is being searched by {error}: wait until that ends, or choose another "
            "`name`; docs/tuning.md says how several processes search together"
        ) from None


def _require_keras_tuner() -> None:
    for module in ("keras_tuner", "tensorboard"):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UserError(
                f"`ar3d tune` needs keras-tuner and what it imports ({error}): "
                "`pip install ar3d-keras[tune]`"
            ) from None


def _space(
    config: TrainConfig, file: str | os.PathLike[str] | None, given: Collection[str]
) -> list[Parameter]:
    if file is None:
        return default_space(config, held=given)
    space = make_space(read_space(Path(file)), config, str(file))
    for parameter in space:
        if parameter.option in given:
            raise UserError(
                f"{parameter.name} is searched by `space` {file}: leave `{parameter.option}` out"
            )
    return space


def _summarize(plan: "Search", reporter: Reporter) -> Result | None:
    """Writes the report, and logs and returns the best trial."""
    results = read_results(plan.folder)
    split = plan.record["split"]
    best = write_summary(
        plan.folder,
        plan.config,
        plan.space,
        results,
        about_search(plan.record, plan.folder),
        leak=split["leak"],
        has_leakage=split["has_leakage"],
    )
    if best:
        reporter.log(
            f"best: trial {best.trial}, val top-1 {best.top1:.3f} loss {best.loss:.3f} "
            f"({len(results)} trials, {sum(r.failed for r in results)} failed)"
        )
        reporter.log(f"report      {plan.folder / 'tuning.html'}")
        reporter.log(f"train it    python train.py --config {plan.folder / 'best.json'}")
    return best
