import contextlib
import itertools
import shutil
import threading
import time

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.pipeline import (
    Batches,
    ClipBatches,
    ClipStream,
    EpochSetter,
    steps_per_epoch,
)
from ar3d_keras.videos.sampling import ClipShape, epoch_order
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.sources import RandomSampler, UniformSampler, VideoSource

SHAPE = ClipShape(frames=4, height=16, width=20, resize_height=20, resize_width=28, stride=2)
CLIP = (4, 16, 20, 3)
SEED = 3

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.data feeds the TensorFlow backend only"
)


class Asked:
    """A source that remembers which clips were asked for, and is slow at every other one."""

    def __init__(self, source, delay=0.0):
        self._source, self._lock, self.places = source, threading.Lock(), []
        self._delay = delay

    def __getattr__(self, name):
        return getattr(self._source, name)

    def __len__(self):
        return len(self._source)

    def clip_spec(self, index, epoch):
        with self._lock:
            self.places.append((index, epoch))
        return self._source.clip_spec(index, epoch)

    def cut(self, index, spec, out):
        time.sleep(self._delay * (index % 2))
        return self._source.cut(index, spec, out)


def source_of(root, views=None):
    catalog = open_catalog(root)
    frames = scan(catalog, workers=2).frames
    views = views or RandomSampler(seed=SEED, flip=True)
    return VideoSource(catalog.root, catalog.videos, frames, catalog.class_names, SHAPE, views)


@pytest.fixture
def source(ucf_set):
    return source_of(ucf_set)


def equal(one, other):
    one, other = list(one), list(other)
    return len(one) == len(other) and all(
        len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
        for a, b in zip(one, other, strict=True)
    )


def by_hand(source, epochs, size):
    """Every batch of `epochs`, from the order and the source alone."""
    for epoch in epochs:
        order = epoch_order(len(source), seed=SEED, epoch=epoch)
        for first in range(0, len(order), size):
            group = order[first : first + size]
            yield (
                np.stack([source[int(index), epoch] for index in group]),
                source.labels[group],
                np.ones(len(group), np.float32),
            )


def from_tf(source, size, epochs, workers):
    data = ClipStream(source, size, seed=SEED, epochs=epochs, workers=workers).dataset
    return list(data.as_numpy_iterator())


def from_keras(source, size, epochs, workers=1):
    data = ClipBatches(source, size, seed=SEED, workers=workers)
    for epoch in epochs:
        data.epoch = epoch
        yield from (data[step] for step in range(len(data)))


def well_formed(batch, count):
    clips, labels, weights = batch
    assert (clips.shape, clips.dtype) == ((count, *CLIP), np.uint8)
    assert (labels.shape, labels.dtype) == ((count,), np.int64)
    assert (weights.shape, weights.dtype) == ((count,), np.float32)


@pytest.mark.parametrize(
    ("clips", "size", "steps"), [(10, 4, 3), (10, 5, 2), (10, 1, 10), (10, 16, 1)]
)
def test_steps_per_epoch(source, clips, size, steps):
    assert len(source) == clips
    assert steps_per_epoch(source, size) == steps
    assert len(ClipBatches(source, size, seed=0, workers=1)) == steps


# Evaluation


