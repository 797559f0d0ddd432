"""run.json: everything that a reader of a result, or a repetition of it, must know."""

import dataclasses
import datetime
import subprocess
from pathlib import Path
from typing import Any

from ar3d_keras.config import TrainConfig, to_json
from ar3d_keras.devices import number_of
from ar3d_keras.training import hardware
from ar3d_keras.videos.dataset import Dataset


def make_record(
    config: TrainConfig, command: str, dataset: Dataset, precision: str
) -> dict[str, Any]:
    """The content of a run's run.json.

    Args:
        config: resolved.
        command: the command, or the Python call, that began the run.
        dataset: the videos, scanned.
        precision: the dtype policy of the training.
    """
    split = dataset.split
    catalog = split.catalog
    # The number of decoding threads belongs to the machine, not to the run.
    portable = dataclasses.replace(config, data=dataclasses.replace(config.data, workers=None))
    return {
        "begun": datetime.datetime.now().astimezone().isoformat(),
        "command": command,
        "config": to_json(portable),
        "class_names": list(catalog.class_names),
        "data": {
            "root": str(catalog.root),
            "fingerprint": dataset.fingerprint,
            "videos": len(catalog),
            # Clips of a raw pack equal those of its videos, and so does the fingerprint.
            "pack": str(dataset.pack.settings) if dataset.pack else None,
        },
        "split": {
            "scheme": split.scheme,
            "sizes": split.sizes,
            "leak": split.leak.sentences(),
            "leak_counts": dataclasses.asdict(split.leak),
            "has_leakage": split.leak.has_leakage,
            "notes": list(split.notes),
        },
        "skipped": [
            {"path": path, "split": name, "reason": reason}
            for name in split.sizes
            for path, reason in dataset.skipped(name)
        ],
        "backend": hardware.backend(),
        "precision": precision,
        "device": hardware.device_name(number_of(config.recipe.devices)),
        "versions": hardware.versions(),
        "git_commit": git_commit(),
    }


def git_commit() -> str | None:
    """The commit of this code, with `+` if it was changed since; None outside of its checkout."""
    this_file = Path(__file__)

    def git(*arguments: str) -> str | None:
        done = subprocess.run(
            ["git", "-C", str(this_file.parent), *arguments], capture_output=True, text=True
        )
        return None if done.returncode else done.stdout.strip()

    try:
        # Installed into an environment inside another repository, this file is not tracked there.
        if git("ls-files", "--error-unmatch", this_file.name) is None:
            return None
        commit = git("rev-parse", "HEAD")  # None in a repository without a commit
        return commit and commit + ("+" if git("status", "--porcelain", "..") else "")
    except OSError:  # git is not installed
        return None
