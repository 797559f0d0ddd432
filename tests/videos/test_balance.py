from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar3d_keras.config import AugmentConfig
from ar3d_keras.videos.balance import balanced_order, class_weights, rare_class_notes, weigh
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.mixing import Mixing
from ar3d_keras.videos.pipeline import ClipBatches, ClipStream, EpochOrder
from ar3d_keras.videos.reader import ReadError
from ar3d_keras.videos.sampling import ClipShape, epoch_order
from ar3d_keras.videos.sources import ClipSource, RandomSampler
from ar3d_keras.videos.splits import Split
from ar3d_keras.videos.video import Video

SHAPE = ClipShape(frames=2, height=2, width=2, resize_height=6, resize_width=6, stride=4)
counts_of_classes = st.lists(st.integers(1, 30), min_size=1, max_size=6)


class Numbers(ClipSource):
    """A clip whose pixels are the place of its video, its first frame, top and left."""

    lost = frozenset()

    def _clip(self, video, spec, shape, out):
        if video.path in self.lost:
            raise ReadError("lost")
        out = np.empty(shape.array, np.uint8) if out is None else out
        out[:] = int(video.path), spec.window[0], 8 * spec.top + spec.left
        return out


def source_of(counts, seed=0):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    videos = [Video(str(n), f"c{label}") for n, label in enumerate(labels)]
    names = [f"c{n}" for n in range(len(counts))]
    frames = {video.path: 60 for video in videos}
    return Numbers(videos, frames, names, SHAPE, RandomSampler(seed, flip=False))


def batches_of(source, epochs=range(1), *, seed=0, workers=1, mixing=None, balance="none"):
    feed = ClipBatches(source, 4, seed=seed, workers=workers, mixing=mixing, balance=balance)
    for epoch in epochs:
        feed.epoch = epoch
        yield from (feed[step] for step in range(len(feed)))


def equal(one, other):
    return all(
        np.array_equal(x, y)
        for a, b in zip(one, other, strict=True)
        for x, y in zip(a, b, strict=True)
    )


@given(counts_of_classes, st.integers(0, 2**32 - 1), st.integers(0, 100))
def test_every_class_has_equally_many_clips(counts, seed, epoch):
    labels = source_of(counts).labels
    order = balanced_order(labels, seed=seed, epoch=epoch)
    assert order.shape == (len(labels),)
    drawn = Counter(labels[order % len(labels)].tolist())
    assert max(drawn.values()) - min(drawn[c] for c in range(len(counts))) <= 1
    # No clip twice; the videos of a class equally often, or as nearly as can be.
    assert len(set(order.tolist())) == len(order)
    often = np.bincount(order % len(labels), minlength=len(labels))
    for label in range(len(counts)):
        assert np.ptp(often[labels == label]) <= 1
    assert np.array_equal(order, balanced_order(labels, seed=seed, epoch=epoch))


def test_the_order_follows_seed_and_epoch():
    labels = source_of([30, 5]).labels
    orders = {tuple(balanced_order(labels, seed=s, epoch=e)) for s in range(4) for e in range(4)}
    assert len(orders) == 16


def test_over_the_epochs_all_videos_of_a_large_class_are_seen():
    labels = source_of([40, 4]).labels
    seen = {v for e in range(20) for v in balanced_order(labels, seed=0, epoch=e) % len(labels)}
    assert seen == set(range(44))


@given(counts_of_classes, st.integers(0, 2**32 - 1), st.integers(0, 20))
def test_without_the_option_the_order_is_epoch_order(counts, seed, epoch):
    source = source_of(counts)
    expected = epoch_order(len(source), seed=seed, epoch=epoch)
    for balance in ("none", "loss"):
        order = EpochOrder(source, seed=seed, balance=balance)
        assert np.array_equal(order(epoch), expected)
        assert np.array_equal(order.batch(epoch, 1, 4), expected[4:8])
    balanced = EpochOrder(source, seed=seed, balance="sampler")
    assert np.array_equal(balanced(epoch), balanced_order(source.labels, seed=seed, epoch=epoch))


