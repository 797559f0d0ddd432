"""A search: trials that are trained by the package's own trainer and evaluated on val only.

A trial is a run folder, `trial_N`, so it resumes as a run does. A killed trial continues where
its last state was saved. A trial that Hyperband promotes continues from the state of the earlier trial,
bit for bit as if it had never stopped. The test split is not opened.
"""

import dataclasses
import gc
import logging
import math
import shutil
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras_tuner import Oracle
from keras_tuner.engine.trial import Trial, TrialStatus

from ar3d_keras import atomic
from ar3d_keras.config import RecipeConfig, TrainConfig, to_json
from ar3d_keras.devices import number_of, using
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.monitor import rank
from ar3d_keras.experiments.setup import resolve
from ar3d_keras.experiments.tuning.oracles import OBJECTIVE, chosen, make_oracle
from ar3d_keras.experiments.tuning.parallel import Chief, Role, serve
from ar3d_keras.experiments.tuning.ray_search import search_on
from ar3d_keras.experiments.tuning.record import check_same_search, is_over
from ar3d_keras.experiments.tuning.results import Result, ranked, read_result, read_results
from ar3d_keras.experiments.tuning.space import Parameter, shown, with_values
from ar3d_keras.progress import Reporter, Update
from ar3d_keras.runs import RunFolder, read_history
from ar3d_keras.training.trainer import train
from ar3d_keras.videos.dataset import Dataset, clip_shape


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search and its folder.

    Attributes:
        folder: the folder of the search.
        config: the options that all trials share; its epochs are the longest training.
        space: the options that they search.
        tuner: hyperband, bayesian or random.
        trials: the largest number of trials.
        record: the content of search.json, and of each trial's run.json besides its configuration.
        callbacks: further Keras callbacks, for every trial.
        checkpoint_minutes: as for `train`.
    """

    folder: Path
    config: TrainConfig
    space: Sequence[Parameter]
    tuner: str
    trials: int
    record: Mapping[str, Any]
    callbacks: Sequence[keras.callbacks.Callback] = ()
    checkpoint_minutes: float = 10.0

    def oracle(self, *, chief: bool) -> Oracle:
        """The oracle of the search, with the state of a stopped search."""
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

    def run(self, trial: Trial) -> RunFolder:
        """The run folder of a trial."""
        return RunFolder(self.folder / f"trial_{trial.trial_id}")


def search(
    what: Search,
    dataset: Dataset | None,
    role: Role,
    *,
    workers: int,
    reporter: Reporter,
    on: str | None = None,
) -> None:
    """Runs trials until there are no more, alone, as a chief, or as a worker.

    Args:
        what: the search.
        dataset: the train and val videos; None for a chief.
        role: the role of this process.
        workers: the number of decoding threads.
        reporter: shows a bar over the trials, and receives a line for each.
        on: where the trials are trained, see `distributed.workers.check_on`.

    Raises:
        UserError: for a worker, no chief responds, or it has another search; for a chief, the
            address is in use.
        OSError: a file cannot be written; the search can be continued.
        KeyboardInterrupt: the search can be continued.
    """
    # TensorFlow warns about repeated tracing, but every trial needs a network of its own.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    own = what.oracle(chief=role.is_chief)
    with reporter.bar("trials", own.planned(), "trials") as update:
        progress = Progress(what.folder, own.planned(), update, reporter)
        if role.is_chief:
            if not is_over(what.folder) and own.has_more():
                serve(own, role.chief_address, progress.poll, reporter)
            progress.poll()
            return
        videos = 0 if dataset is None else len(dataset.evaluation("val").videos)

        def end(oracle: Oracle | Chief, trial: Trial, result: Result) -> None:
            if result.failed:
                trial.status, trial.message = TrialStatus.FAILED, result.reason
            else:
                oracle.update_trial(trial.trial_id, {OBJECTIVE: result.score(videos)})
                trial.status = TrialStatus.COMPLETED
            oracle.end_trial(trial)
            progress.log_result(result)

        if on is not None:
            search_on(on, what, own, run_trial, end, reporter)
            return
        oracle: Oracle | Chief = own
        if role.is_worker:
            oracle = Chief(own, role.chief_address, lambda: is_over(what.folder), reporter)
            if not oracle.wait():
                return
            check_same_search(what.folder, what.record)
        while (trial := oracle.create_trial(role.name)).status != TrialStatus.STOPPED:
            if trial.status == TrialStatus.IDLE:  # the others must finish first
                time.sleep(0.5)
                continue
            assert dataset is not None, "only a chief has no dataset"
            result = run_trial(what, trial, dataset, workers=workers, on_epoch=progress.on_epoch)
            end(oracle, trial, result)


def run_trial(
    what: Search,
    trial: Trial,
    dataset: Dataset,
    *,
    workers: int,
    on_epoch: Callable[[str, int, int], None],
) -> Result:
    """Trains and evaluates a trial; the result of a finished trial is only read.

    An error becomes the trial's result, with its traceback in the trial's log.txt.

    Args:
        what: the search.
        trial: the trial, with its values.
        dataset: train and val videos.
        workers: decoding threads.
        on_epoch: called with (trial, finished epochs, all epochs) after each epoch.

    Raises:
        OSError: a file cannot be written.
    """
    run = what.run(trial)
    if result := read_result(run.folder):
        return result
    hyperband = trial.hyperparameters.values
    earlier = hyperband.get("tuner/trial_id")
    epochs = hyperband.get("tuner/epochs", what.config.recipe.epochs)
    values = chosen(trial, what.space)
    outcome: dict[str, Any]
    keras.utils.clear_session()  # the networks of earlier trials
    gc.collect()
    begun = time.monotonic()
    log = Reporter()  # a trial's lines go to its own log: there may be thousands of trials
    try:
        config = with_values(what.config, values)
        config.validate()
        config = resolve(config, dataset.split.catalog)
        run.write_record({**what.record, "config": to_json(config)})
        log.log_to(run.log_file)
        if earlier and not run.state.exists():
            _continue_from(RunFolder(what.folder / f"trial_{earlier}"), run)
        with using(number_of(config.recipe.devices, config.recipe.batch_size)):
            train(
                run,
                config,
                dataclasses.replace(dataset, shape=clip_shape(config.data)),
                workers=workers,
                reporter=log,
                splits=("val",),
                until=epochs,
                precision=what.record["precision"],
                checkpoint_minutes=what.checkpoint_minutes,
                callbacks=[*what.callbacks, _EpochCounter(trial.trial_id, epochs, on_epoch)],
            )
        best = _kept(read_history(run.history), config.recipe)
        outcome = {
            "top1": best["val_accuracy"],
            "loss": best["val_loss"],
            "class_mean": best.get("val_class_mean", math.nan),
            "epoch": best["epoch"],
        }
    except OSError:
        raise
    except UserError as error:
        outcome = {"reason": str(error)}
    except Exception as error:  # sizes that the backend rejects, or not enough memory
        log.log(traceback.format_exc())
        first = (str(error).strip() or "no reason given").splitlines()[0]
        outcome = {"reason": f"{type(error).__name__}: {first}"}
    result = Result(
        trial=trial.trial_id,
        values=values,
        epochs=epochs,
        resumed_from=earlier,
        monitor=what.config.recipe.monitor,
        seconds=time.monotonic() - begun,
        **outcome,
    )
    # `train.py --config best.json` trains the best values again and evaluates on test. A trial that
    # Hyperband may promote keeps its state.
    run.best.unlink(missing_ok=True)
    if what.tuner != "hyperband":
        drop_state(run.folder)
    result.write(run.folder)
    return result


def _kept(rows: Sequence[dict[str, float]], recipe: RecipeConfig) -> dict[str, float]:
    """The epoch whose weights a run of this recipe keeps."""
    if recipe.keep == "last":
        return rows[-1]
    return max(rows, key=lambda row: rank(row, recipe.monitor))


def drop_state(trial: Path) -> None:
    """Removes the files that only a resume needs: three times the size of the network."""
    shutil.rmtree(trial / "checkpoints", ignore_errors=True)


def _continue_from(earlier: RunFolder, run: RunFolder) -> None:
    """Copies history and state of an earlier trial, the state last, because a resume needs both.

    If the state was removed when a search finished, the training starts over.
    """
    if not earlier.state.exists():
        return
    with atomic.replacing(run.history) as temporary:
        shutil.copyfile(earlier.history, temporary)
    with atomic.replacing(run.state) as temporary:
        shutil.copyfile(earlier.state, temporary)


class _EpochCounter(keras.callbacks.Callback):
    """Calls `on_epoch(trial, finished epochs, all epochs)` after every epoch."""

    def __init__(self, trial: str, epochs: int, on_epoch: Callable[[str, int, int], None]) -> None:
        super().__init__()
        self.trial, self.epochs, self.on_epoch = trial, epochs, on_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.on_epoch(self.trial, epoch + 1, self.epochs)


class Progress:
    """The bar over all trials, and a line for each trial that ends.

    Args:
        folder: the folder of the search; trials of other processes count too.
        planned: the number of trials.
        update: updates the bar.
        reporter: receives the lines.
    """

    def __init__(self, folder: Path, planned: int, update: Update, reporter: Reporter) -> None:
        self.folder, self.planned, self.update, self.reporter = folder, planned, update, reporter
        self.logged = {result.trial for result in read_results(folder)}
        if self.logged:
            reporter.log(f"{len(self.logged)} trials were finished before")
        self._best = ""
        self._count()

    def _count(self) -> None:
        results = read_results(self.folder)
        self._finished = len(results)
        if best := ranked(results)[:1]:
            self._best = f"best {best[0].top1:.3f} (trial {best[0].trial})"
        self.update(self._finished, self._best)

    def on_epoch(self, trial: str, done: int, epochs: int) -> None:
        """Updates the bar after an epoch of a trial of this process."""
        note = f"{self._best}  trial {trial}: epoch {done}/{epochs}"
        self.update(self._finished + done / epochs, note)

    def poll(self) -> None:
        """Logs the trials that other processes have finished since the last call."""
        for result in read_results(self.folder):
            self.log_result(result)

    def log_result(self, result: Result) -> None:
        """Logs the line of a finished trial, once."""
        if result.trial in self.logged:
            return
        self.logged.add(result.trial)
        self._count()
        if result.failed:
            outcome = f"failed: {result.reason}"
        else:
            outcome = (
                f"val top-1 {result.top1:.3f}  loss {result.loss:.3f}  "
                f"epoch {result.epoch} of {result.epochs}"
            )
        values = "  ".join(f"{name} {shown(value)}" for name, value in result.values.items())
        self.reporter.log(
            f"trial {result.trial} ({len(self.logged)}/{self.planned})  {outcome}   "
            f"{values}   {result.seconds:.0f} s   {self._best}".rstrip()
        )
