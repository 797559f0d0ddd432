"""One run from its options to its report and SavedModel, and the continuation of a stopped one."""

import dataclasses
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import keras

from ar3d_keras import atomic
from ar3d_keras.config import Preset, Range, TrainConfig, to_json
from ar3d_keras.devices import number_of, using
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.calibration import check_reject_error
from ar3d_keras.experiments import setup
from ar3d_keras.experiments.configure import configure
from ar3d_keras.experiments.evaluate import evaluate_run
from ar3d_keras.experiments.export import export as export_network
from ar3d_keras.experiments.load import load_network
from ar3d_keras.experiments.record import make_record
from ar3d_keras.experiments.run import Run
from ar3d_keras.experiments.several_hosts import check_job, check_same_work, copy_of, reporter_of
from ar3d_keras.hosts import find_job, is_first, is_joined, joined, leave
from ar3d_keras.progress import Reporter
from ar3d_keras.reports.callbacks import TensorBoardReport
from ar3d_keras.runs import (
    check_disk_space,
    check_run_name,
    create_run,
    find_run,
    unfinished_run,
)
from ar3d_keras.serving.tensorflow_process import ExporterNotInstalled
from ar3d_keras.serving.versions import free_version
from ar3d_keras.training import hardware
from ar3d_keras.training.fine_tuning import freeze, phases
from ar3d_keras.training.precision import choose_precision
from ar3d_keras.training.profiling import ProfileSteps
from ar3d_keras.training.trainer import build_network
from ar3d_keras.training.trainer import train as train_network
from ar3d_keras.training.warm_start import find_warm_start, take_weights
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
    checkpoint_minutes: float = 10.0,
    hosts: str | None = None,
    process: int | None = None,
    wait_seconds: float = 300.0,
    reporter: Reporter | None = None,
    command: str | None = None,
    **options: Any,
) -> Run:
    """Trains a network, evaluates it on val and test, and exports it for TF Serving.

    `train(data="data/mine", attention=True, epochs=10)` is
    `python train.py --data data/mine --attention --epochs 10`.

    Args:
        config: a TrainConfig, or the path of a run.json whose options hold.
        preset: `paper`, `demo`, `small-data` or `auto`. Default: `demo` for the demo set, else
            `paper`.
        name: the run's folder is `runs_dir`/`name`. Default: date, time and network.
        runs_dir: the folder of all runs.
        callbacks: further Keras callbacks, such as loggers. Their logs include the val and test
            metrics. If a callback has a method `on_report(split: str, metrics: dict, folder:
            Path)`, it is called after training for val and for test, with the content of
            metrics.json and the folder of report.html and confusion.png. If it has methods
            `get_state() -> dict` of JSON values and `set_state(dict)`, its counters are kept when
            the run is stopped and resumed.
        export: whether to write a SavedModel at the end.
        tensorboard: whether to write TensorBoard event files.
        profile: whether to trace three training steps.
        checkpoint_minutes: the time between two states that are saved within an epoch, at least 0.
            One is saved after every epoch too.
        hosts: host:port of every process of a training on several machines, or `slurm`; JAX only.
        process: the number of this process; see `hosts.find_job`.
        wait_seconds: how long to wait for the other processes.
        reporter: receives progress and log lines. Default: prints them.
        command: the command to record. Default: this call.
        options: any option of `python train.py` by its name, e.g. `learning_rate=1e-3`.

    Raises:
        UserError: an option is unknown or out of range, the data cannot be used, or the name is
            taken. Nothing is written in that case.
        KeyboardInterrupt: the run can be continued with `resume`.
    """
    configured = configure(config, preset=preset, reporter=reporter, **options)
    Range(0).check("checkpoint_minutes", checkpoint_minutes)
    job = find_job(hosts, process, wait_seconds)
    check_job(job, configured)
    if job and configured.recipe.devices not in (1, "all"):
        raise UserError("`devices` cannot be combined with `hosts`: each of them uses all it has")
    command = command or _call("train", preset=preset, name=name, **options)
    with joined(job):
        return _train(
            configured,
            name=name,
            runs_dir=Path(runs_dir),
            callbacks=callbacks,
            export=export,
            tensorboard=tensorboard,
            profile=profile,
            checkpoint_minutes=checkpoint_minutes,
            reporter=reporter or reporter_of(job),
            command=command,
        )


