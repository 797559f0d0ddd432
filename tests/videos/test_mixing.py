"""Mixup and cutmix: what is mixed with what, and the labels that belong to it."""

import itertools
import shutil

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.config import AugmentConfig
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.mixing import Mixing
from ar3d_keras.videos.pipeline import ClipBatches, ClipStream
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.sources import RandomSampler, VideoSource

SHAPE = ClipShape(frames=4, height=16, width=20, resize_height=20, resize_width=28, stride=2)
MIXUP, CUTMIX = AugmentConfig(mixup=0.4), AugmentConfig(cutmix=1.0)
BOTH = AugmentConfig(mixup=0.4, cutmix=1.0)
KINDS = pytest.mark.parametrize("augment", [MIXUP, CUTMIX, BOTH], ids=["mixup", "cutmix", "both"])


def batch_of(count=6, classes=3, seed=0, channels=3):
    draw = np.random.default_rng(seed)
    clips = draw.integers(0, 256, (count, 4, 16, 20, channels), np.uint8)
    return clips, draw.integers(0, classes, count), np.ones(count, np.float32)


def test_nothing_is_mixed_by_default():
    assert not Mixing(AugmentConfig(), num_classes=3, seed=0)
    assert all(Mixing(augment, num_classes=3, seed=0) for augment in (MIXUP, CUTMIX, BOTH))


@given(
    st.sampled_from([MIXUP, CUTMIX, BOTH]),
    st.integers(1, 12), st.integers(0, 2**32 - 1), st.integers(0, 50), st.integers(0, 5000),
    st.sampled_from([3, 5]),
)  # fmt: skip
def test_a_mixed_batch(augment, count, seed, epoch, step, channels):
    clips, labels, weights = batch_of(count, seed=seed, channels=channels)
    before = clips.copy()
    mixing = Mixing(augment, num_classes=3, seed=seed)
    mixed, soft = mixing(clips, labels, weights, epoch=epoch, step=step)
    again, soft_again = mixing(clips, labels, weights, epoch=epoch, step=step)
    assert np.array_equal(mixed, again)
    assert np.array_equal(soft, soft_again)
    assert np.array_equal(clips, before)  # the batch that was given is left alone
    assert (mixed.shape, mixed.dtype) == (clips.shape, np.uint8)
    assert (soft.shape, soft.dtype) == ((count, 3), np.float32)
    assert np.allclose(soft.sum(axis=1), 1)
    assert soft.min() >= 0
    mix = mixing.draw(count, (16, 20), epoch=epoch, step=step)
    assert sorted(mix.partners) == list(range(count))
    for i, partner in enumerate(mix.partners):
        wanted = np.zeros(3)
        wanted[labels[i]] += mix.share
        wanted[labels[partner]] += 1 - mix.share
        assert np.allclose(soft[i], wanted, atol=1e-6)
        if mix.pasted is None:
            blend = mix.share * clips[i] + (1 - mix.share) * clips[partner].astype(float)
            assert np.abs(mixed[i] - blend).max() <= 0.51
        else:
            inside = np.zeros((16, 20), bool)
            top, left, height, width = mix.pasted
            inside[top : top + height, left : left + width] = True
            assert np.array_equal(mixed[i][:, inside], clips[partner][:, inside])
            assert np.array_equal(mixed[i][:, ~inside], clips[i][:, ~inside])
            assert (~inside).mean() == pytest.approx(mix.share)  # the label is the area's


def test_with_both_some_batches_are_blended_and_some_pasted():
    mixing = Mixing(BOTH, num_classes=3, seed=0)
    pasted = [mixing.draw(4, (16, 20), epoch=0, step=step).pasted for step in range(200)]
    assert 70 < sum(box is None for box in pasted) < 130


def test_the_share_is_of_a_beta_distribution():
    for alpha in (0.2, 1.0):
        mixing = Mixing(AugmentConfig(mixup=alpha), num_classes=3, seed=0)
        shares = [mixing.draw(4, (16, 20), epoch=0, step=step).share for step in range(3000)]
        assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
        assert np.var(shares) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


@KINDS
def test_a_clip_that_could_not_be_read_is_mixed_with_none(augment):
    clips, labels, weights = batch_of(8)
    clips[3], weights[3] = 0, 0
    mixing = Mixing(augment, num_classes=3, seed=1)
    for step in range(10):
        mixed, soft = mixing(clips, labels, weights, epoch=0, step=step)
        partners = mixing.draw(8, (16, 20), epoch=0, step=step).partners
        for alone in (3, int(np.flatnonzero(partners == 3)[0])):
            assert np.array_equal(mixed[alone], clips[alone])
            assert soft[alone].tolist() == np.eye(3)[labels[alone]].tolist()


# In batches


@pytest.fixture
def source(ucf_set):
    catalog = open_catalog(ucf_set)
    frames = scan(catalog, workers=2).frames
    views = RandomSampler(3, True, BOTH)
    return VideoSource(catalog.root, catalog.videos, frames, catalog.class_names, SHAPE, views)


def keras_batches(source, epochs, workers=1, mixing=None):
    data = ClipBatches(source, 4, seed=3, workers=workers, mixing=mixing)
    for epoch in epochs:
        data.epoch = epoch
        yield from (data[step] for step in range(len(data)))


def equal(one, other):
    return all(
        np.array_equal(x, y)
        for a, b in zip(one, other, strict=True)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.multi_backend
@KINDS
def test_keras_batches_are_mixed_by_epoch_and_step(source, augment):
    mixing = Mixing(augment, num_classes=2, seed=3)
    plain = list(keras_batches(source, range(2)))
    mixed = list(keras_batches(source, range(2), workers=4, mixing=mixing))
    for (epoch, step), (clips, labels, weights), found in zip(
        itertools.product(range(2), range(3)), plain, mixed, strict=True
    ):
        wanted = mixing(clips, labels, weights, epoch=epoch, step=step)
        assert equal([found], [(*wanted, weights)])
        assert len(found[1]) == (4, 4, 2)[step]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data feeds TensorFlow only")
@KINDS
def test_the_tensorflow_stream_is_mixed_as_the_keras_batches(source, augment):
    import tensorflow as tf

    mixing = Mixing(augment, num_classes=2, seed=3)
    stream = ClipStream(source, 4, seed=3, epochs=range(1, 3), workers=4, mixing=mixing)
    clips, labels, _ = stream.dataset.element_spec
    assert clips.shape.as_list() == [None, 4, 16, 20, 3]
    assert (labels.shape.as_list(), labels.dtype) == ([None, 2], tf.float32)
    found = list(stream.dataset.as_numpy_iterator())
    stream.close()
    assert equal(found, keras_batches(source, range(1, 3), mixing=mixing))


@pytest.mark.multi_backend
def test_a_lost_video_stays_black_in_a_mixed_batch(source, tmp_path):
    root = shutil.copytree(source.root, tmp_path / "data")
    source.root = root
    (root / source.videos[7].path).unlink()
    clips, labels, weights = (
        np.concatenate(parts)
        for parts in zip(
            *keras_batches(source, [0], mixing=Mixing(CUTMIX, num_classes=2, seed=3)), strict=True
        )
    )
    lost = int(np.flatnonzero(weights == 0)[0])
    assert weights.sum() == 9
    assert not clips[lost].any()
    assert labels[lost].max() == 1
