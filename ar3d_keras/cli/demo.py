"""Make the built-in motion data set: eight actions that one frame cannot tell apart.

ar3d demo                      into data/demo, where train.py looks for it
ar3d demo --to FOLDER
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ar3d_keras.cli.console import Console
from ar3d_keras.cli.options import parse
from ar3d_keras.videos.demo import is_demo, make_demo, video_names


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Where it goes."""

    to: Path = Path("data/demo")
    """The folder; one that holds the set already is left as it is."""


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can put right."""
    options = parse(DemoOptions, arguments, verb="demo", text=__doc__)
    console = Console()
    console.log(f"{make(options.to, console)} is ready")


def make(folder: Path, console: Console) -> Path:
    """Makes the demo set where it is not there yet, with a progress bar."""
    fresh = not is_demo(folder)
    with console.bar("making demo", len(video_names()), "videos") as update:
        made = make_demo(folder, progress=lambda done, total: update(done))
    if fresh:
        console.log(f"made the demo set, {len(video_names())} videos, in {folder}")
    return made
