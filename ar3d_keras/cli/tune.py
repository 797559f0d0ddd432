"""Look for good sizes and a good recipe with keras-tuner, judged on val; test is not opened.

ar3d tune --attention --data D --trials 30                   the network's open sizes, the recipe
ar3d tune --attention --data D --space space.json --tuner bayesian
ar3d tune ...                                                the same command again goes on
python train.py --config runs/tune-conv3d-attention/best.json      the best, judged on test
"""

import dataclasses
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ar3d_keras.cli.console import Console, start_backend
from ar3d_keras.cli.options import command, parse
from ar3d_keras.cli.train import DEMO, NewRun, defaults, log_split, record_of
from ar3d_keras.config import TrainConfig, to_json
from ar3d_keras.errors import UserError


@dataclass(frozen=True, kw_only=True)
class TuneOptions(NewRun):
    """The options of train are what all trials have in common; what is given is not searched."""

    trials: int = 20
    """Trials at most; the same command with more goes on."""
    tuner: Literal["hyperband", "bayesian", "random"] = "hyperband"
    """How values are chosen. `hyperband`: many short trainings, the best go on to --epochs. `bayesian`: by a Gaussian process. Both draw the first at random."""
    space: Path | None = None
    """A JSON file that replaces the default search space: "section.option": {"choice": [...]}, {"float": [low, high], "log": true} or {"int": [low, high], "step": n}."""
    name: str | None = None
    """The search's folder is RUNS_DIR/NAME. Default: tune-MODEL."""


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can put right."""
    options = parse(
        TuneOptions,
        arguments,
        verb="tune",
        text=__doc__,
        default=defaults(arguments, TuneOptions()),
    )
    options.validate()
    if options.trials < 1:
        raise UserError(f"--trials {options.trials} must be at least 1")
    _require_keras_tuner()
    console = Console()
    start_backend()
    from ar3d_keras.experiments.tuning.parallel import post

    _tune(options, command("tune", arguments), _typed(arguments), post(), console)


def _require_keras_tuner() -> None:
    for module in ("keras_tuner", "tensorboard"):
        if importlib.util.find_spec(module) is None:
            raise UserError(
                f"`ar3d tune` needs {module}, which is not installed: "
                "pip install keras-tuner tensorboard"
            )


def _typed(arguments: Sequence[str]) -> set[str]:
    """The names of the options that were given."""
    flags = (each.partition("=")[0] for each in arguments if each.startswith("--"))
    names = {flag.removeprefix("--").replace("-", "_") for flag in flags}
    return names | {name.removeprefix("no_") for name in names}


def _tune(options: TuneOptions, typed: str, given: set[str], post, console: Console) -> None:
    from ar3d_keras.cli.demo import make
    from ar3d_keras.experiments.tuning.record import check_same_search, read_record, write_record
    from ar3d_keras.experiments.tuning.search import Search, drop_state, search
    from ar3d_keras.experiments.tuning.space import to_json as space_json
    from ar3d_keras.training import hardware
    from ar3d_keras.videos.dataset import clip_shape, open_data, open_dataset
    from ar3d_keras.videos.reader import decoding_threads
    from ar3d_keras.videos.splits import FOLDS, default_scheme, make_split

    folder = _folder(options)
    config = TrainConfig(data=options.data, model=options.model, recipe=options.recipe)
    space = _space(options, config, given)
    workers = decoding_threads(options.data.workers)
    catalog = open_data(options.data.data if options.data.data else make(DEMO, console))
    start = _warm_start(options)
    split = make_split(
        catalog,
        options.data.split_scheme or default_scheme(catalog),
        seed=options.recipe.seed,
        lists=options.data.split_lists,
        fold=options.data.fold or 1,
        folds=options.data.folds or FOLDS,
    )
    log_split(split, console)
    dataset = open_dataset(
        split,
        clip_shape(options.data),
        workers=workers,
        reporter=console,
        # Test is not opened; and a chief trains nothing.
        splits=("val",) if post.is_chief else ("train", "val"),
    )
    # Where the videos are and how many threads decode them makes no other search.
    same = dataclasses.replace(config.data, data=None, workers=None)
    record = {
        **record_of(config, typed, dataset, hardware.resolve_precision(config.recipe.precision)),
        "init_from": start and start.record(),
        "tuner": options.tuner,
        "space": space_json(space),
        "trials": options.trials,
        "fingerprint": dataset.fingerprint,
        "config": to_json(dataclasses.replace(config, data=same)),
    }
    what = Search(
        folder=folder,
        config=config,
        space=space,
        tuner=options.tuner,
        trials=options.trials,
        record=record,
    )
    if post.is_worker:
        search(what, dataset, post, workers=workers, reporter=console)
        console.log(f"the search is over; its chief sums it up in {folder}")
        return
    check_same_search(folder, record)
    before = read_record(folder)
    # A search that is over stays so until there is a trial to add: no worker waits for it.
    over = bool(before and before["over"] and before["trials"] >= options.trials)
    write_record(folder, record, over=over)
    console.log_to(folder / "log.txt")
    console.log(f"{options.tuner} over {', '.join(each.name for each in space)}; search {folder}")
    try:
        search(what, dataset, post, workers=workers, reporter=console)
    except KeyboardInterrupt:
        _sum_up(what, console)
        console.log("stopped; the same command goes on")
        raise
    for trial in folder.glob("trial_*"):
        drop_state(trial)
    best = _sum_up(what, console)
    write_record(folder, record, over=True)
    if best is None:
        raise UserError(f"no trial of {folder} has a score: tuning.html there says why")


def _folder(options: TuneOptions) -> Path:
    """Where the search is: a plain name under RUNS_DIR."""
    name = options.name
    if name is None:
        return options.runs_dir / (
            f"tune-{options.model.model}" + ("-attention" if options.model.attention else "")
        )
    if name != Path(name).name or name in ("", ".", ".."):
        raise UserError(f"--name {name!r} must be a plain name; --runs-dir says where runs go")
    return options.runs_dir / name


def _space(options: TuneOptions, config: TrainConfig, given: set[str]) -> list:
    from ar3d_keras.experiments.tuning.space import default_space, make_space, read_space

    if options.space is None:
        return default_space(config, held=given)
    space = make_space(read_space(options.space), config, str(options.space))
    for parameter in space:
        if parameter.option in given:
            flag = "--" + parameter.option.replace("_", "-")
            raise UserError(f"{parameter.name} is searched by {options.space}: leave out {flag}")
    return space


def _warm_start(options: TuneOptions):
    from ar3d_keras.training.warm_start import find_warm_start

    source = options.recipe.init_from
    return find_warm_start(source, options.runs_dir) if source else None


def _sum_up(what, console: Console):
    """Writes the summary and says the best trial, which it returns."""
    from ar3d_keras.experiments.tuning.results import read_results
    from ar3d_keras.experiments.tuning.summary import about_search, write_summary

    results = read_results(what.folder)
    split = what.record["split"]
    best = write_summary(
        what.folder,
        what.config,
        what.space,
        results,
        about_search(what.record, what.folder),
        leak=split["leak"],
        has_leakage=split["has_leakage"],
    )
    if best:
        console.log(
            f"best: trial {best.trial}, val top-1 {best.top1:.3f} loss {best.loss:.3f} "
            f"({len(results)} trials, {sum(r.failed for r in results)} failed)"
        )
        console.log(f"report      {what.folder / 'tuning.html'}")
        console.log(f"train it    python train.py --config {what.folder / 'best.json'}")
    return best
