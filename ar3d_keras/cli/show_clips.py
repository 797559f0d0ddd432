"""Draw the clips that training sees: one clip per row, frames from left to right.

ar3d show-clips --data data/mine                                the first clips of epoch 1
ar3d show-clips --crop-scale 0.4 1 --brightness 0.4 --epoch 3   with augmentation, of the demo set
ar3d show-clips --config runs/NAME/run.json --count 16          the clips of a run
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ar3d_keras.cli.options import parse_config
from ar3d_keras.config import Preset, Range, TrainConfig

ESSENTIAL = ("data", "out", "count", "epoch", "config", "preset", "seed")


@dataclass(frozen=True, kw_only=True)
class ShowClipsOptions(TrainConfig):
    """The options of train, and which clips to draw."""

    config: Path | None = None
    """A run.json whose options hold where no flag is given."""
    preset: Preset | None = None
    """Named options, under those of --config. Default: demo for the demo set, else paper."""
    out: Path = Path("clips.png")
    """The picture."""
    count: Annotated[int, Range(1)] = 6
    """Clips to draw, in the order in which training sees them."""
    epoch: Annotated[int, Range(1)] = 1
    """The epoch whose clips are drawn, from 1."""


OPTIONS = ShowClipsOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct."""
    options = parse_config(
        ShowClipsOptions, arguments, verb="show-clips", text=__doc__, essential=ESSENTIAL
    )
    from ar3d_keras.experiments.show_clips import show_clips

    show_clips(
        TrainConfig(data=options.data, model=options.model, recipe=options.recipe),
        out=options.out,
        count=options.count,
        epoch=options.epoch,
    )
