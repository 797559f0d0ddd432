"""The folder that TF Serving watches: every subfolder whose name is a number is a version."""

from pathlib import Path

from ar3d_keras.atomic import in_the_way
from ar3d_keras.errors import UserError


def free_version(folder: Path, version: int | None = None) -> Path:
    """Returns the folder of a new version without creating it.

    Args:
        folder: of the versions; it need not exist.
        version: at least 1; None: the highest version in `folder` plus 1.

    Raises:
        UserError: the version exists or is invalid, or `folder` is a file or lies below one.
    """
    if file := in_the_way(folder):
        raise UserError(f"{file} is a file: `to` must be a folder for versions")
    existing = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    following = max(existing, default=0) + 1
    if version is None:
        version = following
    if not 0 < version < 2**63:  # the server ignores other numbers
        raise UserError(f"`version` must be at least 1 and below 2^63, not {version}")
    if version in existing:
        raise UserError(
            f"{folder / str(version)} exists, and a version is never overwritten because a server "
            f"may use it: leave out `version` to write version {following}"
        )
    return folder / str(version)
