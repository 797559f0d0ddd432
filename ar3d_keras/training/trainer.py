"""Trains a network: builds and compiles it, feeds it, and writes the files of its run."""

import contextlib
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any, NamedTuple

import keras

from ar3d_keras import devices
from ar3d_keras.config import RecipeConfig, TrainConfig
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.evaluator import evaluate
from ar3d_keras.evaluation.metrics import Evaluation
from ar3d_keras.models import check_options, network, options
from ar3d_keras.models.classifier import VideoClassifier
from ar3d_keras.progress import Reporter
from ar3d_keras.reports.callbacks import CurvesPlot
from ar3d_keras.runs import RunFolder, read_history
from ar3d_keras.training import hardware
from ar3d_keras.training.callbacks import (
    BestNetwork,
    EarlyStop,
    EpochProgress,
    EpochRate,
    HistoryCSV,
    SplitMetrics,
    StopOnNaN,
    UnreadableVideoLogger,
)
from ar3d_keras.training.fine_tuning import Phase, freeze, layer_rates, phases
from ar3d_keras.training.fitting import OneTraining
from ar3d_keras.training.losses import crossentropy
from ar3d_keras.training.optimizers import make_optimizer
from ar3d_keras.training.replicas import share_batches
from ar3d_keras.training.run_state import RunState, Saved, position, restore
from ar3d_keras.training.stopping import StopSignals
from ar3d_keras.training.warm_start import WarmStart, take_weights
from ar3d_keras.videos.dataset import Dataset, clip_shape
from ar3d_keras.videos.mixing import Mixing
from ar3d_keras.videos.pipeline import ClipBatches, ClipStream, EpochSetter, steps_per_epoch
from ar3d_keras.videos.sources import ClipSource


def build_network(
    config: TrainConfig,
    class_names: Sequence[str],
    precision: str,
    start: WarmStart | None = None,
) -> VideoClassifier:
    """Builds the network of a resolved configuration, with fresh weights.

    Args:
        config: its model section, and the clip geometry of its data section, are used.
        class_names: the names of the outputs.
        precision: a dtype policy, not "auto".
        start: the weights that it will take, which may need options of their own.

    Raises:
        UserError: a size is invalid, or the network does not have an option.
    """
    name = config.model.model
    given = config.model.given()
    check_options(name, given)
    if start and "normalization" in options(name):
        given |= start.options
    shape = clip_shape(config.data)
    return network(name)(
        len(class_names),
        frames=shape.frames,
        height=shape.height,
        width=shape.width,
        **given,
        class_names=tuple(class_names),
        clip_shape=shape,
        dtype=precision,
    )


def compile_network(
    model: keras.Model,
    recipe: RecipeConfig,
    *,
    steps: int,
    precision: str,
    soft_labels: bool = False,
    layer_decay: float = 1.0,
) -> None:
    """Compiles a network with the loss, the metrics and the optimizer of a recipe.

    Args:
        model: a network of `build_network`.
        recipe: a resolved recipe.
        steps: the number of steps in an epoch.
        precision: the dtype policy of the network.
        soft_labels: whether a label is float32 (classes,), the share of each class, as for mixed
            clips. Accuracy then counts the class with the largest share as the right one.
        layer_decay: see `fine_tuning.layer_rates`.
    """
    metrics = keras.metrics
    if soft_labels:
        accuracy, top_k = metrics.CategoricalAccuracy, metrics.TopKCategoricalAccuracy
    else:
        accuracy, top_k = metrics.SparseCategoricalAccuracy, metrics.SparseTopKCategoricalAccuracy
    model.compile(
        optimizer=make_optimizer(recipe, steps, precision, layer_rates(model, layer_decay)),
        loss=crossentropy(
            recipe.label_smoothing,
            soft_labels=soft_labels,
            class_weighted=recipe.balance == "loss",
        ),
        weighted_metrics=[
            accuracy(name="accuracy"),
            top_k(min(5, model.output_shape[-1]), name="top5"),
        ],
        **hardware.compile_options(),
    )


