"""Fine-tuning: which weights are taken, and which never move."""

import json

import keras
import numpy as np
import pytest

from ar3d_keras.models.conv3d import Conv3DClassifier
from ar3d_keras.training.fine_tuning import freeze
from ar3d_keras.training.warm_start import (
    WarmStart,
    find_warm_start,
    take_weights,
    weighted_layers,
)

SIZES = {"frames": 4, "height": 8, "width": 8, "filters": 2, "pool": 4, "dense": 3}
ABC = ("a", "b", "c")


def network(classes=3, attention=True, **sizes):
    return Conv3DClassifier(classes, attention=attention, **{**SIZES, **sizes})


@pytest.fixture
def saved(tmp_path):
    """saved(network, classes): the network as a run's best.keras."""

    def save(model, classes=ABC):
        folder = tmp_path / "runs" / "old"
        (folder / "checkpoints").mkdir(parents=True)
        model.save(folder / "checkpoints" / "best.keras")
        record = {"begun": "2026-01-01", "config": {}, "data": {}, "split": {}, "classes": classes}
        (folder / "run.json").write_text(json.dumps(record))
        return find_warm_start("old", tmp_path / "runs")

    return save


def layers_equal(one, other, name):
    pairs = zip(
        weighted_layers(one)[name].get_weights(), weighted_layers(other)[name].get_weights(),
        strict=True,
    )  # fmt: skip
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.multi_backend
def test_everything_is_taken_where_everything_fits(saved):
    old, new = network(), network()
    told = take_weights(new, saved(old), ABC)
    assert "features, gate, dense, output from" in told
    assert told.endswith("new: none")
    assert all(layers_equal(old, new, name) for name in weighted_layers(new))


@pytest.mark.parametrize(("classes", "names"), [(4, "abcd"), (3, "abd"), (3, "cab")])
def test_other_classes_get_a_new_head(saved, classes, names):
    old, new = network(), network(classes)
    head = weighted_layers(new)["output"].get_weights()
    told = take_weights(new, saved(old), tuple(names))
    assert told.endswith("new: output")
    assert layers_equal(old, new, "dense")
    assert np.array_equal(head[0], weighted_layers(new)["output"].get_weights()[0])


def test_layers_of_other_shapes_or_names_are_new(saved):
    start = saved(network(attention=False))
    assert "features, dense, output from" in (told := take_weights(network(), start, ABC))
    assert told.endswith("new: gate")
    assert take_weights(network(dense=5), start, ABC).endswith("new: gate, dense, output")
    assert take_weights(network(height=16), start, ABC).endswith("new: gate, dense")


def test_a_file_alone_says_no_classes(saved, tmp_path):
    old = network()
    old.save(tmp_path / "alone.keras")
    start = find_warm_start(str(tmp_path / "alone.keras"), tmp_path)
    assert start.class_names is None
    assert take_weights(network(), start, tuple("xyz")).endswith("new: none")
    inside = saved(old)
    assert find_warm_start(str(inside.file), tmp_path) == inside  # of a run: its classes


def test_what_cannot_be_taken_is_refused(saved, tmp_path, user_error):
    start = saved(network())
    with user_error("`init_from`", "features 3x3x3x3x2", "features 5x5x5x3x2"):
        take_weights(network(4, kernel=5, gate_kernel=5, dense=4), start, tuple("abcd"))

    @keras.saving.register_keras_serializable("tests")
    class Other(Conv3DClassifier):
        pass

    with user_error("`init_from`", "Conv3DClassifier", "Other", "`model`"):
        take_weights(Other(3, **SIZES), start, ABC)
    with user_error("`init_from`", "nowhere"):
        find_warm_start("nowhere", tmp_path)
    with user_error("`init_from`", "nowhere.keras"):
        find_warm_start("nowhere.keras", tmp_path)
    network().save(start.file)
    with user_error("old/checkpoints/best.keras", "`config`"):
        take_weights(network(), start, ABC)


def test_a_record_gives_the_start_back(saved):
    start = saved(network())
    record = json.loads(json.dumps(start.record()))
    assert WarmStart(record["file"], record["sha256"], tuple(record["class_names"])) == WarmStart(
        str(start.file), start.sha256, start.class_names
    )


# Freezing


def streams():
    """Two streams with layers of the same names, one of them with BatchNorm."""
    clip = keras.Input((4, 8, 8, 3), name="clip")

    def stream(name):
        x = keras.layers.Conv3D(2, 1, name="conv1", data_format="channels_last")(clip)
        x = keras.layers.BatchNormalization(name="norm1")(x)
        x = keras.layers.GlobalAveragePooling3D(data_format="channels_last")(x)
        x = keras.layers.Dense(2, activation="softmax", name="scores")(x)
        return keras.Model(clip, x, name=name)(clip)

    return keras.Model(clip, keras.layers.Average()([stream("colour"), stream("motion")]))


def fit(model):
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    draw = np.random.default_rng(0)
    model.fit(draw.random((8, 4, 8, 8, 3)), draw.integers(0, 2, 8), epochs=2, verbose=0)


@pytest.mark.multi_backend
@pytest.mark.parametrize(
    ("patterns", "frozen"),
    [
        (["colour/*"], ["colour/conv1", "colour/norm1", "colour/scores"]),
        (["*/conv1", "motion/norm?"], ["colour/conv1", "motion/conv1", "motion/norm1"]),
    ],
)
def test_frozen_layers_stay_bit_for_bit_and_the_others_move(patterns, frozen):
    """The statistics of a frozen BatchNorm too."""
    model = streams()
    told = freeze(model, patterns)
    assert told.startswith(f"frozen: {', '.join(frozen)}; trained: ")
    layers = weighted_layers(model)
    before = {name: layer.get_weights() for name, layer in layers.items()}
    assert set(before) > set(frozen)
    fit(model)
    for name, layer in layers.items():
        same = [
            np.array_equal(a, b) for a, b in zip(before[name], layer.get_weights(), strict=True)
        ]
        assert all(same) if name in frozen else not any(same), name


def test_patterns_that_freeze_nothing_or_everything_are_refused(user_error):
    with user_error("`freeze`", "conv", "features, gate, dense, output"):
        freeze(network(), ["features", "conv"])
    with user_error("`freeze`", "pool"):
        freeze(network(), ["pool"])
    with user_error("`freeze`", "*"):
        freeze(network(), ["*"])
