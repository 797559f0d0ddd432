"""Search sizes and training recipe with keras-tuner, by val accuracy; test is not opened.

ar3d tune --attention --data D --trials 30                   the network's open sizes, the recipe
ar3d tune --attention --data D --space space.json --tuner bayesian
ar3d tune ...                                                the same command again continues
python train.py --config runs/tune-conv3d-attention/best.json      train the best, evaluate on test
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ar3d_keras.cli.options import command, parse_config, typed_names
from ar3d_keras.cli.train import NewRun
from ar3d_keras.config import Range, TrainConfig

ESSENTIAL = (
    *("data", "attention", "model", "epochs", "preset", "name", "trials", "tuner", "space"),
    *("split_scheme", "seed", "runs_dir"),
)


@dataclass(frozen=True, kw_only=True)
class TuneOptions(NewRun):
    """The options of train, which all trials have in common; an option that is given is not searched."""

    trials: Annotated[int, Range(1)] = 20
    """Largest number of trials; the same command with more continues the search."""
    tuner: Literal["hyperband", "bayesian", "random"] = "hyperband"
    """How values are chosen. `hyperband`: many short trainings; the best of them continue to --epochs. `bayesian`: by a Gaussian process."""
    space: Path | None = None
    """A JSON file that replaces the default search space: "section.option": {"choice": [...]}, {"float": [low, high], "log": true} or {"int": [low, high], "step": n}."""
    on: str | None = None
    """Train the trials on a Ray cluster, several at a time: `ray` (that of RAY_ADDRESS, else a local one) or ray://HOST:PORT. --workers is the number of Ray workers then; default: one per GPU, or per machine without GPUs."""
    name: str | None = None
    """The search's folder is RUNS_DIR/NAME. Default: tune-MODEL."""


OPTIONS = TuneOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct."""
    options = parse_config(TuneOptions, arguments, verb="tune", text=__doc__, essential=ESSENTIAL)
    from ar3d_keras.experiments.tuning.tune import tune

    tune(
        TrainConfig(data=options.data, model=options.model, recipe=options.recipe),
        trials=options.trials,
        tuner=options.tuner,
        space=options.space,
        name=options.name,
        runs_dir=options.runs_dir,
        checkpoint_minutes=options.checkpoint_minutes,
        on=options.on,
        command=command("tune", arguments),
        fixed=typed_names(arguments),
    )