@pytest.mark.multi_backend
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("size", [1, 4, 10, 16])
def test_evaluation_batches_come_in_order(ucf_set, workers, size):
    source = source_of(ucf_set, UniformSampler(clips=2, crops=1))
    found = list(Batches(source, size, workers=workers))
    counts = [len(labels) for _, labels, _ in found]
    assert counts == [size] * (20 // size) + ([20 % size] if 20 % size else [])
    for batch, count in zip(found, counts, strict=True):
        well_formed(batch, count)
    clips, labels, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    assert np.array_equal(clips, np.stack([source[index, 0] for index in range(20)]))
    assert labels.tolist() == [0] * 10 + [1] * 10
    assert weights.tolist() == [1] * 20


@pytest.mark.multi_backend
def test_evaluation_reads_no_more_than_two_batches_ahead(ucf_set):
    source, before = Asked(source_of(ucf_set, UniformSampler())), set(threading.enumerate())
    stream = iter(Batches(source, 2, workers=2))
    next(stream)
    assert len(source.places) <= 6
    stream.close()
    assert len(source.places) <= 6
    assert set(threading.enumerate()) <= before


@pytest.mark.multi_backend
def test_no_videos_no_batches(source):
    empty = VideoSource(source.root, (), {}, ("a", "b"), SHAPE, UniformSampler())
    assert list(Batches(empty, 4)) == []


# Training


@pytest.mark.multi_backend
@pytest.mark.parametrize("size", [1, 4, 10, 16])
def test_keras_batches_are_what_the_parts_make(source, size):
    found = list(from_keras(source, size, range(3)))
    assert equal(found, by_hand(source, range(3), size))
    well_formed(found[0], min(size, 10))
    assert sum(len(labels) for _, labels, _ in found) == 30  # the partial batch is kept


@pytest.mark.multi_backend
@pytest.mark.parametrize("workers", [1, 4])
def test_keras_batches_do_not_depend_on_what_was_asked_before(source, workers):
    """Keras peeks, asks twice, and may stop in the middle of an epoch."""
    data = ClipBatches(source, 4, seed=SEED, workers=workers)
    whole = {epoch: list(by_hand(source, [epoch], 4)) for epoch in range(3)}
    for epoch, step in [(0, 0), (0, 0), (0, 2), (0, 1), (2, 1), (1, 1), (1, 2), (0, 0), (2, 0)]:
        data.epoch = epoch
        assert equal([data[step]], [whole[epoch][step]])


@tensorflow_only
@pytest.mark.parametrize("size", [1, 4, 10, 16])
def test_tensorflow_batches_are_what_the_parts_make(source, size):
    found = from_tf(source, size, range(3), workers=2)
    assert equal(found, by_hand(source, range(3), size))
    well_formed(found[0], min(size, 10))
    assert equal(found, from_keras(source, size, range(3)))


@tensorflow_only
def test_workers_do_not_change_the_batches(source):
    """Nor do clips that are slow to come and could be overtaken."""
    slow = Asked(source, delay=0.03)
    assert equal(from_tf(source, 4, range(3), 1), from_tf(slow, 4, range(3), 4))


@pytest.mark.multi_backend
def test_workers_do_not_change_the_keras_and_the_evaluation_batches(source):
    slow = Asked(source, delay=0.03)
    assert equal(from_keras(source, 4, range(3)), from_keras(slow, 4, range(3), workers=4))
    assert equal(Batches(source, 4), Batches(slow, 4, workers=4))


@tensorflow_only
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_stream_that_starts_later_goes_on_as_the_whole_one(source, epoch):
    steps = steps_per_epoch(source, 4)
    whole = from_tf(source, 4, range(4), workers=4)
    assert len(whole) == 4 * steps
    assert equal(from_tf(source, 4, range(epoch, 4), workers=4), whole[epoch * steps :])


@tensorflow_only
def test_the_tensorflow_stream_knows_its_shapes_but_not_its_length(source):
    import tensorflow as tf

    data = ClipStream(source, 4, seed=SEED, epochs=range(2), workers=1).dataset
    clips, labels, weights = data.element_spec
    assert (clips.shape.as_list(), clips.dtype) == ([None, *CLIP], tf.uint8)
    assert (labels.shape.as_list(), labels.dtype) == ([None], tf.int64)
    assert (weights.shape.as_list(), weights.dtype) == ([None], tf.float32)
    assert data.cardinality() == tf.data.UNKNOWN_CARDINALITY


@pytest.mark.multi_backend
def test_epochs_and_seeds_differ(source):
    first, second = (next(from_keras(source, 10, [epoch])) for epoch in range(2))
    assert not np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], second[0])
    other = ClipBatches(source, 10, seed=SEED + 1, workers=1)[0]
    assert not np.array_equal(first[1], other[1])


