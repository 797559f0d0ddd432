"""One training: from a resolved configuration and a dataset to weights, curves and best.keras."""

import contextlib
from collections.abc import Sequence

import keras

from ar3d_keras.config import RecipeConfig, TrainConfig
from ar3d_keras.evaluation.evaluator import evaluate
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
    """The network of a resolved configuration, with fresh weights.

    Args:
        config: its model section, and the clip geometry of its data section.
        class_names: the names of its outputs.
        precision: a dtype policy, never "auto".

    Raises:
        UserError: an invalid size, or an option that the network does not have.
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
    """Gives a network its loss, metrics and the recipe's optimizer.

    Args:
        model: as `build_network` made it.
        recipe: how it is trained.
        steps: of one epoch.
        precision: its dtype policy.
        soft_labels: whether a label is float32 (classes,), the share of each class, as mixed
            clips have it; the accuracy is then measured against the largest share.
    """
    metrics = keras.metrics
    if soft_labels:
        accuracy, top_k = metrics.CategoricalAccuracy, metrics.TopKCategoricalAccuracy
    else:
        accuracy, top_k = metrics.SparseCategoricalAccuracy, metrics.SparseTopKCategoricalAccuracy
    model.compile(
        optimizer=make_optimizer(recipe, steps, precision),
        loss=crossentropy(recipe.label_smoothing, soft_labels=soft_labels),
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
    workers: int,
    reporter: Reporter,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    splits: Sequence[str] = ("val", "test"),
    until: int | None = None,
) -> None:
    """Trains until the configuration's last epoch, from the run's last state if it has one.

    Writes checkpoints/state.npz, checkpoints/best.keras, history.csv and curves.png after every
    epoch. The test split is measured for the curves and never chooses anything.

    Args:
        run: where it writes.
        config: the run's configuration.
        dataset: its videos.
        workers: decoding threads.
        reporter: shows progress and logs lines.
        callbacks: further callbacks; their logs include the metrics of `splits`. Those with a
            method `close` are closed at the end, also after an error.
        splits: evaluated after every epoch; val must be one.
        until: the epoch to stop after, as if interrupted there. Default: the configuration's last.

    Raises:
        UserError: the loss became NaN, or the state cannot be continued.
        KeyboardInterrupt: the run can be continued from its last complete epoch.
    """
    recipe = config.recipe
    hardware.seed_everything(recipe.seed, deterministic=recipe.deterministic)
    precision = hardware.resolve_precision(recipe.precision)
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
    early_stop = EarlyStop(recipe.early_stop, rows)
    if begin >= until or early_stop.is_due:
        return
    float32_model = build_network(config, dataset.class_names, "float32")
    progress = EpochProgress(
        reporter, clips=len(source), batch_size=recipe.batch_size, epochs=recipe.epochs
    )
    feed = _training_data(source, config, mixing, range(begin, until), workers)
    with contextlib.ExitStack() as stack:
        # Closed however `fit` ends: a bar, or a profiler that is still recording.
        for callback in (progress, *callbacks):
            if hasattr(callback, "close"):
                stack.callback(callback.close)
        data, ready, steps_per_fit_epoch, extra = stack.enter_context(feed)
        model.fit(
            data,
            initial_epoch=begin,
            epochs=until,
            steps_per_epoch=steps_per_fit_epoch,
            shuffle=False,  # the order is drawn from (seed, epoch) where batches are made
            verbose=0,
            callbacks=[
                *extra,
                StopOnNaN(),
                _split_metrics(config, dataset, splits, workers, reporter),
                EpochRate(len(source), ready),
                progress,
                UnreadableVideoLogger(source, run, reporter),
                HistoryCSV(run.history, rows),
                BestNetwork(run.best, float32_model, rows, last=recipe.keep == "last"),
                early_stop,
                CurvesPlot(run.curves, run.name, rows),
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
    """These splits after every epoch, by the same code that makes the reports."""

    def measure(name: str):
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


@contextlib.contextmanager
def _training_data(
    source: ClipSource, config: TrainConfig, mixing: Mixing, epochs: range, workers: int
):
    """The backend's front end, its `ready`, `steps_per_epoch`, and the callbacks it needs."""
    recipe = config.recipe
    if keras.backend.backend() == "tensorflow":
        stream = ClipStream(
            source,
            recipe.batch_size,
            seed=recipe.seed,
            epochs=epochs,
            workers=workers,
            mixing=mixing,
        )
        with contextlib.closing(stream):
            yield stream.dataset, stream.ready, steps_per_epoch(source, recipe.batch_size), []
    else:
        batches = ClipBatches(
            source, recipe.batch_size, seed=recipe.seed, workers=workers, mixing=mixing
        )
        batches.epoch = epochs.start
        yield batches, batches.ready, None, [EpochSetter(batches)]  # its length says the steps
