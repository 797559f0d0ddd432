"""Make the built-in motion data set: eight actions that one frame cannot tell apart.

ar3d demo                      into data/demo, where train.py looks for it
ar3d demo --to FOLDER
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ar3d_keras.cli.options import parse
from ar3d_keras.config import DEMO
from ar3d_keras.console import Console
from ar3d_keras.videos.demo import make_demo_set


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Where it goes."""

    to: Path = DEMO
    """The folder; one that holds the set already is left as it is."""


OPTIONS = DemoOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct."""
    options = parse(DemoOptions, arguments, verb="demo", text=__doc__)
    console = Console()
    console.log(f"{make_demo_set(options.to, console)} is ready")