# Memory


@pytest.mark.multi_backend
@settings(max_examples=20)
@given(size=st.integers(1, 12), workers=st.integers(1, 5), held=st.lists(st.booleans()))
def test_a_batch_that_somebody_holds_is_not_written_again(ucf_set, size, workers, held):
    """The memory of a batch is taken for another once nobody has it, nor a part of it."""
    source = source_of(ucf_set)
    kept = []
    for number, batch in enumerate(from_keras(source, size, range(2), workers)):
        if number < len(held) and held[number]:
            kept.append((number, batch[0][-1:, 1:]))  # a view of a view
    whole = list(by_hand(source, range(2), size))
    for number, part in kept:
        assert np.array_equal(part, whole[number][0][-1:, 1:])


@pytest.mark.multi_backend
def test_memory_is_taken_again(source):
    data = ClipBatches(source, 1, seed=SEED, workers=1)
    places = {data[step][0].ctypes.data for step in range(10)}
    assert len(places) == data.allocations < 6
    assert all(place % 64 == 0 for place in places)


@tensorflow_only
def test_tensors_that_are_held_are_not_written_again(source):
    stream = ClipStream(source, 1, seed=SEED, epochs=range(4), workers=2)
    tensors = list(stream.dataset)
    stream.close()
    for found, wanted in zip(tensors, by_hand(source, range(4), 1), strict=True):
        assert np.array_equal(found[0].numpy(), wanted[0])


@tensorflow_only
def test_tensorflow_gives_memory_back(source):
    """`fit` and a loop hold one batch; three more are read ahead, and one waits to be released."""
    epochs = range(6)
    stream = ClipStream(source, 1, seed=SEED, epochs=epochs, workers=2)
    with contextlib.closing(stream):
        assert sum(1 for _ in stream.dataset) == 60
    assert stream.allocations <= 8
    network = keras.Sequential([keras.Input(CLIP), keras.layers.Flatten(), keras.layers.Dense(2)])
    network.compile("sgd", "mse", jit_compile=False)
    stream = ClipStream(source, 1, seed=SEED, epochs=epochs, workers=2)
    with contextlib.closing(stream):
        network.fit(
            stream.dataset, epochs=len(epochs), steps_per_epoch=10, shuffle=False, verbose=0
        )
    assert stream.allocations <= 8


# The end of a stream


@tensorflow_only
def test_a_closed_stream_opens_no_video_and_leaves_no_thread(source):
    before = set(threading.enumerate())
    asked = Asked(source, delay=0.05)
    stream = ClipStream(asked, 2, seed=SEED, epochs=range(100), workers=3)
    batches = iter(stream.dataset)
    next(batches)
    stream.close()
    cut = asked._source.cut
    asked._source.cut = lambda *place: pytest.fail("read after close")
    for _ in range(12):
        clips, labels, weights = next(batches)
    asked._source.cut = cut
    assert not clips.numpy().any()
    assert weights.numpy().tolist() == [0, 0]
    assert len(labels) == 2
    assert {t for t in threading.enumerate() if "ThreadPool" in t.name} <= before


@pytest.mark.multi_backend
@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_that_is_no_damaged_video_is_not_hidden(source, workers, monkeypatch):
    def broken(index, view, out):
        raise ZeroDivisionError

    monkeypatch.setattr(source, "cut", broken)
    with pytest.raises(ZeroDivisionError):
        list(Batches(source, 4, workers=workers))


# A video that is lost while a run goes on


@pytest.fixture
def lost(ucf_set, tmp_path):
    """A source and the index of a video that was deleted after the probe."""
    root = shutil.copytree(ucf_set, tmp_path / "data")
    source = source_of(root)
    (root / source.videos[7].path).unlink()
    return source, 7


def black_and_weightless(source, lost, found, order):
    clips, labels, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    place = order.index(lost)
    assert weights.tolist() == [float(index != lost) for index in order]
    assert labels.tolist() == source.labels[order].tolist()
    assert not clips[place].any()
    assert all(clips[other].any() for other in range(10) if other != place)
    assert list(source.failures) == [source.videos[lost].path]
    assert "No such file" in source.failures[source.videos[lost].path]