def train(
    run: RunFolder,
    config: TrainConfig,
    dataset: Dataset,
    *,
    precision: str,
    workers: int,
    reporter: Reporter,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    splits: Sequence[str] | None = None,
    until: int | None = None,
    checkpoint_minutes: float = 10.0,
) -> None:
    """Trains until the last epoch of the configuration, starting from the run's state if it has one.

    Writes checkpoints/state.npz, checkpoints/best.keras and history.csv after every epoch, the state
    within an epoch too, and curves.png as often as it costs little. The test split is evaluated for
    the curves only; nothing is chosen by it.

    Args:
        run: the run folder.
        config: the resolved configuration of the run.
        dataset: the videos.
        precision: the dtype policy, from `precision.choose_precision`.
        workers: the number of decoding threads.
        reporter: shows progress and receives log lines.
        callbacks: further callbacks. Their logs include the metrics of `splits`. A callback with a
            method `close` is closed at the end, also after an error. One with `get_state` and
            `set_state` keeps its counters (see `run_state.Stateful`).
        splits: the splits to evaluate after every epoch. Default: test, and val if it has videos.
        until: the epoch to stop after, as if interrupted there. Default: the last epoch.
        checkpoint_minutes: the time between two states within an epoch; 0: after every step.

    Raises:
        UserError: the loss became NaN, or the state file is damaged.
        KeyboardInterrupt: the run can be resumed where it stopped.
    """
    recipe = config.recipe
    hardware.seed_everything(recipe.seed, deterministic=recipe.deterministic)
    start = WarmStart.of(run) if recipe.init_from else None
    model = build_network(config, dataset.class_names, precision, start)
    source = dataset.training(
        seed=recipe.seed,
        flip=bool(config.data.flip),
        augment=config.data,
        at_least=recipe.clips_per_epoch,
    )
    _check_labels(source, dataset.class_names)
    mixing = Mixing(config.data, num_classes=len(dataset.class_names), seed=recipe.seed)
    steps = steps_per_epoch(source, recipe.batch_size)

    def begin(phase: Phase) -> None:
        freeze(model, phase.frozen)
        compile_network(
            model,
            phase.recipe,
            steps=steps,
            precision=precision,
            soft_labels=bool(mixing),
            layer_decay=phase.layer_decay,
        )
        last = len(source) - (steps - 1) * recipe.batch_size
        share_batches(model, recipe.batch_size, last)

    # A state between two phases has the optimizer of the first one.
    at = position(run.state)
    all_phases = phases(recipe)
    first, *later = [p for p in all_phases if at <= (p.end, 0)] or all_phases[-1:]
    begin(first)
    saved = restore(run.state, model, soft_labels=bool(mixing))
    if start and not (saved.epochs or saved.steps):
        take_weights(model, start, dataset.class_names)
    rows = read_history(run.history, epochs=saved.epochs)
    _log_resume(saved, steps, rows, run, reporter)
    until = until or recipe.epochs
    early_stop = EarlyStop(recipe.early_stop, rows, recipe.monitor)
    curves = CurvesPlot(run.curves, rows, recipe.monitor)
    if saved.epochs >= until or early_stop.is_due:
        curves.draw()  # a run that was killed after its last epoch may not have
        return
    float32_model = build_network(config, dataset.class_names, "float32", start)
    progress = EpochProgress(
        reporter, clips=len(source), batch_size=recipe.batch_size, epochs=recipe.epochs
    )
    rate = EpochRate(len(source), {})
    unreadable = UnreadableVideoLogger(source, run, reporter, strict=config.data.strict)
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopSignals())
        state = RunState(
            run.state,
            saved,
            [rate, unreadable, *callbacks],
            steps=steps,
            minutes=checkpoint_minutes,
            stop=stop,
        )
        # However the training ends, no bar stays on the screen and no profiler stays open.
        for callback in (progress, curves, *callbacks):
            if hasattr(callback, "close"):
                stack.callback(callback.close)
        training = OneTraining(
            model,
            [
                StopOnNaN(state.last_good),
                _split_metrics(
                    config, dataset, splits or dataset.split.evaluated, workers, reporter
                ),
                rate,
                progress,
                unreadable,
                HistoryCSV(run.history, rows),
                BestNetwork(
                    run.best,
                    float32_model,
                    rows,
                    last=recipe.keep == "last",
                    monitor=recipe.monitor,
                ),
                early_stop,
                curves,
                *callbacks,
                state,
            ],
            epochs=until,
            steps=steps,
            stop=stop,
        )
        try:
            if saved.steps == steps:
                training.end_epoch(saved.epochs)
            for phase in (first, *later):
                if phase is not first:
                    begin(phase)
                for epochs, step in _parts(saved, steps, phase.begin, min(until, phase.end)):
                    with _feed(source, config, mixing, epochs, step, workers) as feed:
                        rate.ready = feed.ready
                        training.fit(
                            feed.data,
                            epochs,
                            first=step,
                            steps=feed.steps_per_epoch,
                            callbacks=feed.callbacks,
                        )
            training.end()
        except KeyboardInterrupt:
            state.save_unsaved()
            raise