@settings(max_examples=20, deadline=None)
@given(counts_of_classes, st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_without_the_option_batches_are_the_clips_of_epoch_order(counts, seed, epoch):
    source = source_of(counts, seed)
    found = list(batches_of(source, [epoch], seed=seed))
    order = epoch_order(len(source), seed=seed, epoch=epoch)
    by_hand = [
        (
            np.stack([source[int(i), epoch] for i in order[k : k + 4]]),
            source.labels[order[k : k + 4]],
            np.ones(len(order[k : k + 4]), np.float32),
        )
        for k in range(0, len(order), 4)
    ]
    assert equal(found, by_hand)


def test_repeated_videos_give_other_clips_and_the_right_labels():
    source = source_of([37, 3])
    clips, labels, weights = map(
        np.concatenate, zip(*batches_of(source, balance="sampler"), strict=True)
    )
    places = clips[:, 0, 0, 0, 0]
    assert np.array_equal(labels, source.labels[places])
    assert Counter(labels.tolist()) == {0: 20, 1: 20}
    assert weights.tolist() == [1] * 40
    rare = clips[labels == 1][:, 0, 0, 0]
    assert len(np.unique(rare, axis=0)) > 15  # 20 clips of 3 videos
    assert source.clip_spec(5, 2).window.tolist() != source.clip_spec(45, 2).window.tolist() or (
        source.clip_spec(5, 2).top != source.clip_spec(45, 2).top
    )


def test_balanced_batches_depend_neither_on_workers_nor_on_where_training_begins():
    source = source_of([20, 3, 9])
    whole = list(batches_of(source, range(3), balance="sampler"))
    assert equal(whole, batches_of(source, range(3), workers=4, balance="sampler"))
    assert equal(whole[16:], batches_of(source, range(2, 3), balance="sampler"))


@pytest.mark.parametrize("balance", ["none", "sampler", "loss"])
@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_tensorflow_gets_the_same_batches(balance, mixup):
    pytest.importorskip("tensorflow")
    source = source_of([20, 3, 9])
    mixing = Mixing(AugmentConfig(mixup=mixup), num_classes=3, seed=0)
    stream = ClipStream(
        source, 4, seed=0, epochs=range(2), workers=2, mixing=mixing, balance=balance
    )
    found = list(stream.dataset.as_numpy_iterator())
    stream.close()
    assert equal(found, batches_of(source, range(2), mixing=mixing, balance=balance))


@given(counts_of_classes)
def test_class_weights_have_mean_1_and_are_inverse_to_the_counts(counts):
    labels = source_of(counts).labels
    weights = class_weights(labels, len(counts) + 1)
    assert weights.dtype == np.float32
    assert weights[-1] == 0
    assert np.mean(weights[labels]) == pytest.approx(1, rel=1e-5)
    assert weights[:-1] * counts == pytest.approx(np.full(len(counts), weights[0] * counts[0]))


def test_values_of_class_weights():
    assert class_weights(np.array([0, 0, 0, 1]), 2).tolist() == pytest.approx([2 / 3, 2])


def test_the_loss_of_a_clip_is_weighted_by_its_class():
    source = source_of([12, 4])
    for (_, labels, weights), (_, plain, _) in zip(
        batches_of(source, balance="loss"), batches_of(source), strict=True
    ):
        assert np.array_equal(labels, plain)
        assert weights == pytest.approx(np.where(labels == 0, 2 / 3, 2))


def test_a_mixed_clip_has_the_expected_weight_of_its_label():
    source = source_of([12, 4])
    mixing = Mixing(AugmentConfig(mixup=0.4), num_classes=2, seed=0)
    for _, labels, weights in batches_of(source, mixing=mixing, balance="loss"):
        assert weights.dtype == np.float32
        assert weights == pytest.approx(labels @ np.array([2 / 3, 2]))


def test_a_lost_video_does_not_dilute_the_loss():
    by_class = np.array([2 / 3, 2], np.float32)
    weights = weigh(np.array([0, 1, 1, 0]), np.array([1, 0, 1, 1], np.float32), by_class)
    assert weights == pytest.approx(np.array([2 / 3, 0, 2, 2 / 3]) * 4 / 3)
    assert not weigh(np.array([0]), np.zeros(1, np.float32), by_class).any()


def split_of(**counts):
    videos = [Video(f"{n}", label) for label, n_ in counts.items() for n in range(n_)]
    videos.append(Video("x", next(iter(counts))))
    return Split(
        Catalog(Path("/d"), tuple(videos)), "csv", ("train",) * (len(videos) - 1) + ("val",)
    )


@pytest.mark.parametrize(
    ("counts", "rare"),
    [
        ({"a": 10, "b": 100}, ()),
        ({"a": 9, "b": 10}, ("a",)),
        ({"a": 19, "b": 200}, ("a",)),
        ({"a": 20, "b": 200, "c": 3}, ("c",)),
    ],
)
def test_rare_classes_are_named(counts, rare):
    notes = rare_class_notes(split_of(**counts))
    assert len(notes) == bool(rare)
    for name in counts:
        assert any(f"{name!r} {counts[name]}" in note for note in notes) == (name in rare)
