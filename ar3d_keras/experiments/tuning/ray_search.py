"""A search whose trials are trained by the actors of a Ray cluster; this process chooses values."""

import functools
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, Any

from keras_tuner import Oracle
from keras_tuner.engine.trial import Trial, TrialStatus

from ar3d_keras.distributed.workers import WorkerError, open_workers
from ar3d_keras.experiments import setup
from ar3d_keras.experiments.tuning.results import Result
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.reader import decoding_threads

if TYPE_CHECKING:
    from ar3d_keras.experiments.tuning.search import Search

EndTrial = Callable[[Oracle, Trial, Result], None]


class TrialWorker:
    """Trains trials one after the other; a context manager, which opens the videos once.

    Args:
        plan: the search.
        run_trial: `search.run_trial`.
    """

    def __init__(self, plan: "Search", run_trial: Callable[..., Result]):
        self._plan, self._run_trial = plan, run_trial

    def __enter__(self) -> "TrialWorker":
        _, self._dataset = setup.prepare(self._plan.config, Reporter(), ("train", "val"))
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, state: dict[str, Any]) -> Result:
        trial = Trial.from_state(state)
        return self._run_trial(
            self._plan,
            trial,
            self._dataset,
            workers=decoding_threads(None),
            on_epoch=lambda *_: None,
        )


def search_on(
    on: str,
    plan: "Search",
    oracle: Oracle,
    run_trial: Callable[..., Result],
    end_trial: EndTrial,
    reporter: Reporter,
) -> None:
    """Runs trials until there are no more. A trial whose actor dies is continued by another one.

    Args:
        on: see `distributed.workers.check_on`.
        plan: the search; the `workers` of its configuration are the number of actors.
        oracle: chooses the values.
        run_trial: `search.run_trial`.
        end_trial: tells the oracle and the user about a result.
        reporter: logs what happens to actors.
    """
    with open_workers(
        on,
        functools.partial(TrialWorker, plan, run_trial),
        workers=plan.config.data.workers,
        threads=1,
        reporter=reporter,
        network=True,
        name=lambda state: f"trial {state['trial_id']}",
    ) as actors:
        free = [f"ray{number}" for number in range(actors.size)]
        running: dict[Future, tuple[str, Trial]] = {}
        while True:
            status = None
            while free:
                trial = oracle.create_trial(free[-1])
                status = trial.status
                if status in (TrialStatus.STOPPED, TrialStatus.IDLE):
                    break
                running[actors.submit(trial.get_state())] = free.pop(), trial
            if not running:
                if status == TrialStatus.STOPPED:
                    return
                time.sleep(0.5)
                continue
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                name, trial = running.pop(future)
                free.append(name)
                end_trial(oracle, trial, _result(plan, trial, future))


def _result(plan: "Search", trial: Trial, future: Future) -> Result:
    try:
        return future.result()
    except WorkerError as error:
        result = Result(
            trial=trial.trial_id,
            values={},
            epochs=plan.config.recipe.epochs,
            seconds=0.0,
            reason=str(error),
            monitor=plan.config.recipe.monitor,
        )
        result.write(plan.run(trial).folder)
        return result