def _check_labels(source: ClipSource, class_names: Sequence[str]) -> None:
    """Raises UserError for a training video whose label is not one of the classes."""
    for video, label in zip(source.videos, source.labels, strict=True):
        if not 0 <= label < len(class_names):
            raise UserError(
                f"{video.key!r} is for training and has no label of the {len(class_names)} classes"
            )


def _log_resume(
    saved: Saved, steps: int, rows: Sequence[dict[str, float]], run: RunFolder, reporter: Reporter
) -> None:
    """Says where a training goes on.

    Raises:
        UserError: history.csv lacks an epoch of the state.
    """
    if len(rows) < saved.epochs:
        raise UserError(
            f"{run.history} has {len(rows)} epochs and {run.state} has {saved.epochs}: restore "
            "history.csv, or train again under another `name`"
        )
    if saved.steps:
        reporter.log(f"continuing after step {saved.steps} of {steps} in epoch {saved.epochs + 1}")
    elif saved.epochs:
        reporter.log(f"continuing after epoch {saved.epochs}")


def _parts(saved: Saved, steps: int, begin: int, end: int) -> Iterator[tuple[range, int]]:
    """(epochs, first step) of each `fit`: the rest of an epoch, and the whole epochs after it."""
    if 0 < saved.steps < steps and begin <= saved.epochs < end:
        yield range(saved.epochs, saved.epochs + 1), saved.steps
    begin = max(begin, saved.epochs + bool(saved.steps))
    if begin < end:
        yield range(begin, end), 0


def _split_metrics(
    config: TrainConfig,
    dataset: Dataset,
    splits: Sequence[str],
    workers: int,
    reporter: Reporter,
) -> SplitMetrics:
    """Evaluates the splits after every epoch, with the same code as the reports."""

    def measure(name: str) -> Callable[[keras.Model], Evaluation]:
        source = dataset.evaluation(name)
        return lambda model: evaluate(
            model,
            source,
            dataset.class_names,
            batch_size=config.recipe.batch_size,
            workers=workers,
            reporter=reporter,
            description=name,
        )

    return SplitMetrics({name: measure(name) for name in splits})


class _Feed(NamedTuple):
    """The training batches, as `fit` takes them.

    Attributes:
        data: the first argument of `fit`.
        ready: (epoch, step) -> when that batch was ready, for EpochRate.
        steps_per_epoch: an argument of `fit`; None: the length of `data`.
        callbacks: the callbacks that `data` needs.
    """

    data: Any
    ready: MutableMapping[tuple[int, int], float]
    steps_per_epoch: int | None = None
    callbacks: Sequence[keras.callbacks.Callback] = ()


@contextlib.contextmanager
def _feed(
    source: ClipSource,
    config: TrainConfig,
    mixing: Mixing,
    epochs: range,
    first: int,
    workers: int,
) -> Iterator[_Feed]:
    """The batches from step `first` of the first epoch, in the form that suits the backend."""
    recipe = config.recipe
    if keras.backend.backend() == "tensorflow":
        stream = ClipStream(
            source,
            recipe.batch_size,
            seed=recipe.seed,
            epochs=epochs,
            workers=workers,
            mixing=mixing,
            balance=recipe.balance,
            first=first,
            devices=devices.current(),
        )
        with contextlib.closing(stream):
            steps = steps_per_epoch(source, recipe.batch_size) - first
            yield _Feed(stream.dataset, stream.ready, steps)
    else:
        batches = ClipBatches(
            source,
            recipe.batch_size,
            seed=recipe.seed,
            workers=workers,
            mixing=mixing,
            balance=recipe.balance,
            devices=devices.current(),
        )
        batches.epoch, batches.first = epochs.start, first
        yield _Feed(batches, batches.ready, callbacks=[EpochSetter(batches)])
