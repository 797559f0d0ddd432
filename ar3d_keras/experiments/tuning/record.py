"""search.json: describes a search, so that only the same command can continue it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ar3d_keras import atomic
from ar3d_keras.config import TrainConfig, from_json, to_json
from ar3d_keras.errors import UserError

LOCK = ".lock"  # held by the process that searches in the folder
# A search is the same if these are equal, and the configuration. `trials` may grow.
IDENTITY = ("tuner", "space", "fingerprint", "backend", "precision")


def read_record(folder: Path) -> dict[str, Any] | None:
    """Reads search.json; None if the folder has none.

    Raises:
        UserError: the file is damaged.
    """
    file = folder / "search.json"
    if not file.exists():
        return None
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{file} cannot be read ({error}): choose another `name`") from None


def write_record(folder: Path, record: Mapping[str, Any], *, over: bool) -> None:
    """Writes search.json; late workers see from `over` that the search has ended."""
    atomic.write_json(folder / "search.json", {**record, "over": over})


def is_over(folder: Path) -> bool:
    """Whether the search is over and its report written."""
    record = read_record(folder)
    return record is not None and record["over"]


def check_same_search(folder: Path, record: Mapping[str, Any]) -> None:
    """Checks that a folder is empty or holds the same search.

    Raises:
        UserError: it holds another search; the message names the differences.
    """
    before = read_record(folder)
    if before is None:
        if folder.exists() and any(file.name != LOCK for file in folder.iterdir()):
            raise UserError(f"{folder} exists and is not a search: choose another `name`")
        return
    # Options that are newer than the search have their defaults.
    config = from_json(before.get("config", {}), TrainConfig(), str(folder / "search.json"))
    before["config"] = to_json(config)
    different = [f"{what} differs" for what in IDENTITY if before.get(what) != record[what]]
    different += _different_options(before["config"], record["config"])
    if different:
        raise UserError(
            f"{folder} is another search ({'; '.join(different)}): give the same options to "
            "continue it, or choose another `name`"
        )


def _different_options(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{section}.{option} {before[section][option]} before, now {value}"
        for section, values in now.items()
        for option, value in values.items()
        if before[section][option] != value
    ]
