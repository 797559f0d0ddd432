"""The folder of all caches."""

import os
from pathlib import Path


def cache_folder() -> Path | None:
    """The folder of this package in the user's cache; None if the user has no home folder."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return home / "ar3d_keras"
