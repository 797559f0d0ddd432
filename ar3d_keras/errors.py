"""The exceptions for mistakes that the user can correct, and for SIGTERM."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import FrameType


class UserError(ValueError):
    """Raised for input that the user can correct.

    The message is one line: what is wrong, where, and what to do. It names a parameter as Python
    spells it, in backticks (`learning_rate`). The command line shows the message with the flag
    (--learning-rate) in its place and exits with code 2. Any other exception is a bug and keeps its
    traceback.
    """

    @property
    def parameter(self) -> str | None:
        """The first parameter that the message names; None if it names none."""
        found = re.search(r"`([a-z][a-z0-9_]*)`", str(self))
        return found and found.group(1)


@contextlib.contextmanager
def naming(file: Path) -> Iterator[None]:
    """Names the file in an OSError of the block; that of a full disk names none."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(file)
        raise


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: SLURM, Kubernetes and spot machines send it before they end a process."""


def raise_terminated(number: int, frame: FrameType | None) -> None:
    """A handler of SIGTERM."""
    raise Terminated
