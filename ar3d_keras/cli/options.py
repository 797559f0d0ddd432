"""From arguments to typed options: one way for every verb."""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

Options = TypeVar("Options")


def parse(
    kind: type[Options], arguments: Sequence[str], *, verb: str, text: str, default: Any = None
) -> Options:
    """The dataclass `kind` with the values that `arguments` give.

    Args:
        kind: a dataclass; the docstring under a field is its help.
        arguments: without the verb.
        verb: for the usage line.
        text: the help's first lines.
        default: an instance whose values hold where no flag is given.

    Raises:
        SystemExit: 0 after --help, 2 for a flag or value that does not exist.
    """
    given = {} if default is None else {"default": default}
    if {"-h", "--help"} & set(arguments):
        print(text)  # tyro would run the commands together into one paragraph
    return tyro.cli(
        tyro.conf.OmitArgPrefixes[kind],
        prog=program(verb),
        description="",
        args=list(arguments),
        **given,
    )


def peek(arguments: Sequence[str], *flags: str) -> dict[str, str | None]:
    """The values of a few flags, read before the others because their defaults depend on them."""
    found: dict[str, str | None] = dict.fromkeys(flags)
    for place, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        flag = flag.removeprefix("--").replace("_", "-")
        if argument.startswith("--") and flag in found:
            following = arguments[place + 1 : place + 2]
            found[flag] = value or (following[0] if following else None)
    return {flag: None if value == "None" else value for flag, value in found.items()}


def program(verb: str) -> str:
    """How the user started us: `python train.py`, or `ar3d train`."""
    name = Path(sys.argv[0]).name
    return f"python {name}" if re.fullmatch(r"(train|evaluate)\.py", name) else f"ar3d {verb}"


def command(verb: str, arguments: Sequence[str]) -> str:
    """The command as typed, for the record."""
    return shlex.join([*program(verb).split(), *arguments])
