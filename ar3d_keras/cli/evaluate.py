"""Judge a trained network on a split: figures, confusion matrix, one HTML report.

python evaluate.py --split val                  the latest run
python evaluate.py --split test --run NAME --clips 10 --crops 3
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ar3d_keras.cli.console import Console, start_backend
from ar3d_keras.cli.options import command, parse
from ar3d_keras.errors import UserError


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Which run, which videos, and how they are looked at."""

    split: Literal["train", "val", "test"] = "test"
    """The split to judge."""
    run: str | None = None
    """A run folder, or a name under RUNS_DIR. Default: the run that was last begun."""
    runs_dir: Path = Path("runs")
    """Where runs are."""
    data: Path | None = None
    """Where the run's data set is now (folder, CSV or a pack of it), if it was moved."""
    clips: int = 1
    """Windows a video, evenly spread; their probabilities are averaged."""
    crops: Literal[1, 3] = 1
    """Crops a window: the centre, or both ends of the longer side too."""
    workers: int | None = None
    """Threads that decode. Default: one per core."""


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can put right."""
    options = parse(EvaluateOptions, arguments, verb="evaluate", text=__doc__)
    if options.clips < 1:
        raise UserError(f"--clips {options.clips} must be at least 1")
    from ar3d_keras.runs import find_run

    run = find_run(options.run, options.runs_dir, needs=["split.csv", "checkpoints/best.keras"])
    record = run.record()
    root = run.data_root(options.data)
    start_backend()
    from ar3d_keras.config import TrainConfig, from_json
    from ar3d_keras.experiments.evaluate import judge
    from ar3d_keras.training import hardware
    from ar3d_keras.videos.dataset import clip_shape, open_dataset
    from ar3d_keras.videos.reader import decoding_threads

    console = Console()
    console.log_to(run.log_file)
    hardware.disable_tf32()
    workers = decoding_threads(options.workers)
    config = from_json(record["config"], TrainConfig(), str(run.folder))
    split = run.split(root, record["split"]["scheme"])
    dataset = open_dataset(
        split, clip_shape(config.data), workers=workers, reporter=console, splits=[options.split]
    )
    judge(
        run,
        dataset,
        options.split,
        clips=options.clips,
        crops=options.crops,
        workers=workers,
        about={"command": command("evaluate", arguments), **hardware.environment_info()},
        reporter=console,
    )
    for sentence in record["split"]["leak"]:
        console.log(sentence)
