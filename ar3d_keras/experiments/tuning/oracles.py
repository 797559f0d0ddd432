"""keras-tuner's oracles, which choose the values of the next trial.

They keep their state in `oracle.json` and `trial_N/trial.json`, here written atomically.
"""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus
from sklearn.exceptions import ConvergenceWarning

from ar3d_keras import atomic
from ar3d_keras.experiments.tuning.space import Parameter

OBJECTIVE = "score"


class _Resumable(keras_tuner.Oracle):
    """The base of our oracles: atomic writes, and resuming."""

    trials: dict[str, Trial]
    ongoing_trials: dict[str, Trial]
    max_trials: int

    @property
    def file(self) -> Path:
        """The file with the oracle's own state."""
        return Path(self._get_oracle_fname())

    def save(self) -> None:
        atomic.write_json(self.file, self.get_state())

    def _save_trial(self, trial: Trial) -> None:
        file = self.file.parent / f"trial_{trial.trial_id}" / "trial.json"
        atomic.write_json(file, trial.get_state())

    def resume(self, *, chief: bool) -> None:
        """Continues from the files of a stopped search, if there are any.

        Unfinished trials are started again first.

        Args:
            chief: whether workers may still run their trials; each gets its own trial back.
        """
        if not self.file.exists():
            return
        # Oracle.reload uses glob with the folder's name, where `[` would be a pattern.
        for file in sorted(self.file.parent.glob("trial_*/trial.json")):
            trial = Trial.load(str(file))
            self.trials[trial.trial_id] = trial
        self.set_state(json.loads(self.file.read_text(encoding="utf-8")))
        if not chief:
            self.ongoing_trials = {}
        held = {trial.trial_id for trial in self.ongoing_trials.values()}
        begun = {t.trial_id for t in self.trials.values() if t.status == TrialStatus.RUNNING}
        self._retry_queue = sorted(begun - held, reverse=True)  # keras-tuner takes the last one

    def planned(self) -> int:
        """The number of trials of the search if none fails."""
        return self.max_trials

    def has_more(self) -> bool:
        """Whether a trial has not started or not finished yet."""
        begun = self.ongoing_trials or self._retry_queue
        return bool(begun) or len(self.trials) < self.planned()


class RandomSearch(_Resumable, keras_tuner.oracles.RandomSearchOracle):
    """Draws values at random."""


class BayesianOptimization(_Resumable, keras_tuner.oracles.BayesianOptimizationOracle):
    """Draws a quarter of the trials at random, then follows a Gaussian process model of the score."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        with warnings.catch_warnings():
            # The kernel's length scale often ends at a bound with few trials.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return super().populate_space(trial_id)


class Hyperband(_Resumable, keras_tuner.oracles.HyperbandOracle):
    """Starts many short trainings and continues the best ones (Li et al., 2018, arXiv:1603.06560).

    A sweep is a sequence of brackets; the first has the most and the shortest trainings. If a whole
    sweep needs more than `trials` trials, it starts at the first bracket that fits.

    Args:
        trials: the largest number of trials.
        given: the arguments of keras-tuner's HyperbandOracle.
    """

    def __init__(self, *, trials: int, **given: Any) -> None:
        super().__init__(**given)
        self.max_trials = trials
        self.hyperband_iterations = max(1, trials // self._sweep(self._current_bracket))
        while self._current_bracket and self._bracket(self._current_bracket) > trials:
            self._current_bracket -= 1
        self._brackets: list[dict[str, Any]] = []
        self._start_new_bracket()
        first, whole = self._sweep(self._current_bracket), self._sweep(self._get_num_brackets() - 1)
        self._planned = min(trials, first + (self.hyperband_iterations - 1) * whole)

    def _bracket(self, number: int) -> int:
        """The number of trials in a bracket."""
        rounds = range(self._get_num_rounds(number))
        return sum(self._get_size(number, each) for each in rounds)

    def _sweep(self, first: int) -> int:
        """The number of trials in a sweep that starts at bracket `first`."""
        return sum(map(self._bracket, range(first + 1)))

    def set_state(self, state: dict[str, Any]) -> None:
        iterations = self.hyperband_iterations  # `trials` may be larger than before
        super().set_state(state)
        self.hyperband_iterations = iterations

    def planned(self) -> int:
        return self._planned


def make_oracle(
    tuner: str, space: Sequence[Parameter], *, trials: int, epochs: int, seed: int, folder: Path
) -> _Resumable:
    """Makes a new oracle.

    Args:
        tuner: hyperband, bayesian or random.
        space: the options to search.
        trials: the largest number of trials.
        epochs: the epochs of the longest training.
        seed: the seed of the random values.
        folder: the folder of its state.
    """
    given = {
        "objective": keras_tuner.Objective(OBJECTIVE, "max"),
        "hyperparameters": _hyperparameters(space),
        "seed": seed + 1,  # 0 means no seed for keras-tuner
        # A failed trial is recorded, and the search continues.
        "max_consecutive_failed_trials": math.inf,
    }
    if tuner == "hyperband":
        oracle: _Resumable = Hyperband(trials=trials, max_epochs=epochs, **given)
    elif tuner == "bayesian":
        first = max(3, trials // 4)
        oracle = BayesianOptimization(max_trials=trials, num_initial_points=first, **given)
    else:
        oracle = RandomSearch(max_trials=trials, **given)
    oracle.verbose = 0
    oracle._set_project_dir(str(folder.parent), folder.name)
    return oracle


def _hyperparameters(space: Sequence[Parameter]) -> keras_tuner.HyperParameters:
    known = keras_tuner.HyperParameters()
    for each in space:
        if (
            each.kind == "choice"
        ):  # as JSON texts, because keras-tuner allows only values of one type
            known.Choice(each.name, [json.dumps(value) for value in each.values])
        elif each.kind == "float":
            known.Float(
                each.name, *map(float, each.values), sampling="log" if each.log else "linear"
            )
        else:
            known.Int(each.name, *each.values, step=each.step)
    return known


def chosen(trial: Trial, space: Sequence[Parameter]) -> dict[str, Any]:
    """The values of a trial as JSON values, by "section.option"."""
    values: Mapping[str, Any] = trial.hyperparameters.values
    return {
        each.name: json.loads(values[each.name]) if each.kind == "choice" else values[each.name]
        for each in space
    }
