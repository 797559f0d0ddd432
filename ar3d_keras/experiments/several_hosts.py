"""What a training on several machines needs besides `hosts`: its checks, and where files go."""

import shutil
import tempfile
from pathlib import Path

from ar3d_keras.config import TrainConfig, to_json
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError
from ar3d_keras.experiments.run import Run
from ar3d_keras.hosts import Job, check_same
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.dataset import Dataset


def check_job(job: Job | None, config: TrainConfig) -> None:
    """Raises UserError for options that several processes cannot train with."""
    if job is None:
        return
    for option in ("mixup", "cutmix"):
        if getattr(config.data, option):
            raise UserError(
                f"`{option}` blends clips of one batch, and each of `hosts` reads only its part: "
                "leave one of them out"
            )


def check_same_work(config: TrainConfig, dataset: Dataset) -> None:
    """Raises UserError if the processes of a training have other options or other videos."""
    sections = to_json(config)
    for machine_dependent in ("data", "workers"):
        sections["data"].pop(machine_dependent)
    check_same("options", sections)
    check_same("videos", dataset.fingerprint, sorted(dataset.unreadable))


def reporter_of(job: Job | None) -> Reporter:
    """Prints to standard output; lines of all but the first process have its number."""
    return Console(prefix=f"[{job.process}] " if job and job.process else "")


def copy_of(run: Run) -> Run:
    """A copy in a temporary folder of what a resume reads, for a process that writes no run."""
    folder = Path(tempfile.mkdtemp(prefix="ar3d-")) / run.name
    unneeded = shutil.ignore_patterns("evaluation", "saved_model", "export", ".lock", "*.part")
    shutil.copytree(run.folder, folder, ignore=unneeded)
    return Run(folder)
