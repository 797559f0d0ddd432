"""Train a network on videos without labels; train.py --init-from takes its weights.

ar3d pretrain --data VIDEOS --preset small-data --model compact3d --frames 8          at which speed?
ar3d pretrain --data VIDEOS --preset small-data --model compact3d --task instance     which video is it?
python train.py --data data/mine --preset small-data --model compact3d --frames 8 --init-from pretrained    then, with labels
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ar3d_keras.cli.options import check_not_typed, command, option_names, parse_config
from ar3d_keras.cli.train import NewRun
from ar3d_keras.config import Pretext, TrainConfig
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError

ESSENTIAL = (
    *("data", "task", "attention", "model", "epochs", "preset", "name"),
    *("batch_size", "learning_rate", "seed", "runs_dir"),
)


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(NewRun):
    """The options of train that need no labels, and the task. `data` is a folder of any videos."""

    task: Pretext = "speed"
    """What the network learns. `speed`: 1, 2 or 4; needs videos of 4 times the clip's frames. `instance`: to tell the videos apart. `order`: forward or backward."""
    name: str = "pretrained"
    """The run's folder is RUNS_DIR/NAME. The same command again continues a stopped one."""


OPTIONS = PretrainOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct."""
    options = parse_config(
        PretrainOptions, arguments, verb="pretrain", text=__doc__, essential=ESSENTIAL
    )
    from ar3d_keras.experiments.pretrain import NOT_TAKEN, WHY, pretrain

    check_not_typed(arguments, option_names(PretrainOptions) - set(NOT_TAKEN), WHY)
    if options.data.data is None:
        raise UserError("`data` is missing: name a folder of videos")
    config = TrainConfig(data=options.data, model=options.model, recipe=options.recipe)
    pretrain(
        options.data.data,
        config,
        task=options.task,
        name=options.name,
        runs_dir=options.runs_dir,
        checkpoint_minutes=options.checkpoint_minutes,
        reporter=Console(),
        command=command("pretrain", arguments),
    )
