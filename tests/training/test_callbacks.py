"""The callbacks in somebody else's model.fit, with nothing else of this package."""

import csv
import json
import types

import keras
import numpy as np
import pytest

from ar3d_keras import (
    BestNetwork,
    ConfusionMatrixReport,
    Conv3DClassifier,
    CurvesPlot,
    HistoryCSV,
    SplitMetrics,
    UserError,
    load_model,
)
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import RunFolder, columns, read_history
from ar3d_keras.training.callbacks import EarlyStop, EpochRate, StopOnNaN, UnreadableVideoLogger
from ar3d_keras.training.run_state import RunState, Saved, restore

NAMES = ["dark", "middle", "bright"]


def data(videos=24, seed=0):
    """Clips that their brightness classifies."""
    random = np.random.default_rng(seed)
    labels = np.arange(videos) % 3
    clips = random.integers(0, 60, (videos, 2, 4, 4, 3)) + 90 * labels[:, None, None, None, None]
    return clips.astype(np.uint8), labels


def batches(videos, seed):
    clips, labels = data(videos, seed)
    return [(clips[i : i + 5], labels[i : i + 5]) for i in range(0, videos, 5)]


def network(dropout=0.0):
    model = Conv3DClassifier(
        3, frames=2, height=4, width=4, filters=4, pool=(2, 4, 4), dense=8, dropout=dropout
    )
    model.compile(
        keras.optimizers.Adam(1e-2),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model


def rows(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.usefixtures("eagerly")
def test_curves_history_and_report_from_a_plain_fit(tmp_path):
    model = network()
    model.fit(
        *data(),
        epochs=3,
        verbose=0,
        callbacks=[
            SplitMetrics({"val": batches(12, 1), "test": batches(9, 2)}),
            HistoryCSV(tmp_path / "history.csv"),
            CurvesPlot(tmp_path / "curves.png"),
            ConfusionMatrixReport(batches(9, 2), NAMES, tmp_path / "report", {"dataset": "made"}),
        ],
    )
    history = rows(tmp_path / "history.csv")
    assert [row["epoch"] for row in history] == ["1", "2", "3"]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    metrics = json.loads((tmp_path / "report/metrics.json").read_text())
    assert metrics["videos"] == 9 and metrics["dataset"] == "made"
    assert (tmp_path / "report/report.html").is_file()
    assert (tmp_path / "report/confusion.png").is_file()
    # The last line of the history, the report, and Keras's own evaluate say the same.
    loss, accuracy = model.evaluate(*data(9, 2), verbose=0)
    assert float(history[-1]["test_loss"]) == pytest.approx(loss, rel=1e-4)
    assert float(history[-1]["test_accuracy"]) == metrics["top1"] == pytest.approx(accuracy)


@pytest.mark.usefixtures("eagerly")
def test_the_logs_reach_keras_history():
    history = network().fit(
        *data(), epochs=2, verbose=0, callbacks=[SplitMetrics({"val": batches(6, 1)})]
    )
    assert len(history.history["val_top5"]) == 2


def test_the_best_network_by_val_accuracy_is_kept_in_float32(tmp_path):
    model = network()
    float32_model = network()
    scores = iter([(0.5, 1.0), (0.7, 0.9), (0.7, 0.8), (0.6, 0.1)])
    kept = []

    class Script(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_accuracy"], logs["val_loss"] = next(scores)

    class Spy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kept.append(model.get_weights())

    file = tmp_path / "best.keras"
    model.fit(
        *data(), epochs=4, verbose=0, callbacks=[Script(), Spy(), BestNetwork(file, float32_model)]
    )
    for best, expected in zip(load_model(file).get_weights(), kept[2], strict=True):
        np.testing.assert_array_equal(best, expected)  # the tie goes to the lower loss


def test_or_the_last_network_is_kept(tmp_path):
    model, file = network(), tmp_path / "best.keras"
    callback = BestNetwork(
        file, network(), rows=[{"val_accuracy": 0.9, "val_loss": 0.1}], last=True
    )
    callback.set_model(model)
    callback.on_epoch_end(1, {"val_accuracy": 0.1, "val_loss": 3.0})
    for kept, expected in zip(load_model(file).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, expected)


def test_a_continued_run_remembers_the_best(tmp_path):
    model = network()
    file = tmp_path / "best.keras"
    callback = BestNetwork(file, network(), rows=[{"val_accuracy": 0.9, "val_loss": 0.1}])
    callback.set_model(model)
    callback.on_epoch_end(1, {"val_accuracy": 0.8, "val_loss": 0.1})
    assert not file.exists()
    callback.on_epoch_end(2, {"val_accuracy": 0.9, "val_loss": 0.05})
    assert file.exists()


SCORES = [(0.5, 1.0), (0.7, 0.9), (0.7, 0.9), (0.7, 0.8), (0.6, 0.1), (0.7, 0.8), (0.9, 0.1)]
ROWS = [{"val_accuracy": accuracy, "val_loss": loss} for accuracy, loss in SCORES]


@pytest.mark.parametrize(("wait", "epochs"), [(0, 7), (1, 3), (2, 6), (3, 7)])
@pytest.mark.parametrize("behind", [0, 1, 2])
def test_training_ends_when_val_stays_behind_its_best_in_one_run_or_in_two(wait, epochs, behind):
    stop = EarlyStop(wait, ROWS[:behind])  # what a run that was continued has behind it
    assert not stop.is_due
    stop.set_model(network())
    for epoch in range(behind, 7):
        stop.on_epoch_end(epoch, dict(ROWS[epoch]))
        if stop.model.stop_training:
            break
    assert epoch + 1 == epochs
    assert EarlyStop(wait, ROWS[:epochs]).is_due == (epochs < 7)  # and it is not trained on


@pytest.mark.usefixtures("eagerly")
def test_a_loss_that_is_no_number_names_epoch_and_step():
    clips, labels = data()
    model = network()
    model.optimizer.learning_rate = float("nan")  # whatever the weights, the second loss is none
    with pytest.raises(UserError, match="`learning_rate`"):
        model.fit(clips, labels, batch_size=4, epochs=2, verbose=0, callbacks=[StopOnNaN()])


def fit(model, epochs, initial_epoch=0, callbacks=()):
    model.fit(
        *data(), epochs=epochs, initial_epoch=initial_epoch, shuffle=False, verbose=0,
        callbacks=list(callbacks),
    )  # fmt: skip


@pytest.mark.multi_backend
def test_state_restores_weights_optimizer_and_dropout(tmp_path):
    keras.utils.set_random_seed(3)
    whole = network(dropout=0.5)
    fit(whole, 4)
    keras.utils.set_random_seed(3)
    fit(network(dropout=0.5), 2, callbacks=[RunState(tmp_path / "state.npz")])
    keras.utils.set_random_seed(99)  # another process has other seeds
    resumed = network(dropout=0.5)
    assert restore(tmp_path / "state.npz", resumed).epochs == 2
    fit(resumed, 4, initial_epoch=2)
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_no_state_means_from_the_start(tmp_path):
    assert restore(tmp_path / "state.npz", network()) == Saved()


@pytest.mark.usefixtures("eagerly")
def test_a_state_of_another_network_is_refused(tmp_path):
    file = tmp_path / "state.npz"
    fit(network(), 1, callbacks=[RunState(file)])
    other = Conv3DClassifier(4, frames=2, height=4, width=4, filters=4, pool=(2, 4, 4), dense=8)
    other.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(UserError):
        restore(file, other)


def flipped(content, place):
    """One bit of the file is different."""
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:200],
        lambda content: content[:-1],
        lambda content: content[len(content) // 2 :],
        lambda content: b"PK\x03\x04" + bytes(100),
        lambda content: b"text",
        lambda content: flipped(content, len(content) // 2),
        lambda content: flipped(content, content.index(b"PK\x01\x02") + 8),  # encrypted
        lambda content: flipped(content, content.index(b"PK\x01\x02") + 10),  # compression
        lambda content: content.replace(b"epochs", b"epoxhs"),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(tmp_path, damage):
    file, model = tmp_path / "state.npz", network()
    model.optimizer.build(model.trainable_variables)
    before = model.get_weights()
    state = RunState(file)
    state.set_model(model)
    state.on_epoch_end(0)
    assert restore(file, model).epochs == 1
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError) as caught:
        restore(file, model)
    assert "\n" not in str(caught.value)
    for weights, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, expected)


@pytest.mark.usefixtures("eagerly")
def test_epochs_that_say_less_than_others_are_no_problem(tmp_path):
    clips, labels = data()
    for frequency in (2, [1]):
        network().fit(
            clips, labels, validation_data=data(6, 1), validation_freq=frequency, epochs=2,
            verbose=0,
            callbacks=[HistoryCSV(tmp_path / "history.csv"), CurvesPlot(tmp_path / "curves.png")],
        )  # fmt: skip
        told = [bool(row["val_loss"]) for row in rows(tmp_path / "history.csv")]
        assert told == ([False, True] if frequency == 2 else [True, False])
        assert len(columns(read_history(tmp_path / "history.csv"))["val_loss"]) == 2


def test_the_share_of_waiting(monkeypatch):
    """Three steps of two seconds; the second batch lay ready one second after it was asked for."""
    clock = iter([0.0, 2.0, 5.0, 7.0])
    monkeypatch.setattr("ar3d_keras.training.callbacks.time.perf_counter", lambda: next(clock))
    # A batch may be ready before it is asked for; one of an earlier epoch is not this one's.
    ready = {(1, 0): -4.0, (1, 1): 3.0, (1, 2): 4.5, (0, 2): 9.0}
    rate = EpochRate(21, ready)
    rate.set_model(network())
    rate.on_epoch_begin(1)
    shares = []
    for batch in range(3):
        logs = {}
        rate.on_train_batch_end(batch, logs)
        shares.append(logs["wait_share"])
    assert shares == [0.0, 1 / 5, 1 / 7]
    logs = {}
    rate.on_epoch_end(1, logs)
    assert logs["seconds"] == 7.0
    assert logs["clips_per_s"] == 3.0
    assert logs["wait_share"] == 1 / 7
    assert ready == {(0, 2): 9.0}


def test_training_ends_by_the_entry_that_is_monitored():
    rows = [
        {"val_accuracy": 0.5, "val_class_mean": 0.1 * n, "val_loss": 1.0 + n} for n in range(1, 5)
    ]
    assert not EarlyStop(2, rows, "val_class_mean").is_due
    assert EarlyStop(2, rows, "val_loss").is_due
    assert EarlyStop(2, rows).is_due  # equal accuracies: by loss


def test_the_best_network_by_another_entry(tmp_path):
    file = tmp_path / "best.keras"
    rows = [{"val_accuracy": 0.9, "val_class_mean": 0.4, "val_loss": 0.1}]
    callback = BestNetwork(file, network(), rows, monitor="val_class_mean")
    callback.set_model(network())
    callback.on_epoch_end(1, {"val_accuracy": 0.95, "val_class_mean": 0.3, "val_loss": 0.1})
    assert not file.exists()
    callback.on_epoch_end(2, {"val_accuracy": 0.8, "val_class_mean": 0.5, "val_loss": 0.3})
    assert file.exists()


@pytest.mark.usefixtures("eagerly")
def test_split_metrics_log_the_class_mean():
    model = network()
    history = model.fit(*data(), verbose=0, callbacks=[SplitMetrics({"val": batches(16, 1)})])
    labels = np.concatenate([label for _, label in batches(16, 1)])
    right = model.predict(data(16, 1)[0], verbose=0).argmax(axis=1) == labels
    by_class = [right[labels == c].mean() for c in range(3)]
    assert history.history["val_class_mean"][-1] == pytest.approx(np.mean(by_class))


class Lines(Reporter):
    def __init__(self):
        super().__init__()
        self.lines = []

    def show(self, line):
        self.lines.append(line)


@pytest.mark.parametrize("videos, strict, stops_at", [(9, False, 2), (100, False, 6), (9, True, 1)])
def test_too_many_unreadable_videos_end_the_training(tmp_path, videos, strict, stops_at):
    source = types.SimpleNamespace(videos=range(videos), failures={})
    run = RunFolder(tmp_path)
    run.write_record(
        {"begun": "2026-01-01", "config": {}, "data": {}, "split": {}, "class_names": []}
    )
    reporter = Lines()
    logger = UnreadableVideoLogger(source, run, reporter, strict=strict)
    logger.on_epoch_begin(3)
    for number in range(1, stops_at):
        source.failures[f"{number}.avi"] = "gone"
        logger.on_train_batch_end(number)
    source.failures[f"{stops_at}.avi"] = "gone"
    with pytest.raises(UserError):
        logger.on_train_batch_end(stops_at)
    assert len(run.record()["unreadable"]) == stops_at
    assert all(any(path in line for line in reporter.lines) for path in source.failures)


def test_a_state_of_weights_that_are_not_numbers_is_not_written(tmp_path):
    file, model = tmp_path / "state.npz", network()
    model.optimizer.build(model.trainable_variables)
    state = RunState(file)
    state.set_model(model)
    state.on_epoch_end(0)
    before = file.read_bytes()
    model.set_weights([weights * np.nan for weights in model.get_weights()])
    for callback in (state, StopOnNaN(state.last_good)):
        callback.set_model(model)
        with pytest.raises(UserError) as caught:
            callback.on_epoch_end(1)
        assert "`learning_rate`" in str(caught.value) and str(file) in str(caught.value)
        assert "epoch 1" in str(caught.value)
    assert file.read_bytes() == before


def test_a_disk_that_gives_back_something_else_keeps_the_state_before(tmp_path, monkeypatch):
    file, model = tmp_path / "state.npz", network()
    model.optimizer.build(model.trainable_variables)
    state = RunState(file)
    state.set_model(model)
    state.on_epoch_end(0)
    before, save = file.read_bytes(), np.savez

    def damaged(target, **arrays):
        save(target, **{**arrays, "steps": np.int64(7)})

    monkeypatch.setattr("numpy.savez", damaged)
    with pytest.raises(UserError, match="disk"):
        state.on_epoch_end(1)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
