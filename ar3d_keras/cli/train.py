"""Train a network, judge it on val and test, and export it for TF Serving.

python train.py --attention                                  the demo set, minutes
python train.py --attention --data data/UCF-101              the paper's recipe, a leak-free split
python train.py --init-from NAME --freeze features gate --data data/mine     fine-tune a run
python train.py --resume NAME                                continue a run that was stopped
"""

import dataclasses
import datetime
import importlib.util
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ar3d_keras.cli.console import Console, start_backend
from ar3d_keras.cli.options import Options, command, parse, peek
from ar3d_keras.config import TrainConfig, from_json, to_json, with_preset
from ar3d_keras.errors import UserError

DEMO = Path("data/demo")


@dataclass(frozen=True, kw_only=True)
class NewRun(TrainConfig):
    """What a run is made of, and where it goes."""

    config: Path | None = None
    """A run.json whose options hold where no flag says otherwise: repeats a run."""
    preset: Literal["paper", "demo", "small-data"] | None = None
    """Named options under those of --config. Default: demo for the demo set, else paper."""
    runs_dir: Path = Path("runs")
    """Where runs go."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(NewRun):
    """A new run, or one that goes on."""

    name: str | None = None
    """The run's folder is exactly RUNS_DIR/NAME, which must not exist. Default: date and model."""
    resume: str | None = None
    """Continue this run (a path, or a name under RUNS_DIR) after its last whole epoch; of the other options only --epochs, --workers and --data (where it moved to) may change."""
    tensorboard: bool = False
    """Also write TensorBoard's event files into the run: `tensorboard --logdir RUNS_DIR`."""
    profile: bool = False
    """Trace three steps of the first epoch: which operations take longest (RUN/profile/operations.txt), and the time line (trace.json.gz, for ui.perfetto.dev)."""


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can put right."""
    options = parse(
        TrainOptions,
        arguments,
        verb="train",
        text=__doc__,
        default=_resumed(arguments) or defaults(arguments, TrainOptions()),
    )
    options.validate()
    if options.tensorboard and not importlib.util.find_spec("tensorflow"):
        raise UserError("--tensorboard writes its files with TensorFlow: pip install tensorflow")
    console = Console()
    start_backend()
    typed = command("train", arguments)
    if options.resume:
        resume(options, typed, console)
    else:
        begin(options, typed, console)


def _resumed(arguments: Sequence[str]) -> TrainOptions | None:
    """The options of the run to resume."""
    given = peek(arguments, "resume", "runs-dir")
    if not given["resume"]:
        return None
    from ar3d_keras.runs import find_run

    base = TrainOptions()
    run = find_run(given["resume"], Path(given["runs-dir"] or base.runs_dir))
    return from_json(run.record()["config"], base, str(run.folder))


def defaults(arguments: Sequence[str], base: Options) -> Options:
    """What holds where no flag is given: --config over the preset over `base`.

    Args:
        arguments: as typed.
        base: the defaults of a verb whose options are a TrainConfig and have `preset`.
    """
    from ar3d_keras.videos.demo import is_demo
    from ar3d_keras.videos.packs import is_demo_pack

    given = peek(arguments, "config", "preset", "data", "model")
    sections = _read_config(Path(given["config"])) if given["config"] else {}
    configured = from_json(sections, base, given["config"] or "")
    data = given["data"] or configured.data.data
    demo = data is None or is_demo(Path(data)) or is_demo_pack(Path(data))
    preset = given["preset"] or ("demo" if demo else "paper")
    model = given["model"] or configured.model.model
    base = with_preset(dataclasses.replace(base, preset=preset), preset, model)
    return from_json(sections, base, given["config"] or "")


def _read_config(file: Path) -> dict:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        value = value.get("config", value)
        return dict(value)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"--config {file} is not a run.json that can be read: {error}") from None


def begin(options: TrainOptions, typed: str, console: Console, again: str | None = None) -> None:
    """Makes a run, trains, judges and exports.

    Args:
        options: with values that hold together (`validate`).
        typed: the command, for the record.
        console: shows what is done.
        again: how to go on, told where it is stopped. Default: --resume.
    """
    from ar3d_keras.cli.demo import make
    from ar3d_keras.runs import check_disk_space, check_run_name, create_run
    from ar3d_keras.training import hardware
    from ar3d_keras.training.trainer import build_network, with_flow
    from ar3d_keras.training.warm_start import find_warm_start, freeze, take_weights
    from ar3d_keras.videos.dataset import clip_shape, open_data, open_dataset
    from ar3d_keras.videos.reader import decoding_threads
    from ar3d_keras.videos.splits import FOLDS, default_scheme, make_split

    options = with_flow(options)
    data = options.data
    workers = decoding_threads(data.workers)
    # At the door: sizes and names are refused before videos are read.
    check_run_name(options.runs_dir, options.name)
    catalog = open_data(data.data if data.data else make(DEMO, console))
    precision = hardware.resolve_precision(options.recipe.precision)
    network = build_network(options, catalog.class_names, precision)
    start = None
    if options.recipe.init_from:
        start = find_warm_start(options.recipe.init_from, options.runs_dir)
        console.log(take_weights(network, start, catalog.class_names))
    if options.recipe.freeze:
        console.log(freeze(network, options.recipe.freeze))
    facts = {"parameters": network.count_params(), "sizes": network.sizes}
    del network  # training builds its own
    check_disk_space(options.runs_dir, facts["parameters"])
    split = make_split(
        catalog,
        data.split_scheme or default_scheme(catalog),
        seed=options.recipe.seed,
        lists=data.split_lists,
        fold=data.fold or 1,
        folds=data.folds or FOLDS,
    )
    log_split(split, console)
    dataset = open_dataset(split, clip_shape(data), workers=workers, reporter=console)
    name = options.model.model + ("-attention" if options.model.attention else "")
    run = create_run(options.runs_dir, options.name, name)
    console.log_to(run.log_file)
    run.write_split(split)
    facts["init_from"] = start and start.record()
    run.write_record(record_of(options, typed, dataset, precision) | facts)
    console.log(
        f"{name}: {facts['parameters']:,} parameters, {precision}, {hardware.backend()}, "
        f"{hardware.device_name()}; run {run.folder}"
    )
    _work(run, options, dataset, workers, typed, console, again)


def record_of(config: TrainConfig, typed: str, dataset, precision: str) -> dict[str, object]:
    """run.json: everything that a reader of the result, or a repetition, must know."""
    from ar3d_keras.training import hardware

    split = dataset.split
    catalog = split.catalog
    return {
        "begun": datetime.datetime.now().astimezone().isoformat(),
        "command": typed,
        "config": to_json(TrainConfig(data=config.data, model=config.model, recipe=config.recipe)),
        "classes": list(catalog.class_names),
        "data": {
            "root": str(catalog.root),
            "fingerprint": dataset.fingerprint,
            "videos": len(catalog),
            # From a pack with codec raw the clips are those of the videos, whose fingerprint it has.
            "pack": str(dataset.pack.settings) if dataset.pack else None,
        },
        "split": {
            "scheme": split.scheme,
            "sizes": split.sizes,
            "leak": split.leak.sentences(),
            "leak_counts": dataclasses.asdict(split.leak),
            "has_leakage": split.leak.has_leakage,
            "notes": list(split.notes),
        },
        "skipped": [
            {"path": path, "split": name, "reason": reason}
            for name in split.sizes
            for path, reason in dataset.skipped(name)
        ],
        "backend": hardware.backend(),
        "precision": precision,
        "device": hardware.device_name(),
        "versions": hardware.versions(),
        "git_commit": _git_commit(),
    }


def resume(options: TrainOptions, typed: str, console: Console, again: str | None = None) -> None:
    """Continues the run `options.resume` as it was begun; see `begin` for the rest."""
    from ar3d_keras.runs import find_run
    from ar3d_keras.training import hardware
    from ar3d_keras.videos.dataset import clip_shape, open_dataset
    from ar3d_keras.videos.reader import decoding_threads

    run = find_run(options.resume, options.runs_dir)
    record = run.record()
    before = from_json(record["config"], TrainConfig(), str(run.folder))
    now = TrainConfig(data=options.data, model=options.model, recipe=options.recipe)
    free = dataclasses.replace(
        before,
        data=dataclasses.replace(before.data, workers=now.data.workers, data=now.data.data),
        recipe=dataclasses.replace(before.recipe, epochs=now.recipe.epochs),
    )
    if now != free:
        raise UserError(
            f"--resume {options.resume} continues the run as it was begun, so only --epochs, "
            "--workers and --data (where it moved to) may change: leave the other options out, "
            "or begin a new run with --config"
        )
    if now.recipe.schedule == "cosine" and now.recipe.epochs != before.recipe.epochs:
        raise UserError(
            f"--epochs {now.recipe.epochs} would change the learning rates of the epochs that the "
            f"run has behind it, for its cosine ends at {before.recipe.epochs}: begin a new run "
            "with --config"
        )
    root = run.data_root(now.data.data if now.data.data != before.data.data else None)
    workers = decoding_threads(now.data.workers)
    console.log_to(run.log_file)
    split = run.split(root, record["split"]["scheme"])
    dataset = open_dataset(split, clip_shape(now.data), workers=workers, reporter=console)
    _check_same_conditions(record, dataset, hardware.resolve_precision(now.recipe.precision))
    record["config"], record["data"]["root"] = to_json(now), str(root)
    run.write_record(record)
    _work(run, options, dataset, workers, typed, console, again)


def _check_same_conditions(record: dict, dataset, precision: str) -> None:
    """A run that goes on elsewhere would be no run that anybody could repeat."""
    from ar3d_keras.training.hardware import backend

    skipped = [path for name in dataset.split.sizes for path, _ in dataset.skipped(name)]
    for what, then, today in (
        ("backend", record["backend"], backend()),
        ("precision", record["precision"], precision),
        ("data's fingerprint", record["data"]["fingerprint"], dataset.fingerprint),
        ("undecodable videos", [skip["path"] for skip in record["skipped"]], skipped),
    ):
        if then != today:
            raise UserError(
                f"the run was begun with {what} {then} and would go on with {today}: "
                "put that back, or begin a new run with --config"
            )


def _work(
    run,
    options: TrainOptions,
    dataset,
    workers: int,
    typed: str,
    console: Console,
    again: str | None,
) -> None:
    """Train, judge, export: the same for a new run and a continued one."""
    from ar3d_keras.experiments.evaluate import judge
    from ar3d_keras.experiments.export import export_run
    from ar3d_keras.training import hardware
    from ar3d_keras.training.trainer import train

    try:
        train(
            run,
            options,
            dataset,
            workers=workers,
            reporter=console,
            callbacks=_observers(run, options, console),
        )
        hardware.disable_tf32()
        for split in ("val", "test"):
            about = {"command": typed, **hardware.environment_info()}
            judge(run, dataset, split, workers=workers, about=about, reporter=console)
        export_run(run, reporter=console)
    except KeyboardInterrupt:
        console.log(f"stopped; continue with: {again or f'python train.py --resume {run.folder}'}")
        raise


def _observers(run, options: TrainOptions, console: Console) -> list:
    """The callbacks that only look on."""
    observers = []
    if options.tensorboard:
        import keras

        observers.append(keras.callbacks.TensorBoard(run.folder / "tensorboard", write_graph=False))
    if options.profile:
        from ar3d_keras.training.profiling import ProfileSteps

        observers.append(ProfileSteps(run.folder / "profile", console))
    return observers


def log_split(split, console: Console) -> None:
    """Says what the split is and what it leaks."""
    sizes = ", ".join(f"{count} {name}" for name, count in split.sizes.items())
    console.log(f"{split.catalog.root}: {len(split.catalog.class_names)} classes; {sizes}")
    console.log(f"split scheme {split.scheme}. " + " ".join(split.leak.sentences()))
    for note in split.notes:
        console.log(note)


def _git_commit() -> str | None:
    """The commit of the code, with `+` where it was changed since; None outside its checkout."""
    source_file = Path(__file__)
    git = ["git", "-C", str(source_file.parent)]

    def ask(*arguments: str) -> str | None:
        done = subprocess.run([*git, *arguments], capture_output=True, text=True)
        return None if done.returncode else done.stdout.strip()

    try:
        # Installed into an environment inside somebody's repository, git does not know this file.
        if ask("ls-files", "--error-unmatch", source_file.name) is None:
            return None
        return ask("rev-parse", "HEAD") + ("+" if ask("status", "--porcelain", "..") else "")
    except OSError:  # no git
        return None
