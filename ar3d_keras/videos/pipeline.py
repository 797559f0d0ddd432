"""ClipSource -> batches. The only file that knows how batches are formed.

A batch is (clips uint8 (B, T, H, W, 3), labels int64 (B,), weights float32 (B,)); a clip that
could not be read weighs 0 and is black, so that batches, steps and random numbers stay the
same. Batches depend on (seed, epoch, index) alone, never on the number of workers.
"""

import collections
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import keras
import numpy as np

from ar3d_keras.videos.sampling import epoch_order
from ar3d_keras.videos.sources import ClipSource

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


def steps_per_epoch(source: ClipSource, batch_size: int) -> int:
    """Batches in one epoch; the last may be smaller."""
    return -(-len(source) // batch_size)


class Batches:
    """The clips of a source in order, as often as they are walked, for evaluation.

    The same on every backend, without TensorFlow. One batch ahead is decoded while the network
    works on the one before.

    Args:
        source: the clips.
        batch_size: clips a batch; the last may have fewer.
        workers: threads that decode.
    """

    def __init__(self, source: ClipSource, batch_size: int, *, workers: int = 1):
        self.source, self.batch_size, self.workers = source, batch_size, workers

    def __len__(self) -> int:
        return steps_per_epoch(self.source, self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        with ThreadPoolExecutor(self.workers) as pool:
            ahead: collections.deque = collections.deque()
            for step in range(len(self)):
                first = step * self.batch_size
                indices = range(first, min(first + self.batch_size, len(self.source)))
                ahead.append([pool.submit(_load, self.source, index, 0) for index in indices])
                if len(ahead) > 1:
                    yield _stack([future.result() for future in ahead.popleft()])
            for futures in ahead:
                yield _stack([future.result() for future in futures])


class ClipStream:
    """All batches of several epochs as one tf.data.Dataset, for `fit(steps_per_epoch=...)`.

    It is one stream, so that the first clips of the next epoch are decoded while the last one
    is evaluated. Its length is left unknown on purpose: Keras then never starts it over.

    Attributes:
        dataset: the tf.data.Dataset.
    """

    def __init__(
        self, source: ClipSource, batch_size: int, *, seed: int, epochs: range, workers: int
    ):
        self.source, self.seed = source, seed
        self._stopped, self._calls = threading.Event(), _Calls()
        self.dataset = self._build(batch_size, epochs, workers)

    def close(self) -> None:
        """Ends the decoding and waits for it; call it when `fit` ended, however it did.

        tf.data decodes ahead in threads of its own. One that is in Python while the interpreter
        shuts down, after Ctrl-C say, hangs the process for good.
        """
        self._stopped.set()
        self._calls.wait_until_quiet()

    def _load(self, index, epoch):
        with self._calls:
            if self._stopped.is_set():
                return _black(self.source, int(index))
            return _load(self.source, int(index), int(epoch))

    def _build(self, batch_size: int, epochs: range, workers: int):
        import tensorflow as tf

        shape = self.source.shape
        clip = shape.frames, shape.height, shape.width, 3
        kinds = tf.uint8, tf.int64, tf.float32

        def load(index, epoch):
            loaded, label, weight = tf.numpy_function(
                self._load, (index, epoch), kinds, stateful=False
            )
            # numpy_function forgets shapes.
            return (
                tf.ensure_shape(loaded, clip),
                tf.ensure_shape(label, ()),
                tf.ensure_shape(weight, ()),
            )

        def one_epoch(epoch):
            order = tf.numpy_function(
                lambda epoch: epoch_order(len(self.source), seed=self.seed, epoch=int(epoch)),
                (epoch,),
                tf.int64,
                stateful=False,
            )
            indices = tf.data.Dataset.from_tensor_slices(
                tf.ensure_shape(order, (len(self.source),))
            )
            return indices.map(
                lambda index: load(index, epoch), num_parallel_calls=workers, deterministic=True
            ).batch(batch_size)

        options = tf.data.Options()
        # Else tf.data runs no more calls at once than there are cores, whatever `workers` says.
        options.threading.private_threadpool_size = workers + 2
        return (
            tf.data.Dataset.range(epochs.start, epochs.stop, output_type=tf.int64)
            .flat_map(one_epoch)
            .prefetch(2)
            .with_options(options)
        )


class _Calls:
    """Counts the calls of a function that are running, and those that ever began."""

    def __init__(self):
        self._lock, self._running, self._begun = threading.Lock(), 0, 0

    def __enter__(self):
        with self._lock:
            self._running, self._begun = self._running + 1, self._begun + 1

    def __exit__(self, *error):
        with self._lock:
            self._running -= 1

    def wait_until_quiet(self) -> None:
        """Returns when nothing runs and nothing has begun for a twentieth of a second."""
        seen = -1
        while self._running or self._begun != seen:
            seen = self._begun
            time.sleep(0.05)


class ClipBatches(keras.utils.PyDataset):
    """The same batches without TensorFlow, for the JAX and torch backends.

    The threads are ours, and Keras is told of one worker: with more, its enqueuer hands what it
    had read ahead when an epoch ended (or when fit peeked at the first batch) to the next epoch,
    which repeats and shifts the batches (Keras 3.15, PyDatasetEnqueuer.stop).

    `epoch` must be set as each epoch begins (`EpochSetter` does): Keras reads ahead before the
    first epoch and calls on_epoch_end early, so an epoch counted here would be off by one.
    """

    def __init__(self, source: ClipSource, batch_size: int, *, seed: int, workers: int):
        super().__init__(workers=1, use_multiprocessing=False)
        self.source, self.batch_size, self.seed, self.epoch = source, batch_size, seed, 0
        self._pool = ThreadPoolExecutor(workers)
        self._ahead: dict[tuple[int, int], list[Future]] = {}  # by epoch and step

    def __len__(self) -> int:
        return steps_per_epoch(self.source, self.batch_size)

    def __getitem__(self, step: int) -> Batch:
        known, epoch = self._ahead, self.epoch
        # Two batches ahead are decoded while the network works on this one.
        steps = range(step, min(step + 3, len(self)))
        self._ahead = {
            (epoch, s): known.pop((epoch, s), None) or self._begin(epoch, s) for s in steps
        }
        for future in itertools.chain.from_iterable(known.values()):
            future.cancel()
        return _stack([future.result() for future in self._ahead.pop((epoch, step))])

    def _begin(self, epoch: int, step: int) -> list[Future]:
        order = epoch_order(len(self.source), seed=self.seed, epoch=epoch)
        indices = order[step * self.batch_size : (step + 1) * self.batch_size]
        return [self._pool.submit(_load, self.source, int(index), epoch) for index in indices]


class EpochSetter(keras.callbacks.Callback):
    """Tells a ClipBatches which epoch it is."""

    def __init__(self, batches: ClipBatches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch


Example = tuple[np.ndarray, np.int64, np.float32]


def _load(source: ClipSource, index: int, epoch: int) -> Example:
    clip = source[index, epoch]
    if clip is None:
        return _black(source, index)
    return clip, source.labels[index // source.views_per_video], np.float32(1)


def _black(source: ClipSource, index: int) -> Example:
    """What stands for a clip that could not be read: it weighs nothing."""
    shape = source.shape
    clip = np.zeros((shape.frames, shape.height, shape.width, 3), np.uint8)
    return clip, source.labels[index // source.views_per_video], np.float32(0)


def _stack(loaded: list) -> Batch:
    clips, labels, weights = zip(*loaded, strict=True)
    return np.stack(clips), np.array(labels, np.int64), np.array(weights, np.float32)
