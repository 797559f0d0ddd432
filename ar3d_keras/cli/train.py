"""Train a network, judge it on val and test, and export it for TF Serving.

python train.py --attention                                  the demo set, minutes
python train.py --attention --data data/UCF-101              the paper's recipe, a leak-free split
python train.py --resume NAME                                continue a run that was stopped
"""

import dataclasses
import datetime
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ar3d_keras.cli.console import Console, start_backend
from ar3d_keras.cli.options import command, parse, peek
from ar3d_keras.config import PRESETS, TrainConfig, from_json, to_json
from ar3d_keras.errors import UserError

DEMO = Path("data/demo")


@dataclass(frozen=True, kw_only=True)
class TrainOptions(TrainConfig):
    """What a run is made of, and where it goes."""

    config: Path | None = None
    """A run.json whose options hold where no flag says otherwise: repeats a run."""
    preset: Literal["paper", "demo"] | None = None
    """Named options under those of --config. Default: demo for the demo set, else paper."""
    name: str | None = None
    """The run's folder is exactly RUNS_DIR/NAME, which must not exist. Default: date and model."""
    runs_dir: Path = Path("runs")
    """Where runs go."""
    resume: str | None = None
    """Continue this run (a path, or a name under RUNS_DIR) after its last whole epoch; of the other options only --epochs and --workers may change."""


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can put right."""
    options = parse(
        TrainOptions, arguments, verb="train", text=__doc__, default=_defaults(arguments)
    )
    options.validate()
    console = Console()
    start_backend()
    if options.resume:
        _resume(options, arguments, console)
    else:
        _begin(options, arguments, console)


def _defaults(arguments: Sequence[str]) -> TrainOptions:
    """What holds where no flag is given: the run to resume, or --config over the preset."""
    given = peek(arguments, "config", "preset", "data", "resume", "runs-dir")
    base = TrainOptions()
    if given["resume"]:
        from ar3d_keras.runs import find_run

        run = find_run(given["resume"], Path(given["runs-dir"] or base.runs_dir))
        return from_json(run.record()["config"], base, str(run.folder))
    from ar3d_keras.videos.demo import is_demo
    from ar3d_keras.videos.packs import is_demo_pack

    sections = _read_config(Path(given["config"])) if given["config"] else {}
    data = given["data"] or sections.get("data", {}).get("data")
    demo = data is None or is_demo(Path(data)) or is_demo_pack(Path(data))
    preset = given["preset"] or ("demo" if demo else "paper")
    base = from_json(PRESETS.get(preset, {}), base)
    return from_json(sections, base, given["config"] or "")


def _read_config(file: Path) -> dict:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        return value.get("config", value)
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"--config {file} is not a run.json that can be read: {error}") from None


def _begin(options: TrainOptions, arguments: Sequence[str], console: Console) -> None:
    from ar3d_keras.cli.demo import make
    from ar3d_keras.runs import create_run, refuse_full_disk
    from ar3d_keras.training import hardware
    from ar3d_keras.training.trainer import build_network
    from ar3d_keras.videos.catalog import open_catalog
    from ar3d_keras.videos.dataset import clip_shape, open_dataset
    from ar3d_keras.videos.splits import default_scheme, make_split

    data = options.data
    workers = hardware.decoding_threads(data.workers)
    # At the door: sizes and names are refused before videos are read.
    catalog = open_catalog(data.data if data.data else make(DEMO, console))
    precision = hardware.resolve_precision(options.recipe.precision)
    parameters = build_network(options, catalog.classes, precision).count_params()
    refuse_full_disk(options.runs_dir, parameters)
    split = make_split(
        catalog,
        data.split_scheme or default_scheme(catalog),
        seed=options.recipe.seed,
        lists=data.split_lists,
    )
    _tell_split(split, console)
    dataset = open_dataset(split, clip_shape(data), workers=workers, reporter=console)
    name = options.model.model + ("-attention" if options.model.attention else "")
    run = create_run(options.runs_dir, options.name, name)
    console.log_to(run.log)
    run.write_split(split)
    run.write_record(
        {
            "begun": datetime.datetime.now().astimezone().isoformat(),
            "command": command("train", arguments),
            "config": to_json(TrainConfig(data=data, model=options.model, recipe=options.recipe)),
            "classes": list(catalog.classes),
            "data": {
                "root": str(catalog.root),
                "fingerprint": catalog.fingerprint,
                "videos": len(catalog),
                # From a pack with codec raw the clips are those of the videos, whose
                # fingerprint it has.
                "pack": str(dataset.pack.settings) if dataset.pack else None,
            },
            "split": {
                "scheme": split.scheme,
                "sizes": split.sizes,
                "leak": split.leak.sentences(),
                "leak_counts": dataclasses.asdict(split.leak),
                "leak_is_loud": split.leak.is_loud,
                "notes": list(split.notes),
            },
            "skipped": [
                {"path": path, "split": name, "reason": reason}
                for name in split.sizes
                for path, reason in dataset.skipped(name)
            ],
            "precision": precision,
            "parameters": parameters,
            "device": hardware.device_name(),
            "versions": hardware.versions(),
            "git_commit": _git_commit(),
        }
    )
    console.say(
        f"{name}: {parameters:,} parameters, {precision}, {hardware.backend()}, "
        f"{hardware.device_name()}; run {run.folder}"
    )
    _work(run, options, dataset, workers, command("train", arguments), console)


def _resume(options: TrainOptions, arguments: Sequence[str], console: Console) -> None:
    from ar3d_keras.runs import find_run
    from ar3d_keras.training import hardware
    from ar3d_keras.videos.dataset import clip_shape, open_dataset

    run = find_run(options.resume, options.runs_dir)
    record = run.record()
    before = from_json(record["config"], TrainConfig(), str(run.folder))
    free = dataclasses.replace(
        before,
        data=dataclasses.replace(before.data, workers=options.data.workers),
        recipe=dataclasses.replace(before.recipe, epochs=options.recipe.epochs),
    )
    now = TrainConfig(data=options.data, model=options.model, recipe=options.recipe)
    if now != free:
        raise UserError(
            f"--resume {options.resume} continues the run as it was begun, so only --epochs and "
            "--workers may change: leave the other options out, or begin a new run with --config"
        )
    console.log_to(run.log)
    workers = hardware.decoding_threads(options.data.workers)
    split = run.split(Path(record["data"]["root"]), record["split"]["scheme"])
    dataset = open_dataset(split, clip_shape(now.data), workers=workers, reporter=console)
    run.write_record({**record, "config": to_json(now)})
    _work(run, now, dataset, workers, command("train", arguments), console)


def _work(run, config: TrainConfig, dataset, workers: int, typed: str, console: Console) -> None:
    """Train, judge, export: the same for a new run and a continued one."""
    from ar3d_keras.evaluation.judge import judge
    from ar3d_keras.serving.export import export_saved_model
    from ar3d_keras.training import hardware
    from ar3d_keras.training.trainer import train

    try:
        train(run, config, dataset, workers=workers, reporter=console)
    except KeyboardInterrupt:
        console.say(f"stopped; continue with: python train.py --resume {run.folder}")
        raise
    for split in ("val", "test"):
        about = {"command": typed, **hardware.here()}
        judge(run, dataset, split, workers=workers, about=about, reporter=console)
    version = export_saved_model(run.best, run.saved_model, dataset.classes)
    console.say(f"SavedModel  {version}")


def _tell_split(split, console: Console) -> None:
    sizes = ", ".join(f"{count} {name}" for name, count in split.sizes.items())
    console.say(f"{split.catalog.root}: {len(split.catalog.classes)} classes; {sizes}")
    console.say(f"split scheme {split.scheme}. " + " ".join(split.leak.sentences()))
    for note in split.notes:
        console.say(note)


def _git_commit() -> str | None:
    """The commit of the code, with `+` where it was changed since; None outside a checkout."""
    here = Path(__file__).parent
    try:
        git = ["git", "-C", str(here)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run([*git, "status", "--porcelain", "."], capture_output=True)
    except OSError:
        return None
    return head.stdout.strip() + ("+" if changed.stdout else "") if not head.returncode else None