def _train(
    configured: TrainConfig,
    *,
    name: str | None,
    runs_dir: Path,
    callbacks: Sequence[keras.callbacks.Callback],
    export: bool,
    tensorboard: bool,
    profile: bool,
    checkpoint_minutes: float,
    reporter: Reporter,
    command: str,
) -> Run:
    """See `train`."""
    configured = setup.with_devices(configured)
    folder = runs_dir if is_first() else Path(tempfile.mkdtemp(prefix="ar3d-"))
    # Sizes and names are checked before any video is read.
    check_run_name(folder, name)
    _check_tensorboard(tensorboard)
    decoding_threads(configured.data.workers)
    catalog = setup.open_catalog(configured, reporter)
    configured = setup.resolve(configured, catalog)
    precision, reason = choose_precision(configured)
    facts = _check_network(configured, catalog.class_names, precision, runs_dir, reporter)
    check_disk_space(folder, facts["parameters"])
    split = setup.split_videos(configured, catalog)
    check_reject_error(configured.recipe.reject_error, split.sizes["val"])
    setup.log_split(split, reporter)
    dataset = setup.open_split(configured, split, reporter)
    check_same_work(configured, dataset)
    network_name = configured.model.full_name
    run = Run(create_run(folder, name, network_name).folder)
    with run.locked():
        reporter.log_to(run.log_file)
        run.write_split(split)
        record = make_record(configured, command, dataset, precision)
        record = {**record, **facts, "precision_reason": reason, "export": export}
        run.write_record(record)
        reporter.log(
            f"{network_name}: {facts['parameters']:,} parameters, {precision}"
            f"{f' ({reason})' if reason else ''}, {hardware.backend()}, "
            f"{record['device']}; run {run.folder}"
        )
        observers = _observers(run, reporter, tensorboard=tensorboard, profile=profile)
        _complete(
            run,
            configured,
            dataset,
            precision,
            [*callbacks, *observers],
            command,
            reporter,
            checkpoint_minutes,
        )
    return run


