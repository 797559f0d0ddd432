"""Trains a network: builds and compiles it, feeds it, and writes the files of its run."""

import contextlib
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any, NamedTuple

import keras

from ar3d_keras.config import RecipeConfig, TrainConfig
from ar3d_keras.evaluation.evaluator import evaluate
from ar3d_keras.evaluation.metrics import Evaluation
from ar3d_keras.models import check_options, network
from ar3d_keras.models.classifier import VideoClassifier
from ar3d_keras.progress import Reporter
from ar3d_keras.reports.callbacks import CurvesPlot
from ar3d_keras.runs import Run, read_history
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
from ar3d_keras.training.losses import crossentropy
from ar3d_keras.training.optimizers import make_optimizer
from ar3d_keras.training.run_state import RunState, restore
from ar3d_keras.training.warm_start import WarmStart, freeze, take_weights
from ar3d_keras.videos.dataset import Dataset, clip_shape
from ar3d_keras.videos.mixing import Mixing
from ar3d_keras.videos.pipeline import ClipBatches, ClipStream, EpochSetter, steps_per_epoch
from ar3d_keras.videos.sources import ClipSource


def build_network(
    config: TrainConfig, class_names: Sequence[str], precision: str
) -> VideoClassifier:
    """Builds the network of a resolved configuration, with fresh weights.

    Args:
        config: its model section, and the clip geometry of its data section, are used.
        class_names: the names of the outputs.
        precision: a dtype policy, not "auto".

    Raises:
        UserError: a size is invalid, or the network does not have an option.
    """
    name = config.model.model
    given = config.model.given()
    check_options(name, given)
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
) -> None:
    """Compiles a network with the loss, the metrics and the optimizer of a recipe.

    Args:
        model: a network of `build_network`.
        recipe: a resolved recipe.
        steps: the number of steps in an epoch.
        precision: the dtype policy of the network.
        soft_labels: whether a label is float32 (classes,), the share of each class, as for mixed
            clips. Accuracy then counts the class with the largest share as the right one.
    """
    metrics = keras.metrics
    if soft_labels:
        accuracy, top_k = metrics.CategoricalAccuracy, metrics.TopKCategoricalAccuracy
    else:
        accuracy, top_k = metrics.SparseCategoricalAccuracy, metrics.SparseTopKCategoricalAccuracy
    model.compile(
        optimizer=make_optimizer(recipe, steps, precision),
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
    run: Run,
    config: TrainConfig,
    dataset: Dataset,
    *,
    precision: str,
    workers: int,
    reporter: Reporter,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    splits: Sequence[str] = ("val", "test"),
    until: int | None = None,
) -> None:
    """Trains until the last epoch of the configuration, starting from the run's state if it has one.

    Writes checkpoints/state.npz, checkpoints/best.keras, history.csv and curves.png after every
    epoch. The test split is evaluated for the curves only; nothing is chosen by it.

    Args:
        run: the run folder.
        config: the resolved configuration of the run.
        dataset: the videos.
        precision: the dtype policy, from `precision.choose_precision`.
        workers: the number of decoding threads.
        reporter: shows progress and receives log lines.
        callbacks: further callbacks. Their logs include the metrics of `splits`. A callback with a
            method `close` is closed at the end, also after an error.
        splits: the splits to evaluate after every epoch, val among them.
        until: the epoch to stop after, as if interrupted there. Default: the last epoch.

    Raises:
        UserError: the loss became NaN, or the state file is damaged.
        KeyboardInterrupt: the run can be resumed after its last complete epoch.
    """
    recipe = config.recipe
    hardware.seed_everything(recipe.seed, deterministic=recipe.deterministic)
    model = build_network(config, dataset.class_names, precision)
    freeze(model, recipe.freeze)
    source = dataset.training(seed=recipe.seed, flip=config.data.flip, augment=config.data)
    mixing = Mixing(config.data, num_classes=len(dataset.class_names), seed=recipe.seed)
    steps = steps_per_epoch(source, recipe.batch_size)
    compile_network(model, recipe, steps=steps, precision=precision, soft_labels=bool(mixing))
    begin = restore(run.state, model)
    if recipe.init_from and not begin:
        take_weights(model, WarmStart.of(run), dataset.class_names)
    rows = read_history(run.history, epochs=begin)
    if begin:
        reporter.log(f"continuing after epoch {begin}")
    until = until or recipe.epochs
    early_stop = EarlyStop(recipe.early_stop, rows, recipe.monitor)
    if begin >= until or early_stop.is_due:
        return
    float32_model = build_network(config, dataset.class_names, "float32")
    progress = EpochProgress(
        reporter, clips=len(source), batch_size=recipe.batch_size, epochs=recipe.epochs
    )
    with contextlib.ExitStack() as stack:
        # However `fit` ends, no bar stays on the screen and no profiler stays open.
        for callback in (progress, *callbacks):
            if hasattr(callback, "close"):
                stack.callback(callback.close)
        feed = stack.enter_context(_feed(source, config, mixing, range(begin, until), workers))
        model.fit(
            feed.data,
            initial_epoch=begin,
            epochs=until,
            steps_per_epoch=feed.steps_per_epoch,
            shuffle=False,  # batches come in an order drawn from (seed, epoch)
            verbose=0,
            callbacks=[
                *feed.callbacks,
                StopOnNaN(),
                _split_metrics(config, dataset, splits, workers, reporter),
                EpochRate(len(source), feed.ready),
                progress,
                UnreadableVideoLogger(source, run, reporter),
                HistoryCSV(run.history, rows),
                BestNetwork(
                    run.best,
                    float32_model,
                    rows,
                    last=recipe.keep == "last",
                    monitor=recipe.monitor,
                ),
                early_stop,
                CurvesPlot(run.curves, run.name, rows, recipe.monitor),
                *callbacks,
                RunState(run.state),
            ],
        )


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
    source: ClipSource, config: TrainConfig, mixing: Mixing, epochs: range, workers: int
) -> Iterator[_Feed]:
    """The batches in the form that suits the backend."""
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
        )
        with contextlib.closing(stream):
            yield _Feed(stream.dataset, stream.ready, steps_per_epoch(source, recipe.batch_size))
    else:
        batches = ClipBatches(
            source,
            recipe.batch_size,
            seed=recipe.seed,
            workers=workers,
            mixing=mixing,
            balance=recipe.balance,
        )
        batches.epoch = epochs.start
        yield _Feed(batches, batches.ready, callbacks=[EpochSetter(batches)])
