"""One run from its options to its report and SavedModel, and the continuation of a stopped one."""

import dataclasses
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from ar3d_keras.config import Preset, TrainConfig, to_json
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.calibration import check_reject_error
from ar3d_keras.experiments import setup
from ar3d_keras.experiments.configure import configure
from ar3d_keras.experiments.evaluate import evaluate_run
from ar3d_keras.experiments.export import export as export_network
from ar3d_keras.experiments.record import make_record
from ar3d_keras.experiments.run import Run
from ar3d_keras.progress import Reporter
from ar3d_keras.reports.callbacks import TensorBoardReport
from ar3d_keras.runs import check_disk_space, check_run_name, create_run, find_run
from ar3d_keras.serving.tensorflow_process import ExporterNotInstalled
from ar3d_keras.training import hardware
from ar3d_keras.training.precision import choose_precision
from ar3d_keras.training.profiling import ProfileSteps
from ar3d_keras.training.trainer import build_network
from ar3d_keras.training.trainer import train as train_network
from ar3d_keras.training.warm_start import find_warm_start, freeze, take_weights
from ar3d_keras.videos.dataset import Dataset
from ar3d_keras.videos.reader import decoding_threads


def train(
    config: TrainConfig | str | os.PathLike[str] | None = None,
    *,
    preset: Preset | None = None,
    name: str | None = None,
    runs_dir: str | os.PathLike[str] = "runs",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    export: bool = True,
    tensorboard: bool = False,
    profile: bool = False,
    reporter: Reporter | None = None,
    command: str | None = None,
    **options: Any,
) -> Run:
    """Trains a network, evaluates it on val and test, and exports it for TF Serving.

    `train(data="data/mine", attention=True, epochs=10)` is
    `python train.py --data data/mine --attention --epochs 10`.

    Args:
        config: a TrainConfig, or the path of a run.json whose options hold.
        preset: `paper`, `demo` or `small-data`. Default: `demo` for the demo set, else `paper`.
        name: the run's folder is `runs_dir`/`name`. Default: date, time and network.
        runs_dir: the folder of all runs.
        callbacks: further Keras callbacks, such as loggers. Their logs include the val and test
            metrics. If a callback has a method `on_report(split: str, metrics: dict, folder:
            Path)`, it is called after training for val and for test, with the content of
            metrics.json and the folder of report.html and confusion.png.
        export: whether to write a SavedModel at the end.
        tensorboard: whether to write TensorBoard event files.
        profile: whether to trace three training steps.
        reporter: receives progress and log lines. Default: prints them.
        command: the command to record. Default: this call.
        options: any option of `python train.py` by its name, e.g. `learning_rate=1e-3`.

    Raises:
        UserError: an option is unknown or out of range, the data cannot be used, or the name is
            taken. Nothing is written in that case.
        KeyboardInterrupt: the run can be continued with `resume`.
    """
    configured = configure(config, preset=preset, **options)
    command = command or _call("train", preset=preset, name=name, **options)
    reporter = reporter or Console()
    folder = Path(runs_dir)
    # Sizes and names are checked before any video is read.
    check_run_name(folder, name)
    _check_tensorboard(tensorboard)
    decoding_threads(configured.data.workers)
    catalog = setup.open_catalog(configured, reporter)
    configured = setup.resolve(configured, catalog)
    precision, reason = choose_precision(configured)
    facts = _check_network(configured, catalog.class_names, precision, folder, reporter)
    check_disk_space(folder, facts["parameters"])
    split = setup.split_videos(configured, catalog)
    check_reject_error(configured.recipe.reject_error, split.sizes["val"])
    setup.log_split(split, reporter)
    dataset = setup.open_split(configured, split, reporter)
    network_name = configured.model.full_name
    run = Run(create_run(folder, name, network_name).folder)
    reporter.log_to(run.log_file)
    run.write_split(split)
    record = make_record(configured, command, dataset, precision)
    record = {**record, **facts, "precision_reason": reason, "export": export}
    run.write_record(record)
    reporter.log(
        f"{network_name}: {facts['parameters']:,} parameters, {precision}"
        f"{f' ({reason})' if reason else ''}, {hardware.backend()}, {hardware.device_name()}; "
        f"run {run.folder}"
    )
    observers = _observers(run, reporter, tensorboard=tensorboard, profile=profile)
    _complete(run, configured, dataset, precision, [*callbacks, *observers], command, reporter)
    return run


