"""The folder that TF Serving watches: every subfolder whose name is a number is a version."""

from pathlib import Path

from ar3d_keras.atomic import in_the_way
from ar3d_keras.errors import UserError


def free_version(folder: Path, version: int | None = None) -> Path:
    """The folder that a new version will have; nothing is made.

    Args:
        folder: of the versions; it need not exist.
        version: at least 1; None: the highest in `folder` plus 1.

    Raises:
        UserError: the version exists or is none, or `folder` is or lies below a file.
    """
    if file := in_the_way(folder):
        raise UserError(f"{file} is a file: --to takes the folder of the versions")
    there = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    following = max(there, default=0) + 1
    if version is None:
        version = following
    if not 0 < version < 2**63:  # the server passes over other numbers
        raise UserError(f"--version {version} must be at least 1, and below 2^63")
    if version in there:
        raise UserError(
            f"{folder / str(version)} exists, and a version is never changed, for a server may be "
            f"using it: leave --version out for {following}"
        )
    return folder / str(version)
