"""Train a network, evaluate it on val and test, and export it for TF Serving.

python train.py --attention                                  the demo set, minutes
python train.py --attention --data data/UCF-101              the paper's recipe, a leak-free split
python train.py --attention --init-from NAME --freeze features gate --data data/mine     fine-tune a run
python train.py --resume                                     continue the run that was stopped last
python train.py --attention --devices all                    on all GPUs of this machine
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ar3d_keras.cli.options import check_not_typed, command, parse_config, typed_names
from ar3d_keras.cli.watched import is_watched, watch
from ar3d_keras.config import Preset, Range, TrainConfig
from ar3d_keras.hosts import find_job

ESSENTIAL = (
    *("data", "attention", "model", "epochs", "preset", "name", "resume"),
    *("batch_size", "learning_rate", "split_scheme", "seed", "runs_dir"),
)
RESUMABLE = {
    *("resume", "epochs", "data", "workers", "devices", "runs_dir", "tensorboard", "profile"),
    *("checkpoint_minutes", "hosts", "process", "wait_seconds"),
}


@dataclass(frozen=True, kw_only=True)
class NewRun(TrainConfig):
    """What a run is made of, and where it goes."""

    config: Path | None = None
    """A run.json whose options hold where no flag is given: repeats a run."""
    preset: Preset | None = None
    """Named options, under those of --config. small-data: up to a few hundred videos. auto: chosen by the data, and explained. Default: demo for the demo set, else paper."""
    runs_dir: Path = Path("runs")
    """The folder of all runs."""
    checkpoint_minutes: Annotated[float, Range(0)] = 10.0
    """Save the state of the training every this many minutes within an epoch, and after every epoch; 0: after every step."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(NewRun):
    """A new run, or the continuation of one."""

    name: str | None = None
    """The run's folder is RUNS_DIR/NAME, which must not exist. Default: date, time and network."""
    resume: str | None = None
    """Continue this run (a path, or a name under RUNS_DIR) from its last state; without a value the unfinished run that was last begun. Takes only --epochs, --workers, --devices, --hosts, --checkpoint-minutes and --data (if it was moved)."""
    export: bool = True
    """Write a SavedModel at the end."""
    hosts: str | None = None
    """Train on several machines, with JAX: HOST:PORT of every process, separated by commas, the first one for the process that writes the run; or `slurm`, inside srun. The same command runs on each machine, and uses all its GPUs."""
    process: Annotated[int, Range(0)] | None = None
    """With --hosts: the number of this process, from 0. Default: that of SLURM or of an indexed Kubernetes Job."""
    wait_seconds: Annotated[float, Range(0, exclude=(0, math.inf))] = 300.0
    """With --hosts: how long to wait for the other processes."""
    tensorboard: bool = False
    """Write TensorBoard event files into the run: `tensorboard --logdir RUNS_DIR`."""
    profile: bool = False
    """Trace three steps of the first epoch: the slowest operations (RUN/profile/operations.txt) and a timeline for ui.perfetto.dev (trace.json.gz)."""


OPTIONS = TrainOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct."""
    arguments = _with_value(arguments)
    if "resume" in typed_names(arguments):
        check_not_typed(
            arguments,
            RESUMABLE,
            "`resume` continues a run as it began, so only --epochs, --workers, --devices, "
            "--hosts, --checkpoint-minutes and --data may be given with it; a new run with other options begins "
            "with --config",
        )
    options = parse_config(TrainOptions, arguments, verb="train", text=__doc__, essential=ESSENTIAL)
    if options.hosts and not is_watched():
        find_job(options.hosts, options.process, options.wait_seconds)
        watch()
        return
    from ar3d_keras.experiments.train import resume, train

    typed_command = command("train", arguments)
    if options.resume is not None:
        typed = typed_names(arguments)
        resume(
            options.resume or None,
            epochs=options.recipe.epochs if "epochs" in typed else None,
            data=options.data.data if "data" in typed else None,
            workers=options.data.workers,
            devices=options.recipe.devices if "devices" in typed else None,
            runs_dir=options.runs_dir,
            tensorboard=options.tensorboard,
            profile=options.profile,
            checkpoint_minutes=options.checkpoint_minutes,
            hosts=options.hosts,
            process=options.process,
            wait_seconds=options.wait_seconds,
            command=typed_command,
        )
    else:
        config = TrainConfig(data=options.data, model=options.model, recipe=options.recipe)
        train(
            config,
            name=options.name,
            runs_dir=options.runs_dir,
            export=options.export,
            tensorboard=options.tensorboard,
            profile=options.profile,
            checkpoint_minutes=options.checkpoint_minutes,
            hosts=options.hosts,
            process=options.process,
            wait_seconds=options.wait_seconds,
            command=typed_command,
        )


def _with_value(arguments: Sequence[str]) -> list[str]:
    """The arguments with an empty value for a --resume that has none."""
    following = [*arguments[1:], "--"]
    return [
        "--resume=" if (each, after[:2]) == ("--resume", "--") else each
        for each, after in zip(arguments, following, strict=True)
    ]
