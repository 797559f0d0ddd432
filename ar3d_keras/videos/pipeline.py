"""ClipSource -> batches. The only file that knows how batches are formed.

A batch is (clips uint8 (B, T, H, W, C), labels int64 (B,), weights float32 (B,)); a clip that
could not be read weighs 0 and is black, so that batches, steps and random numbers stay the
same. Batches depend on (seed, epoch, index) alone, never on the number of workers or devices.

Several devices need equal parts of a batch. Rows that fill a batch up repeat its clips and weigh
`devices.PADDING`; the training step leaves them out. One of several processes reads its part only.

Where training mixes clips (`mixing`), its labels are float32 (B, classes), the share of each class.
"""

import collections
import functools
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from ar3d_keras.config import Balance as BalanceMethod
from ar3d_keras.devices import PADDING, Devices
from ar3d_keras.videos.balance import balanced_order, class_weights, weigh
from ar3d_keras.videos.mixing import Mixing
from ar3d_keras.videos.sampling import epoch_order
from ar3d_keras.videos.sources import ClipSource

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]

# What TensorFlow and JAX ask of an array that they are to use without a copy.
ALIGNMENT = 64
AHEAD = 3  # batches that are being filled at once in training
ONE = Devices()


def steps_per_epoch(source: ClipSource, batch_size: int) -> int:
    """Batches in one epoch; the last may be smaller."""
    return -(-len(source) // batch_size)


class Batches:
    """The clips of a source in order, as often as they are walked, for evaluation.

    The same on every backend, without TensorFlow. Two batches ahead are decoded while the network
    works on the one before, so that its threads and those that decode never wait for each other long.

    Args:
        source: the clips.
        batch_size: clips a batch; the last may have fewer.
        workers: threads that decode.
        devices: how a batch is divided; each of several processes gets its clips, without padding.
    """

    def __init__(
        self, source: ClipSource, batch_size: int, *, workers: int = 1, devices: Devices = ONE
    ):
        self.source, self.batch_size, self.workers = source, batch_size, workers
        self.part = devices.part(devices.rows(batch_size, batch_size))

    def __len__(self) -> int:
        return steps_per_epoch(self.source, self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        clips = np.arange(len(self.source))
        with _BatchReader(self.source, self.batch_size, self.workers) as reader:
            ahead: collections.deque[_Filling] = collections.deque()
            for first in range(0, len(clips), self.batch_size):
                ahead.append(reader.begin(clips[first : first + self.batch_size][self.part], 0))
                if len(ahead) > 2:
                    yield ahead.popleft().result()
            for filling in ahead:
                yield filling.result()


class ClipStream:
    """All batches of several epochs as one tf.data.Dataset, for `fit(steps_per_epoch=...)`.

    It is one stream, so that the first clips of the next epoch are decoded while the last one
    is evaluated. Its length is left unknown on purpose: Keras then never starts it over.

    Args:
        first: the first step of the first epoch, where a training goes on within an epoch.
        devices: how a batch is divided.

    Attributes:
        dataset: the tf.data.Dataset; None after `close`.
        ready: (epoch, step) -> when that batch lay ready, by time.perf_counter.
    """

    def __init__(
        self,
        source: ClipSource,
        batch_size: int,
        *,
        seed: int,
        epochs: range,
        workers: int,
        mixing: Mixing | None = None,
        balance: BalanceMethod = "none",
        first: int = 0,
        devices: Devices = ONE,
    ):
        self.source, self.batch_size, self.seed, self.mixing = source, batch_size, seed, mixing
        self.first, self.devices = first, devices
        self.order = EpochOrder(source, seed=seed, balance=balance)
        self._finish = _Finish(source, mixing, balance)
        self._reader, self._calls = _BatchReader(source, batch_size, workers), _Calls()
        self.ready: dict[tuple[int, int], float] = {}
        self.dataset: Any = self._build(epochs)

    @property
    def allocations(self) -> int:
        """The number of arrays that were allocated for the clips of all batches so far."""
        return self._reader.memory.allocations

    def close(self) -> None:
        """Ends the decoding and waits for it; call it when `fit` ended, however it did.

        tf.data decodes ahead in threads of its own. One that is in Python while the interpreter
        shuts down, after Ctrl-C say, hangs the process for good.
        """
        self._reader.stop()
        self._calls.wait_until_quiet()
        self._reader.close()
        # TensorFlow holds `_read`, and so this object, until Keras's session is cleared.
        self.dataset = None

    def _read(self, epoch, step) -> Batch:
        with self._calls:
            epoch, step = int(epoch), int(step)
            indices = self.order.batch(epoch, step, self.batch_size)
            batch = self._reader.begin(indices, epoch).result()
            batch = self._finish(batch, epoch, step)
            batch = padded(batch, self.devices.rows(len(indices), self.batch_size))
            self.ready[epoch, step] = time.perf_counter()
            return batch

    def _build(self, epochs: range):
        import tensorflow as tf

        clips = None, *self.source.shape.array
        shapes: Any
        if self.mixing:
            kinds = tf.uint8, tf.float32, tf.float32
            shapes = clips, (None, self.mixing.num_classes), (None,)
        else:
            kinds = tf.uint8, tf.int64, tf.float32
            shapes = clips, (None,), (None,)
        steps = steps_per_epoch(self.source, self.batch_size)

        def one_epoch(epoch):
            first = tf.where(epoch == epochs.start, tf.constant(self.first, tf.int64), 0)
            return tf.data.Dataset.range(first, steps).map(lambda step: (epoch, step))

        def read(epoch, step):
            batch = tf.numpy_function(self._read, (epoch, step), kinds, stateful=False)
            return tuple(map(tf.ensure_shape, batch, shapes))  # numpy_function forgets shapes

        options = tf.data.Options()
        # A call holds one of tf.data's threads while the reader's work; it has one per core.
        options.threading.private_threadpool_size = AHEAD + 2
        return (
            tf.data.Dataset.range(epochs.start, epochs.stop)
            .flat_map(one_epoch)
            .map(read, num_parallel_calls=AHEAD, deterministic=True)
            .prefetch(1)
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

    Args:
        devices: how a batch is divided; one of several processes gets its part.

    Attributes:
        epoch: whose batches it gives.
        first: the step that `batches[0]` is, where a training goes on within an epoch.
        ready: (epoch, step) -> when that batch lay ready, by time.perf_counter.
    """

    def __init__(
        self,
        source: ClipSource,
        batch_size: int,
        *,
        seed: int,
        workers: int,
        mixing: Mixing | None = None,
        balance: BalanceMethod = "none",
        devices: Devices = ONE,
    ):
        super().__init__(workers=1, use_multiprocessing=False)
        self.devices = devices
        self.source, self.batch_size, self.seed, self.epoch = source, batch_size, seed, 0
        self.first = 0
        self.mixing = mixing
        self.order = EpochOrder(source, seed=seed, balance=balance)
        self._finish = _Finish(source, mixing, balance)
        self._reader = _BatchReader(source, batch_size, workers)
        self._ahead: dict[tuple[int, int], _Filling] = {}  # by epoch and step
        self.ready: dict[tuple[int, int], float] = {}

    @property
    def allocations(self) -> int:
        """The number of arrays that were allocated for the clips of all batches so far."""
        return self._reader.memory.allocations

    def __len__(self) -> int:
        return steps_per_epoch(self.source, self.batch_size) - self.first

    def __getitem__(self, number: int) -> Batch:
        known, epoch, step = self._ahead, self.epoch, number + self.first
        # Two batches ahead are decoded while the network works on this one.
        steps = range(step, min(step + AHEAD, len(self) + self.first))
        self._ahead = {
            (epoch, s): known.pop((epoch, s)) if (epoch, s) in known else self._begin(epoch, s)
            for s in steps
        }
        for filling in known.values():
            filling.cancel()
        batch = self._finish(self._ahead.pop((epoch, step)).result(), epoch, step)
        batch = padded(batch, self._rows(epoch, step) // self.devices.processes)
        self.ready[epoch, step] = time.perf_counter()
        return batch

    def _begin(self, epoch: int, step: int) -> "_Filling":
        indices = self.order.batch(epoch, step, self.batch_size)
        return self._reader.begin(indices[self.devices.part(self._rows(epoch, step))], epoch)

    def _rows(self, epoch: int, step: int) -> int:
        clips = len(self.order.batch(epoch, step, self.batch_size))
        return self.devices.rows(clips, self.batch_size)


class EpochSetter(keras.callbacks.Callback):
    """Tells a ClipBatches which epoch it is."""

    def __init__(self, batches: ClipBatches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch


class EpochOrder:
    """The clips of an epoch in the order of training: called with an epoch, it returns indices.

    Args:
        source: the clips.
        seed: the seed of the run.
        balance: `sampler`: every class has equally many clips, see `balance.balanced_order`; else
            every clip is visited once, see `sampling.epoch_order`.
    """

    def __init__(self, source: ClipSource, *, seed: int, balance: BalanceMethod = "none"):
        if balance == "sampler":
            labels = source.labels.repeat(source.clips_per_video)
            draw = functools.partial(balanced_order, labels, seed=seed)
        else:
            draw = functools.partial(epoch_order, len(source), seed=seed)
        self._draw = functools.lru_cache(maxsize=4)(lambda epoch: draw(epoch=epoch))

    def __call__(self, epoch: int) -> np.ndarray:
        """int64 (clips,)."""
        return self._draw(epoch)

    def batch(self, epoch: int, step: int, size: int) -> np.ndarray:
        """The clips of one batch of `size`; the last of an epoch may have fewer."""
        return self(epoch)[step * size : (step + 1) * size]


class _Finish:
    """What happens to a batch after it is decoded: mixing, and weights for unequal classes."""

    def __init__(self, source: ClipSource, mixing: Mixing | None, balance: BalanceMethod):
        self.mixing = mixing
        self.weights = None
        if balance == "loss":
            num_classes = mixing.num_classes if mixing is not None else source.labels.max() + 1
            self.weights = class_weights(source.labels, int(num_classes))

    def __call__(self, batch: Batch, epoch: int, step: int) -> Batch:
        clips, labels, weights = _mixed(self.mixing, batch, epoch, step)
        if self.weights is not None:
            weights = weigh(labels, weights, self.weights)
        return clips, labels, weights


def padded(batch: Batch, rows: int) -> Batch:
    """A batch with more rows: its clips again, or black without any, that weigh PADDING."""
    clips, labels, weights = batch
    missing = rows - len(clips)
    if not missing:
        return batch
    if not len(clips):
        more = (np.zeros((missing, *part.shape[1:]), part.dtype) for part in (clips, labels))
    else:
        # Black clips would change the statistics of batch norms, and a replica without clips has none.
        again = np.arange(missing) % len(clips)
        more = (part[again] for part in (clips, labels))
    more_clips, more_labels = more
    return (
        np.concatenate([clips, more_clips]),
        np.concatenate([labels, more_labels]),
        np.concatenate([weights, np.full(missing, PADDING, weights.dtype)]),
    )


def _mixed(mixing: Mixing | None, batch: Batch, epoch: int, step: int) -> Batch:
    if not mixing:
        return batch
    *_, weights = batch
    return *mixing(*batch, epoch=epoch, step=step), weights


class _BatchReader:
    """Threads that read clips straight into the arrays of their batches."""

    def __init__(self, source: ClipSource, batch_size: int, workers: int):
        self.source, self.workers, self.stopped = source, workers, False
        self.clip = source.shape.array
        self.memory = _Memory(batch_size * int(np.prod(self.clip)))
        self.pool = ThreadPoolExecutor(workers)

    def __enter__(self) -> "_BatchReader":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def begin(self, indices: np.ndarray, epoch: int) -> "_Filling":
        """Starts to read a batch; its `result` waits for it."""
        return _Filling(self, indices, epoch)

    def stop(self) -> None:
        """From now on every clip is black and weighs nothing, and no video is opened."""
        self.stopped = True

    def close(self) -> None:
        """Ends the threads; what is not begun is not read."""
        self.stop()
        self.pool.shutdown(cancel_futures=True)
        self.memory.clear()


class _Filling:
    """A batch that is being read; each worker fills the places of its own."""

    def __init__(self, reader: _BatchReader, indices: np.ndarray, epoch: int):
        source, count = reader.source, len(indices)
        self._reader, self._indices, self._parts = reader, indices, []
        self._clips = reader.memory.array().reshape(-1, *reader.clip)[:count]
        self._labels = source.labels[source.video_of(indices)]
        self._weights = np.zeros(count, np.float32)
        if reader.stopped:
            self._clips[:] = 0
            return
        # Drawn here, in one thread: drawing holds Python's lock, for which all threads that copy
        # would wait, and copying would be no faster with two of them than with one.
        self._specs = [source.clip_spec(int(index), epoch) for index in indices]
        workers = min(reader.workers, count)
        for worker in range(workers):
            self._parts.append(reader.pool.submit(self._fill, range(worker, count, workers)))

    def _fill(self, places: Sequence[int]) -> None:
        for place in places:
            index, spec, out = int(self._indices[place]), self._specs[place], self._clips[place]
            if self._reader.stopped or self._reader.source.cut(index, spec, out) is None:
                out[:] = 0  # black: nothing of another clip must show
            else:
                self._weights[place] = 1

    def cancel(self) -> None:
        """What is not begun is not read; there must be nobody left who asks for the result."""
        for part in self._parts:
            part.cancel()

    def result(self) -> Batch:
        """The batch, when all its clips are there."""
        for part in self._parts:
            part.result()
        return self._clips, self._labels, self._weights


class _Memory:
    """Arrays of one size, in memory that is taken again when nobody holds the array before.

    Fresh memory of a batch costs as much as copying a third of its clips: the system clears it.

    TensorFlow shares the memory of an aligned array. It drops its reference after the last tensor
    that shares it is gone, when the next batch is handed over. So a batch that is still referenced is
    never overwritten, and a training needs only a few arrays.

    Attributes:
        allocations: the number of arrays that were allocated.
    """

    def __init__(self, length: int):
        self._length, self.allocations = length, 0
        self._free: list[np.ndarray] = []

    def array(self) -> np.ndarray:
        """uint8 (length,), not cleared, aligned so that TensorFlow takes it without a copy."""
        memory = self._free.pop() if self._free else self._allocate()
        # NumPy makes this array, whose base is no array, the base of each view of it: it lives
        # until the last of them is gone, tensors that share it included.
        array = np.frombuffer(memory.data, np.uint8)
        weakref.finalize(array, self._free.append, memory).atexit = False
        return array

    def clear(self) -> None:
        """Frees the memory of all arrays that nobody holds, now or later."""
        self._free = []

    def _allocate(self) -> np.ndarray:
        self.allocations += 1
        memory = np.empty(self._length + ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        return memory[start : start + self._length]
