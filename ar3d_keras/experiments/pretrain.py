"""Training without labels: a network whose weights `init_from` takes."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ar3d_keras.config import Preset, Pretext, Range, TrainConfig, check_choice
from ar3d_keras.console import Console
from ar3d_keras.devices import number_of, using
from ar3d_keras.errors import UserError
from ar3d_keras.experiments.configure import configure
from ar3d_keras.experiments.record import make_record
from ar3d_keras.experiments.run import Run
from ar3d_keras.experiments.setup import limits_of, with_devices
from ar3d_keras.models import network
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import check_disk_space, check_plain_name, create_run, read_history
from ar3d_keras.training.precision import choose_precision
from ar3d_keras.training.trainer import build_network
from ar3d_keras.training.trainer import train as train_network
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.dataset import clip_shape, open_dataset
from ar3d_keras.videos.pretext import PretextDataset, check_task
from ar3d_keras.videos.reader import decoding_threads
from ar3d_keras.videos.splits import Split
from ar3d_keras.videos.unlabelled import find_videos

HELD_OUT = 10  # every tenth video is val, but for the task `instance`
# Options of `train` that need labels, a choice on val, or other weights.
NOT_TAKEN = (
    *("split_scheme", "group_by", "split_by", "split_lists", "fold", "folds", "train_share"),
    *("background", "skip", "allow_outside", "balance", "monitor", "keep", "reject_error"),
    "test_clips",
    *("init_from", "fine_tune", "head_epochs", "layer_decay"),
)
WHY = "pretrain has no labels and starts from random weights"


def pretrain(
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    config: TrainConfig | None = None,
    *,
    task: Pretext = "speed",
    preset: Preset | None = None,
    name: str = "pretrained",
    runs_dir: str | os.PathLike[str] = "runs",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint_minutes: float = 10.0,
    reporter: Reporter | None = None,
    command: str | None = None,
    **options: Any,
) -> Run:
    """Trains a network on videos without labels.

    The same call continues a stopped pretraining. Then `train(init_from=name, ...)` starts a training
    from its weights; the head is new.

    Args:
        data: a folder of videos at any depth, a file, or several. Labels are not used.
        config: a TrainConfig, taken as it is; its `data.data` is not used.
        task: what the network learns; see `videos.pretext.PretextDataset`.
        preset: as for `train`.
        name: the run's folder is `runs_dir`/`name`.
        runs_dir: the folder of all runs.
        callbacks: as for `train`.
        checkpoint_minutes: as for `train`.
        reporter: receives progress and log lines. Default: prints them.
        command: the command to record.
        options: as for `train`, without NOT_TAKEN.

    Raises:
        UserError: as `train`; there is no video that can be decoded; the videos are too short for
            the task; the folder holds another run.
        KeyboardInterrupt: the same call continues.
    """
    check_choice("task", task, Pretext)
    Range(0).check("checkpoint_minutes", checkpoint_minutes)
    for option in NOT_TAKEN:
        if option in options:
            raise UserError(f"`{option}`: {WHY}: leave it out, or use `ar3d train`")
    reporter = reporter or Console()
    check_plain_name(name)
    places = [data] if isinstance(data, str | os.PathLike) else list(data)
    preset = preset or (None if config else "paper")
    configured = configure(config, preset=preset, reporter=reporter, **options)
    configured = with_devices(configured)
    flip = configured.data.flip is not False
    configured = dataclasses.replace(
        configured,
        data=dataclasses.replace(configured.data, data=Path(places[0]), flip=flip),
        recipe=dataclasses.replace(configured.recipe, keep="last"),
    )
    if configured.recipe.init_from:
        raise UserError(f"`init_from`: {WHY}: leave it out")
    if network(configured.model.model).flows:
        raise UserError(
            f"`model` {configured.model.model} needs optical flow, which a pretraining does not compute: set "
            "`model` to another network, such as compact3d"
        )
    workers = decoding_threads(configured.data.workers)
    split = _split(find_videos(places), task, configured.recipe.seed)
    dataset = open_dataset(
        split,
        clip_shape(configured.data),
        workers=workers,
        reporter=reporter,
        splits=[part for part in ("train", "val") if split.sizes[part]],
        clip_segments=configured.data.segments == "clip",
        limits=limits_of(configured.data),
        strict=configured.data.strict,
    )
    pretext = PretextDataset(**vars(dataset), task=task)
    check_task(pretext)
    run = _open_run(Path(runs_dir), name, configured, pretext, command, reporter)
    if run.record().get("finished_epochs") != configured.recipe.epochs:
        with run.locked():
            with using(number_of(configured.recipe.devices)):
                train_network(
                    run,
                    configured,
                    pretext,
                    precision=run.record()["precision"],
                    workers=workers,
                    reporter=reporter,
                    callbacks=callbacks,
                    splits=("val",),
                    checkpoint_minutes=checkpoint_minutes,
                )
            run.update_record(finished_epochs=configured.recipe.epochs)
    last = read_history(run.history)[-1]
    reporter.log(
        f"task {task}: accuracy {last['val_accuracy']:.3f} on val, chance "
        f"{1 / len(pretext.class_names):.3f}; train from it with `--init-from {run.folder}`"
    )
    return run


def _split(catalog: Catalog, task: Pretext, seed: int) -> Split:
    """Training videos, and for tasks that hold for any video some that are held out."""
    assigned: list[str | None] = ["train"] * len(catalog)
    if task != "instance" and len(catalog) > 1:
        order = np.random.default_rng(seed).permutation(len(catalog))
        for place in order[: max(1, len(catalog) // HELD_OUT)]:
            assigned[place] = "val"
    return Split(catalog, f"pretraining ({task})", tuple(assigned))


def _open_run(
    runs_dir: Path,
    name: str,
    config: TrainConfig,
    dataset: PretextDataset,
    command: str | None,
    reporter: Reporter,
) -> Run:
    """The run of this pretraining: a new one, or one that was stopped."""
    folder = runs_dir / name
    before = Run(folder) if (folder / "run.json").is_file() else None
    if before:
        precision, reason = before.record()["precision"], before.record().get("precision_reason")
    else:
        precision, reason = choose_precision(config)
    command = command or f"ar3d_keras.pretrain({str(config.data.data)!r}, task={dataset.task!r})"
    record = {
        **make_record(config, command, dataset, precision),
        "pretext": dataset.task,
        "class_names": list(dataset.class_names),
        "precision_reason": reason,
        "init_from": None,
    }
    if before:
        _check_same(before, record)
        reporter.log_to(before.log_file)
        return before
    built = build_network(config, dataset.class_names, precision)
    check_disk_space(runs_dir, built.count_params())
    run = Run(create_run(runs_dir, name, config.model.full_name).folder)
    reporter.log_to(run.log_file)
    run.write_split(dataset.split)
    run.write_record({**record, "parameters": built.count_params(), "sizes": built.sizes})
    reporter.log(
        f"{config.model.full_name}: {built.count_params():,} parameters; "
        f"{len(dataset.split.videos('train'))} videos without labels; run {run.folder}"
    )
    return run


def _check_same(run: Run, record: Mapping[str, Any]) -> None:
    """Checks that a run is the pretraining that a record describes."""
    before = run.record()
    for what, old, new in (
        ("task", before.get("pretext"), record["pretext"]),
        ("options", _options(before), _options(record)),
        ("videos", before["data"]["fingerprint"], record["data"]["fingerprint"]),
        ("undecodable videos", _skipped(before), _skipped(record)),
    ):
        if old != new:
            raise UserError(
                f"{run.folder} began with other {what}: repeat the command as it was, or choose "
                "another `name`"
            )


def _skipped(record: Mapping[str, Any]) -> list[str]:
    return [video["path"] for video in record["skipped"]]


def _options(record: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a record, but for where the videos are."""
    config = record["config"]
    return {**config, "data": {**config["data"], "data": None}}
