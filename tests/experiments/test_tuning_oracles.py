"""The oracles without a training: how many trials, of what length, and what a kill leaves."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("keras_tuner")

from keras_tuner.engine.trial import TrialStatus

from ar3d_keras.config import TrainConfig
from ar3d_keras.experiments.tuning.oracles import OBJECTIVE, chosen, make_oracle
from ar3d_keras.experiments.tuning.results import Result, ranked
from ar3d_keras.experiments.tuning.space import make_space

# keras-tuner 1.4.8 asks for the thread's name in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:(currentThread|getName).. is deprecated")

SPACE = make_space(
    {
        "model.dense": {"int": [8, 1024], "step": 8},
        "model.pool": {"choice": [[4, 8, 8], [4, 4, 4], None]},
        "recipe.learning_rate": {"float": [1e-5, 1e-1], "log": True},
    },
    TrainConfig(),
    "space",
)


def oracle(folder, tuner="random", trials=6, epochs=4, seed=0):
    return make_oracle(tuner, SPACE, trials=trials, epochs=epochs, seed=seed, folder=folder)


def run(oracle, most=1000):
    """Does up to `most` trials: the score is that of the largest dense layer."""
    done = []
    while len(done) < most and (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        done.append(trial)
        score = chosen(trial, SPACE)["model.dense"] / 1024
        oracle.update_trial(trial.trial_id, {OBJECTIVE: score})
        trial.status = TrialStatus.COMPLETED
        oracle.end_trial(trial)
    return done


@pytest.mark.parametrize("tuner", ["random", "hyperband"])
def test_values_come_from_the_space_and_from_the_seed_alone(tmp_path, tuner):
    first = [chosen(t, SPACE) for t in run(oracle(tmp_path / "a", tuner))]
    again = [chosen(t, SPACE) for t in run(oracle(tmp_path / "b", tuner))]
    other = [chosen(t, SPACE) for t in run(oracle(tmp_path / "c", tuner, seed=1))]
    assert first == again != other
    for values in first:
        assert values["model.dense"] in range(8, 1025, 8)
        assert values["model.pool"] in SPACE[1].values
        assert 1e-5 <= values["recipe.learning_rate"] <= 1e-1


@settings(max_examples=12)
@given(epochs=st.integers(1, 30), trials=st.integers(1, 24))
def test_hyperband_keeps_to_the_trials_and_the_epochs(tmp_path_factory, epochs, trials):
    hyperband = oracle(tmp_path_factory.mktemp("o"), "hyperband", trials, epochs)
    hyperband.save = hyperband._save_trial = lambda *_: None  # files are tested below
    done = run(hyperband)
    assert len(done) == hyperband.planned() <= trials
    for trial in done:
        values = trial.hyperparameters.values
        assert 0 <= values["tuner/initial_epoch"] < values["tuner/epochs"] <= epochs
    if trials >= hyperband._get_size(0, 0):  # a bracket fits in: something trains to the end
        assert any(t.hyperparameters.values["tuner/epochs"] == epochs for t in done)


def test_hyperband_promotes_the_best(tmp_path):
    done = run(oracle(tmp_path / "o", "hyperband", trials=20, epochs=8))
    promoted = [t for t in done if t.hyperparameters.values.get("tuner/trial_id")]
    assert promoted
    first = {t.trial_id: t for t in done}
    for trial in promoted:
        before = first[trial.hyperparameters.values["tuner/trial_id"]].hyperparameters.values
        now = trial.hyperparameters.values
        assert now["tuner/initial_epoch"] == before["tuner/epochs"]
        assert chosen(trial, SPACE) == chosen(first[now["tuner/trial_id"]], SPACE)


@pytest.mark.parametrize(
    "tuner", ["random", "hyperband", pytest.param("bayesian", marks=pytest.mark.slow)]
)
def test_a_search_that_was_killed_goes_on(tmp_path, tuner):
    folder = tmp_path / "a [1]"  # no pattern
    trials = 4 if tuner == "bayesian" else 7  # its fourth is the first that is not random
    whole = [chosen(t, SPACE) for t in run(oracle(tmp_path / "whole", tuner, trials))]
    before = run(oracle(folder, tuner, trials), most=2)
    killed = oracle(folder, tuner, trials)
    killed.resume(chief=False)
    begun = killed.create_trial("tuner0")  # and killed in this one
    after = oracle(folder, tuner, trials)
    after.resume(chief=False)
    rest = run(after)
    assert rest[0].trial_id == begun.trial_id
    assert [chosen(t, SPACE) for t in before + rest][:4] == whole[:4]
    assert len(before + rest) == len(whole)
    assert not list(folder.rglob("*.part*"))


def test_more_trials_go_on_from_a_search_that_was_over(tmp_path):
    assert len(run(oracle(tmp_path / "o", trials=3))) == 3
    more = oracle(tmp_path / "o", trials=12)
    more.resume(chief=False)
    assert more.has_more()
    assert len(run(more)) == 9
    assert not more.has_more()


def test_a_chief_keeps_a_workers_trial_for_it(tmp_path):
    first = oracle(tmp_path / "o")
    held = first.create_trial("tuner7")
    chief = oracle(tmp_path / "o")
    chief.resume(chief=True)
    assert chief.create_trial("tuner8").trial_id != held.trial_id
    assert chief.create_trial("tuner7").trial_id == held.trial_id


def test_failures_in_a_row_do_not_end_a_search(tmp_path):
    failing = oracle(tmp_path / "o", trials=6)
    while (trial := failing.create_trial("tuner0")).status == "RUNNING":
        trial.status, trial.message = TrialStatus.FAILED, "no network"
        failing.end_trial(trial)
    assert len(failing.trials) == 6
    state = json.loads((tmp_path / "o/trial_3/trial.json").read_text())
    assert (state["status"], state["message"]) == ("FAILED", "no network")


@given(
    st.lists(st.tuples(st.integers(0, 7), st.floats(0, 20)), min_size=1, max_size=20),
)
def test_the_score_ranks_by_top1_then_by_loss(outcomes):
    results = [
        Result(
            trial=str(n), values={}, epochs=1, seconds=1, top1=right / 7,
            loss=loss, epoch=1,
        )
        for n, (right, loss) in enumerate(outcomes)
    ]  # fmt: skip
    scores = [result.score(7) for result in ranked(results)]
    assert scores == sorted(scores, reverse=True)
