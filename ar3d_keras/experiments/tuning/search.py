"""A search: trials that train with the package's own trainer and are judged on val alone.

A trial is a run folder, `trial_N`, so it resumes as a run does: one that was killed goes on after
its last whole epoch, and one that Hyperband promotes goes on from the state of the trial that it
was, bit for bit as if it had never stopped. The test split is not opened.
"""

import dataclasses
import gc
import logging
import shutil
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras_tuner.engine.trial import Trial, TrialStatus

from ar3d_keras import atomic
from ar3d_keras.config import RecipeConfig, TrainConfig, to_json
from ar3d_keras.errors import UserError
from ar3d_keras.experiments.setup import resolve
from ar3d_keras.experiments.tuning.oracles import OBJECTIVE, chosen, make_oracle
from ar3d_keras.experiments.tuning.parallel import Chief, Post, serve
from ar3d_keras.experiments.tuning.record import check_same_search, is_over
from ar3d_keras.experiments.tuning.results import Result, ranked, read_result, read_results
from ar3d_keras.experiments.tuning.space import Parameter, shown, with_values
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import Run, read_history
from ar3d_keras.training.trainer import train
from ar3d_keras.videos.dataset import Dataset, clip_shape


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched, and where it is written.

    Attributes:
        folder: of the search.
        config: what the trials have in common; its epochs are the longest training.
        space: what they differ in.
        tuner: hyperband, bayesian or random.
        trials: at most.
        record: search.json, and what each trial's run.json says besides its own configuration.
        callbacks: further Keras callbacks, for every trial.
    """

    folder: Path
    config: TrainConfig
    space: Sequence[Parameter]
    tuner: str
    trials: int
    record: Mapping[str, Any]
    callbacks: Sequence[keras.callbacks.Callback] = ()

    def oracle(self, *, chief: bool):
        """The oracle that chooses, where it was stopped."""
        oracle = make_oracle(
            self.tuner,
            self.space,
            trials=self.trials,
            epochs=self.config.recipe.epochs,
            seed=self.config.recipe.seed,
            folder=self.folder,
        )
        oracle.resume(chief=chief)
        return oracle

    def run(self, trial: Trial) -> Run:
        """The run folder of a trial."""
        return Run(self.folder / f"trial_{trial.trial_id}")


def search(
    what: Search, dataset: Dataset | None, post: Post, *, workers: int, reporter: Reporter
) -> None:
    """Runs trials until there are no more, alone, as a chief, or as a worker.

    Args:
        what: the search.
        dataset: its train and val videos; a chief needs none.
        post: what this process is.
        workers: threads that decode.
        reporter: a bar over the trials, and a line for each.

    Raises:
        UserError: as a worker, no chief answers, or it has another search; as a chief, the
            address is taken.
        OSError: a file cannot be written; the search can be continued.
        KeyboardInterrupt: likewise.
    """
    # It warns that functions are traced again and again: a network a trial, as it must be.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    oracle = what.oracle(chief=post.is_chief)
    with reporter.bar("trials", oracle.planned(), "trials") as update:
        progress = Progress(what.folder, oracle.planned(), update, reporter)
        if post.is_chief:
            if not is_over(what.folder) and oracle.has_more():
                serve(oracle, post.address, progress.look, reporter)
            progress.look()
            return
        if post.is_worker:
            oracle = Chief(oracle, post.address, lambda: is_over(what.folder), reporter)
            if not oracle.wait():
                return
            check_same_search(what.folder, what.record)
        while (trial := oracle.create_trial(post.name)).status != TrialStatus.STOPPED:
            if trial.status == TrialStatus.IDLE:  # the others must finish first
                time.sleep(0.5)
                continue
            result = run_trial(what, trial, dataset, workers=workers, moved=progress.moved)
            if result.failed:
                trial.status, trial.message = TrialStatus.FAILED, result.reason
            else:
                score = result.score(len(dataset.evaluation("val").videos))
                oracle.update_trial(trial.trial_id, {OBJECTIVE: score})
                trial.status = TrialStatus.COMPLETED
            oracle.end_trial(trial)
            progress.tell(result)


def run_trial(
    what: Search,
    trial: Trial,
    dataset: Dataset,
    *,
    workers: int,
    moved: Callable[[str, int, int], None],
) -> Result:
    """Trains and judges; a trial that is over already is only read.

    Whatever goes wrong is the trial's result, and its traceback is in the trial's log.txt, except
    that a file cannot be written.

    Args:
        what: the search.
        trial: which.
        dataset: train and val videos.
        workers: threads that decode.
        moved: called with (trial, epochs done, of) after each epoch.
    """
    run = what.run(trial)
    if result := read_result(run.folder):
        return result
    told = trial.hyperparameters.values
    earlier = told.get("tuner/trial_id")
    epochs = told.get("tuner/epochs", what.config.recipe.epochs)
    common = {
        "trial": trial.trial_id,
        "values": chosen(trial, what.space),
        "epochs": epochs,
        "goes_on_from": earlier,
    }
    keras.utils.clear_session()  # the networks of earlier trials
    gc.collect()
    begun = time.monotonic()
    log = Reporter()  # a trial's lines go to its own log: there may be thousands of trials
    try:
        config = with_values(what.config, common["values"])
        config.validate()
        config = resolve(config, dataset.split.catalog)
        run.write_record({**what.record, "config": to_json(config)})
        log.log_to(run.log_file)
        if earlier and not run.state.exists():
            _go_on_from(Run(what.folder / f"trial_{earlier}"), run)
        train(
            run,
            config,
            dataclasses.replace(dataset, shape=clip_shape(config.data)),
            workers=workers,
            reporter=log,
            splits=("val",),
            until=epochs,
            callbacks=[*what.callbacks, _Moved(trial.trial_id, epochs, moved)],
        )
        best = _kept(read_history(run.history), config.recipe)
        outcome = {
            "top1": best["val_accuracy"],
            "loss": best["val_loss"],
            "epoch": best["epoch"],
        }
    except OSError:
        raise
    except UserError as error:
        outcome = {"reason": str(error)}
    except Exception as error:  # sizes that only the backend refuses, or no memory for them
        log.log(traceback.format_exc())
        first = (str(error).strip() or "no reason given").splitlines()[0]
        outcome = {"reason": f"{type(error).__name__}: {first}"}
    result = Result(**common, **outcome, seconds=time.monotonic() - begun)
    # `train.py --config best.json` trains the best again, and opens test; what Hyperband may
    # promote keeps its state.
    run.best.unlink(missing_ok=True)
    if what.tuner != "hyperband":
        drop_state(run.folder)
    result.write(run.folder)
    return result


def _kept(rows: Sequence[dict[str, float]], recipe: RecipeConfig) -> dict[str, float]:
    """The epoch whose network a run of this recipe keeps."""
    if recipe.keep == "last":
        return rows[-1]
    return max(rows, key=lambda row: (row["val_accuracy"], -row["val_loss"]))


def drop_state(trial: Path) -> None:
    """Removes what only a resume needs: three times the network."""
    shutil.rmtree(trial / "checkpoints", ignore_errors=True)


def _go_on_from(earlier: Run, run: Run) -> None:
    """Lets a training go on in another folder; the state, which says so, comes last.

    Where the state is gone, after a search that was over, the same training begins again.
    """
    if not earlier.state.exists():
        return
    with atomic.replacing(run.history) as temporary:
        shutil.copyfile(earlier.history, temporary)
    with atomic.replacing(run.state) as temporary:
        shutil.copyfile(earlier.state, temporary)


class _Moved(keras.callbacks.Callback):
    """Says after every epoch how far a trial is."""

    def __init__(self, trial: str, epochs: int, moved: Callable[[str, int, int], None]):
        super().__init__()
        self.trial, self.epochs, self.moved = trial, epochs, moved

    def on_epoch_end(self, epoch, logs=None):
        self.moved(self.trial, epoch + 1, self.epochs)


class Progress:
    """The bar over all trials, and a line for each that ends.

    Args:
        folder: of the search; other processes' trials are counted too.
        planned: how many trials there will be.
        update: of the bar.
        reporter: says the lines.
    """

    def __init__(self, folder: Path, planned: int, update: Callable, reporter: Reporter):
        self.folder, self.planned, self.update, self.reporter = folder, planned, update, reporter
        self.told = {result.trial for result in read_results(folder)}
        if self.told:
            reporter.log(f"{len(self.told)} trials were finished before")
        self._best = ""
        self._count()

    def _count(self) -> None:
        results = read_results(self.folder)
        self._over = len(results)
        if best := ranked(results)[:1]:
            self._best = f"best {best[0].top1:.3f} (trial {best[0].trial})"
        self.update(self._over, self._best)

    def moved(self, trial: str, done: int, epochs: int) -> None:
        """An epoch of a trial of this process is over."""
        self.update(
            self._over + done / epochs, f"{self._best}  trial {trial}: epoch {done}/{epochs}"
        )

    def look(self) -> None:
        """Tells what other processes finished since."""
        for result in read_results(self.folder):
            self.tell(result)

    def tell(self, result: Result) -> None:
        """The line of a trial that ended, once."""
        if result.trial in self.told:
            return
        self.told.add(result.trial)
        self._count()
        if result.failed:
            told = f"failed: {result.reason}"
        else:
            told = (
                f"val top-1 {result.top1:.3f}  loss {result.loss:.3f}  "
                f"epoch {result.epoch} of {result.epochs}"
            )
        values = "  ".join(f"{name} {shown(value)}" for name, value in result.values.items())
        self.reporter.log(
            f"trial {result.trial} ({len(self.told)}/{self.planned})  {told}   "
            f"{values}   {result.seconds:.0f} s   {self._best}".rstrip()
        )
