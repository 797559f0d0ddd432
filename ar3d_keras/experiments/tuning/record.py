"""search.json: what a search is, so that the same command goes on and another is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ar3d_keras import atomic
from ar3d_keras.config import TrainConfig, from_json, to_json
from ar3d_keras.errors import UserError

# What makes two commands the same search; `trials` may grow, and data may have moved.
IDENTITY = ("tuner", "space", "config", "fingerprint", "backend", "precision")


def read_record(folder: Path) -> dict[str, Any] | None:
    """search.json, None where no search was begun there.

    Raises:
        UserError: it is damaged.
    """
    file = folder / "search.json"
    if not file.exists():
        return None
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{file} cannot be read ({error}): choose another `name`") from None


def write_record(folder: Path, record: Mapping[str, Any], *, over: bool) -> None:
    """Writes search.json; `over` tells workers that come late."""
    atomic.write_json(folder / "search.json", {**record, "over": over})


def is_over(folder: Path) -> bool:
    """Whether the search is over and summed up."""
    record = read_record(folder)
    return record is not None and record["over"]


def check_same_search(folder: Path, record: Mapping[str, Any]) -> None:
    """Refuses to go on with a search that is not this one.

    Raises:
        UserError: names what differs.
    """
    before = read_record(folder)
    if before is None:
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"{folder} exists and is not a search: choose another `name`")
        return
    for what in IDENTITY:
        then, today = before.get(what), record[what]
        if what == "config":  # options that are newer than the search have their defaults
            then = to_json(from_json(then, TrainConfig(), str(folder / "search.json")))
        if then == today:
            continue
        if what == "config":
            what = "; ".join(
                f"{section}.{option} {then[section][option]} before, now {value}"
                for section, values in today.items()
                for option, value in values.items()
                if then[section][option] != value
            )
        raise UserError(
            f"{folder} is another search ({what} differs): give the same options to go on, "
            "or choose another `name`"
        )