def resume(
    run: str | os.PathLike[str] | Run | None = None,
    *,
    epochs: int | None = None,
    data: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    devices: int | Literal["all"] | None = None,
    runs_dir: str | os.PathLike[str] = "runs",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    tensorboard: bool = False,
    profile: bool = False,
    checkpoint_minutes: float = 10.0,
    hosts: str | None = None,
    process: int | None = None,
    wait_seconds: float = 300.0,
    reporter: Reporter | None = None,
    command: str | None = None,
) -> Run:
    """Continues a run where its last state was saved, as if it had never been stopped.

    A run that was stopped before its first state starts over. One that was stopped while it was
    evaluated or exported finishes that. A finished one is returned as it is.

    Args:
        run: a run, its folder, or its name under `runs_dir`. Default: the unfinished run that was
            last begun and that no process trains; if there is none, the run that was last begun.
        epochs: a new last epoch. Default: the run's own.
        data: where the videos are now, if they were moved.
        workers: decoding threads. Default: one per core.
        devices: devices to train on from here, a number or all. Default: as many as before.
        runs_dir: the folder of all runs.
        callbacks: as for `train`.
        tensorboard: as for `train`.
        profile: as for `train`.
        checkpoint_minutes: as for `train`.
        hosts: as for `train`; every process must see the run's folder.
        process: as for `train`.
        wait_seconds: as for `train`.
        reporter: as for `train`.
        command: as for `train`.

    Raises:
        UserError: there is no such run, another process trains it, or it would continue with other
            data, which would make it irreproducible. Another backend is logged and recorded.
    """
    job = find_job(hosts, process, wait_seconds)
    if job and run is None:
        raise UserError("`hosts` needs the name of the run to resume, the same for all processes")
    reporter = reporter or reporter_of(job)
    Range(0).check("checkpoint_minutes", checkpoint_minutes)
    _check_tensorboard(tensorboard)
    folder = Path(runs_dir)
    found = Run(((unfinished_run(folder) if run is None else None) or find_run(run, folder)).folder)
    command = command or _call("resume", run=str(found.folder), epochs=epochs)
    record, before = found.record(), found.config()
    recipe = dataclasses.replace(
        before.recipe,
        epochs=before.recipe.epochs if epochs is None else epochs,
        devices=before.recipe.devices if devices is None else devices,
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
    decoding_threads(workers)
    root = found.data_root(Path(data) if data is not None else None)
    place = Path(data) if data is not None else before.data.data
    config = dataclasses.replace(
        before,
        data=dataclasses.replace(before.data, data=place, workers=workers),
        recipe=recipe,
    )
    config.validate()
    check_job(job, config)
    with joined(job):
        config = setup.with_devices(config)
        return _resume(
            found if is_first() else copy_of(found),
            config,
            root,
            callbacks=callbacks,
            tensorboard=tensorboard,
            profile=profile,
            checkpoint_minutes=checkpoint_minutes,
            reporter=reporter,
            command=command,
        )


def _resume(
    found: Run,
    config: TrainConfig,
    root: Path,
    *,
    callbacks: Sequence[keras.callbacks.Callback],
    tensorboard: bool,
    profile: bool,
    checkpoint_minutes: float,
    reporter: Reporter,
    command: str,
) -> Run:
    """See `resume`."""
    record, workers = found.record(), config.data.workers
    decoding_threads(workers)
    with found.locked():
        reporter.log_to(found.log_file)
        reporter.log(f"resuming {found.folder}")
        split = found.split(root, record["split"]["scheme"])
        dataset = without_skipped(setup.open_split(config, split, reporter), record)
        check_same_work(config, dataset)
        if record["backend"] != hardware.backend():
            _change_backend(record, config, reporter)
        precision = record["precision"]  # what `auto` chose when the run began
        hardware.check_precision(precision)
        _check_same_conditions(record, dataset)
        portable = dataclasses.replace(config, data=dataclasses.replace(config.data, workers=None))
        record["config"], record["data"]["root"] = to_json(portable), str(root)
        record.pop("calibration", None)  # of the epochs before
        found.write_record(record)
        observers = _observers(found, reporter, tensorboard=tensorboard, profile=profile)
        _complete(
            found,
            config,
            dataset,
            precision,
            [*callbacks, *observers],
            command,
            reporter,
            checkpoint_minutes,
        )
    return found


def _check_network(
    config: TrainConfig,
    class_names: Sequence[str],
    precision: str,
    runs_dir: Path,
    reporter: Reporter,
) -> dict[str, Any]:
    """Builds the network once, so that bad sizes fail early; returns facts for the record."""
    start = None
    if config.recipe.init_from:
        start = find_warm_start(config.recipe.init_from, runs_dir, config.model.model, reporter)
    network = build_network(config, class_names, precision, start)
    if start:
        reporter.log(take_weights(network, start, class_names))
    for phase in phases(config.recipe):
        line = freeze(network, phase.frozen)
        if config.recipe.fine_tune:
            reporter.log(f"epochs {phase.begin + 1} to {phase.end}: {line}")
        elif phase.frozen:
            reporter.log(line)
    return {
        "parameters": network.count_params(),
        "sizes": network.sizes,
        "init_from": start and start.record(),
    }


def without_skipped(dataset: Dataset, record: dict[str, Any]) -> Dataset:
    """A scan without the videos that a run began without.

    One of them may be decodable now, for example because a busy machine was the reason.

    Args:
        dataset: the videos of the run, scanned again.
        record: the content of run.json.
    """
    skipped = {video["path"]: video.get("reason", "") for video in record["skipped"]}
    return dataclasses.replace(dataset, unreadable=skipped | dataset.unreadable)


def _change_backend(record: dict[str, Any], config: TrainConfig, reporter: Reporter) -> None:
    """Notes in a record that the run goes on with another backend, from the same state."""
    before = {name: record[name] for name in ("backend", "precision", "device", "versions")}
    record["earlier_backends"] = [*record.get("earlier_backends", []), before]
    if config.recipe.precision == "auto":  # what was chosen may not work with this backend
        record["precision"], record["precision_reason"] = choose_precision(config)
    record |= {
        "backend": hardware.backend(),
        "device": hardware.device_name(number_of(config.recipe.devices)),
        "versions": hardware.versions(),
    }
    reporter.log(
        f"the run began with {before['backend']} ({before['precision']}) and goes on with "
        f"{record['backend']} ({record['precision']}): the same weights and optimizer, but last digits "
        "and the masks of dropout differ"
    )


def _check_same_conditions(record: dict[str, Any], dataset: Dataset) -> None:
    """Resuming under different conditions would make the run irreproducible."""
    skipped = [path for name in dataset.split.sizes for path, _ in dataset.skipped(name)]
    for what, then, now in (
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
    checkpoint_minutes: float,
) -> None:
    """Trains, evaluates and exports: the same for a new run and a continued one."""
    number = number_of(config.recipe.devices)
    try:
        with using(number):
            train_network(
                run,
                config,
                dataset,
                workers=decoding_threads(config.data.workers),
                reporter=reporter,
                callbacks=callbacks,
                precision=precision,
                checkpoint_minutes=checkpoint_minutes,
            )
        if is_joined():  # the others have nothing more to do
            others_are_done = not is_first()
            leave()
            if others_are_done:
                shutil.rmtree(run.folder.parent)
                return
            number = number_of("all")
        network = load_network(run)  # once, and traced once
        for split in dataset.split.evaluated:
            evaluate_run(
                run,
                dataset,
                split,
                # One clip on val, because the calibration that is fitted there is for predictions.
                clips=config.recipe.test_clips if split == "test" else 1,
                workers=decoding_threads(config.data.workers),
                command=command,
                reporter=reporter,
                callbacks=callbacks,
                calibrate=split == "val",
                reject_error=config.recipe.reject_error,
                devices=number,
                network=network,
            )
        if run.record().get("export", True):
            _export(run, config.recipe.epochs, reporter)
        run.update_record(finished_epochs=config.recipe.epochs)
    except KeyboardInterrupt:
        reporter.log(f"stopped; continue with: python train.py --resume {run.folder}")
        raise


def _export(run: Run, epochs: int, reporter: Reporter) -> None:
    """Writes the SavedModel of these epochs, unless a run that was killed then had written it."""
    begun = run.record().get("saved_model")
    version = int(free_version(run.saved_model).name)
    if begun and begun["epochs"] == epochs and version > begun["version"]:
        return
    atomic.remove_parts(run.saved_model)
    run.update_record(saved_model={"version": version, "epochs": epochs})
    try:
        export_network(run, version=version, reporter=reporter)
    except ExporterNotInstalled as error:  # the run is complete without a SavedModel
        reporter.log(f"no SavedModel: {error}")


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