@pytest.mark.multi_backend
def test_a_lost_video_is_black_and_weighs_nothing(lost):
    source, index = lost
    order = epoch_order(10, seed=SEED, epoch=1).tolist()
    black_and_weightless(source, index, list(from_keras(source, 4, [1])), order)
    source.failures.clear()
    black_and_weightless(source, index, list(Batches(source, 4)), list(range(10)))


@tensorflow_only
def test_a_lost_video_is_black_and_weighs_nothing_on_tensorflow(lost):
    source, index = lost
    order = epoch_order(10, seed=SEED, epoch=1).tolist()
    black_and_weightless(source, index, from_tf(source, 4, range(1, 2), 2), order)
    assert equal(from_tf(source, 4, range(2), 1), from_keras(source, 4, range(2)))


# Under fit


def network():
    """Small, linear and quick to learn, so that every batch leaves its mark on the weights."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Input(CLIP, dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
    return model


def weights_after(model):
    return np.concatenate([np.ravel(value) for value in model.get_weights()])


def trained_by_hand(source, size, epochs):
    model = network()
    for clips, labels, weights in by_hand(source, epochs, size):
        model.train_on_batch(clips, labels, sample_weight=weights)
    return weights_after(model)


def fit_with_keras_batches(source, size, epochs, workers):
    data = ClipBatches(source, size, seed=SEED, workers=workers)
    data.epoch = epochs.start
    model = network()
    model.fit(
        data, initial_epoch=epochs.start, epochs=epochs.stop, shuffle=False, verbose=0,
        callbacks=[EpochSetter(data)],
    )  # fmt: skip
    return weights_after(model)


@pytest.mark.multi_backend
@pytest.mark.parametrize(
    ("epochs", "workers"), [(range(4), 4), (range(2, 4), 1)], ids=["whole", "resumed"]
)
def test_fit_trains_on_the_clips_of_the_epoch_it_is_in(source, epochs, workers):
    asked = Asked(source)
    found = fit_with_keras_batches(asked, 4, epochs, workers)
    wanted = set(itertools.product(range(10), epochs))
    assert {(int(index), int(epoch)) for index, epoch in asked.places} == wanted
    assert np.allclose(found, trained_by_hand(source, 4, epochs), atol=1e-6)
    # The comparison can tell: one epoch off is far off.
    shifted = range(epochs.start + 1, epochs.stop + 1)
    assert not np.allclose(found, trained_by_hand(source, 4, shifted), atol=1e-4)


@tensorflow_only
@pytest.mark.parametrize("epochs", [range(4), range(2, 4)], ids=["whole", "resumed"])
def test_fit_on_the_tensorflow_stream_equals_fit_on_keras_batches(source, epochs):
    model = network()
    model.fit(
        ClipStream(source, 4, seed=SEED, epochs=epochs, workers=2).dataset,
        initial_epoch=epochs.start, epochs=epochs.stop,
        steps_per_epoch=steps_per_epoch(source, 4), shuffle=False, verbose=0,
    )  # fmt: skip
    assert np.allclose(weights_after(model), trained_by_hand(source, 4, epochs), atol=1e-6)


def test_every_batch_says_when_it_lay_ready(source):
    begun = time.perf_counter()
    stream = ClipStream(source, 4, seed=SEED, epochs=range(1, 3), workers=2)
    batches = ClipBatches(source, 4, seed=SEED, workers=2)
    steps = len(batches)
    with contextlib.closing(stream):
        assert len(list(stream.dataset)) == 2 * steps
    for batches.epoch in (1, 2):
        for step in range(steps):
            batches[step]
    for feed in (stream, batches):
        assert sorted(feed.ready) == [(e, s) for e in (1, 2) for s in range(steps)]
        assert all(begun < at < time.perf_counter() for at in feed.ready.values())