def resume(
    run: str | os.PathLike[str] | Run,
    *,
    epochs: int | None = None,
    data: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    runs_dir: str | os.PathLike[str] = "runs",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    tensorboard: bool = False,
    profile: bool = False,
    reporter: Reporter | None = None,
    command: str | None = None,
) -> Run:
    """Continues a run after its last complete epoch, as if it had never been stopped.

    Args:
        run: a run, its folder, or its name under `runs_dir`.
        epochs: a new last epoch. Default: the run's own.
        data: where the videos are now, if they were moved.
        workers: decoding threads. Default: one per core.
        runs_dir: the folder of all runs.
        callbacks: as for `train`.
        tensorboard: as for `train`.
        profile: as for `train`.
        reporter: as for `train`.
        command: as for `train`.

    Raises:
        UserError: there is no such run, or it would continue under other conditions (data,
            backend), which would make it irreproducible.
    """
    reporter = reporter or Console()
    command = command or _call(
        "resume", run=str(run.folder if isinstance(run, Run) else run), epochs=epochs
    )
    found = Run(find_run(run, Path(runs_dir)).folder)
    _check_tensorboard(tensorboard)
    record, before = found.record(), found.config()
    recipe = dataclasses.replace(
        before.recipe, epochs=before.recipe.epochs if epochs is None else epochs
    )
    recipe.validate()
    if recipe.schedule == "cosine" and recipe.epochs != before.recipe.epochs:
        raise UserError(
            f"`epochs` {epochs} would change the learning rates of the epochs already trained, "
            f"because the cosine schedule ends at {before.recipe.epochs}: begin a new run with "
            "`config`"
        )
    if record.get("finished_epochs") == recipe.epochs:
        reporter.log(f"{found.folder} is finished: {found.evaluation('test') / 'report.html'}")
        return found
    root = found.data_root(Path(data) if data is not None else None)
    place = Path(data) if data is not None else before.data.data
    config = dataclasses.replace(
        before,
        data=dataclasses.replace(before.data, data=place, workers=workers),
        recipe=recipe,
    )
    config.validate()
    decoding_threads(workers)
    reporter.log_to(found.log_file)
    split = found.split(root, record["split"]["scheme"])
    dataset = setup.open_split(config, split, reporter)
    precision = record["precision"]  # what `auto` chose when the run began
    hardware.check_precision(precision)
    _check_same_conditions(record, dataset)
    portable = dataclasses.replace(config, data=dataclasses.replace(config.data, workers=None))
    record["config"], record["data"]["root"] = to_json(portable), str(root)
    record.pop("calibration", None)  # of the epochs before
    found.write_record(record)
    observers = _observers(found, reporter, tensorboard=tensorboard, profile=profile)
    _complete(found, config, dataset, precision, [*callbacks, *observers], command, reporter)
    return found


def _check_network(
    config: TrainConfig,
    class_names: Sequence[str],
    precision: str,
    runs_dir: Path,
    reporter: Reporter,
) -> dict[str, Any]:
    """Builds the network once, so that bad sizes fail early; returns facts for the record."""
    network = build_network(config, class_names, precision)
    start = None
    if config.recipe.init_from:
        start = find_warm_start(config.recipe.init_from, runs_dir)
        reporter.log(take_weights(network, start, class_names))
    if config.recipe.freeze:
        reporter.log(freeze(network, config.recipe.freeze))
    return {
        "parameters": network.count_params(),
        "sizes": network.sizes,
        "init_from": start and start.record(),
    }


def _check_same_conditions(record: dict[str, Any], dataset: Dataset) -> None:
    """Resuming under different conditions would make the run irreproducible."""
    skipped = [path for name in dataset.split.sizes for path, _ in dataset.skipped(name)]
    for what, then, now in (
        ("backend", record["backend"], hardware.backend()),
        ("data fingerprint", record["data"]["fingerprint"], dataset.fingerprint),
        ("undecodable videos", [skip["path"] for skip in record["skipped"]], skipped),
    ):
        if then != now:
            raise UserError(
                f"the run began with {what} {then} and would continue with {now}: restore that, or "
                "begin a new run with `config`"
            )


def _complete(
    run: Run,
    config: TrainConfig,
    dataset: Dataset,
    precision: str,
    callbacks: Sequence[keras.callbacks.Callback],
    command: str,
    reporter: Reporter,
) -> None:
    """Trains, evaluates and exports: the same for a new run and a continued one."""
    try:
        train_network(
            run,
            config,
            dataset,
            workers=decoding_threads(config.data.workers),
            reporter=reporter,
            callbacks=callbacks,
            precision=precision,
        )
        for split in ("val", "test"):
            evaluate_run(
                run,
                dataset,
                split,
                workers=decoding_threads(config.data.workers),
                command=command,
                reporter=reporter,
                callbacks=callbacks,
                calibrate=split == "val",
                reject_error=config.recipe.reject_error,
            )
        if run.record().get("export", True):
            try:
                export_network(run, reporter=reporter)
            except ExporterNotInstalled as error:  # the run is complete without a SavedModel
                reporter.log(f"no SavedModel: {error}")
        run.update_record(finished_epochs=config.recipe.epochs)
    except KeyboardInterrupt:
        reporter.log(f"stopped; continue with: python train.py --resume {run.folder}")
        raise


def _check_tensorboard(wanted: bool) -> None:
    if wanted and not importlib.util.find_spec("tensorflow"):
        raise UserError("`tensorboard` writes its files with TensorFlow: `pip install tensorflow`")


def _observers(
    run: Run, reporter: Reporter, *, tensorboard: bool, profile: bool
) -> list[keras.callbacks.Callback]:
    """Callbacks that watch the training and do not change it."""
    observers: list[keras.callbacks.Callback] = []
    if tensorboard:
        observers.append(TensorBoardReport(run.folder / "tensorboard", write_graph=False))
    if profile:
        observers.append(ProfileSteps(run.folder / "profile", reporter))
    return observers


def _call(function: str, **arguments: Any) -> str:
    """A Python call, for the record."""
    given = ", ".join(f"{k}={v!r}" for k, v in arguments.items() if v is not None)
    return f"ar3d_keras.{function}({given})"
