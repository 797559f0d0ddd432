"""Published weights of other packages: names, layouts, heads, and what does not fit."""

import keras
import numpy as np
import pytest

from ar3d_keras.errors import UserError
from ar3d_keras.models.published import load_published
from ar3d_keras.networks import network
from ar3d_keras.training.warm_start import weighted_layers

SMALL = {
    "r3d": {"frames": 8, "height": 16, "width": 16, "width_multiplier": 1 / 16},
    "mc3": {"frames": 8, "height": 16, "width": 16, "width_multiplier": 1 / 16},
    "r2plus1d": {"frames": 8, "height": 16, "width": 16, "width_multiplier": 1 / 16},
    "s3d": {"frames": 8, "height": 20, "width": 20, "width_multiplier": 1 / 16},
    "i3d": {"frames": 8, "height": 16, "width": 16, "width_multiplier": 1 / 16},
    "c3d": {"frames": 16, "height": 48, "width": 32, "width_multiplier": 1 / 32, "dense": 8},
}
TORCH = {
    "gamma": "weight", "beta": "bias", "bias": "bias", "kernel": "weight",
    "moving_mean": "running_mean", "moving_variance": "running_var",
}  # fmt: skip


def build(name, classes=3, **changes):
    keras.utils.set_random_seed(0)
    return network(name)(classes, **{**SMALL[name], **changes})


def load(model, file):
    return load_published(model, weighted_layers(model), type(model).published, file)


def save_as_torch(model, file, **changes):
    """Writes weights as a state dict of PyTorch has them; an array in `changes` replaces one."""
    arrays = {"stem.1.num_batches_tracked": np.array(7)}
    for name, layer in weighted_layers(model).items():
        prefix = type(model).published.names(name)[-1 if name == "stem_norm" else 0]
        prefix = "stem.4" if name == "stem_norm" and model.name == "r2plus1d" else prefix
        for weight in layer.weights:
            array = np.asarray(weight)
            if weight.name == "kernel":
                array = np.moveaxis(array, (-1, -2), (0, 1))
            if name == "Logits":
                array = array.reshape(*array.shape, *(1,) * 3 * (array.ndim == 2))
            arrays[f"{prefix}.{TORCH[weight.name]}"] = array
    np.savez(file, **{**arrays, **changes})


def randomize(model):
    draw = np.random.default_rng(1)
    model.set_weights([draw.uniform(0.01, 0.1, w.shape) for w in model.get_weights()])


@pytest.mark.parametrize("name", ["r3d", "mc3", "r2plus1d", "s3d"])
def test_a_state_dict_of_torchvision(name, tmp_path):
    """Every weight has one name, which is torchvision's, and comes back."""
    old, new = build(name), build(name)
    randomize(old)
    save_as_torch(old, tmp_path / "file.npz")
    assert "new: none" in load(new, tmp_path / "file.npz")
    for one, other in zip(old.get_weights(), new.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.isfinite(new(np.zeros((1, *new.input_shape[1:])))).all()


@pytest.mark.parametrize(
    ("name", "layer", "published"),
    [
        ("r3d", "stem_conv", "stem.0"),
        ("r3d", "stage4_block2_conv2_norm", "layer4.1.conv2.1"),
        ("mc3", "stage2_block1_shortcut_norm", "layer2.0.downsample.1"),
        ("r2plus1d", "stem_temporal", "stem.3"),
        ("r2plus1d", "stage1_block1_conv2_temporal", "layer1.0.conv2.0.3"),
        ("r2plus1d", "stage3_block2_conv1_spatial_norm", "layer3.1.conv1.0.1"),
        ("s3d", "Conv3d_1a_7x7_temporal", "features.0.1.0"),
        ("s3d", "Conv3d_2b_1x1_norm", "features.2.1"),
        ("s3d", "Mixed_4f_2_3x3_spatial_norm", "features.12.branch2.1.0.1"),
        ("s3d", "Mixed_5c_3_1x1", "features.15.branch3.1.0"),
        ("i3d", "Conv3d_2c_3x3_norm", "Conv3d_2c_3x3_bn"),
        ("i3d", "Mixed_4d_1_3x3", "Conv3d_4d_1b_3x3_conv"),
        ("i3d", "Mixed_3b_3_1x1_norm", "Conv3d_3b_3b_1x1_bn"),
        ("c3d", "conv2a", "conv2"),
        ("c3d", "fc7", "classifier.3"),
    ],
)
def test_names(name, layer, published):
    assert published in network(name).published.names(layer)
    assert not network(name).published.names("gate")


def test_the_keras_port_of_i3d(tmp_path):
    """Its file as save_weights of Keras 2 writes it: with the head, and without it."""
    import h5py

    old = build("i3d")
    randomize(old)
    file = tmp_path / "weights.h5"
    with h5py.File(file, "w") as saved:
        for name, layer in weighted_layers(old).items():
            (published,) = type(old).published.names(name)
            for weight in layer.weights:
                array = np.asarray(weight)
                if name == "Logits" and weight.name == "kernel":
                    array = array[np.newaxis, np.newaxis, np.newaxis]  # a 1x1x1 convolution
                saved[f"{published}/{published}/{weight.name}:0"] = array
    new = build("i3d", attention=True)
    assert load(new, file).endswith("new: gate")
    for name, layer in weighted_layers(old).items():
        for one, other in zip(layer.weights, weighted_layers(new)[name].weights, strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    with h5py.File(file, "a") as saved:
        del saved["Conv3d_6a_1x1_conv"]
    assert load(build("i3d"), file).endswith("new: Logits")


@pytest.mark.parametrize("sequential", [False, True])
def test_c3d_predicts_as_the_same_network_in_torch(sequential, tmp_path):
    """Its first dense layer sees channels first, and its poolings round up, as Caffe's do."""
    torch = pytest.importorskip("torch")
    from torch import nn

    torch.manual_seed(0)
    sizes, maps, last = [2, 4, 8, 8, 16, 16, 16, 16], [], 3
    windows = {0: (1, 2, 2), 1: 2, 3: 2, 5: 2, 7: 2}
    for place, channels in enumerate(sizes):
        maps += [nn.Conv3d(last, channels, 3, padding=1), nn.ReLU()]
        last = channels
        if place in windows:
            maps.append(nn.MaxPool3d(windows[place], windows[place], ceil_mode=True))
    dense = [
        nn.Linear(16 * 2 * 1, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 8), nn.ReLU(),
        nn.Dropout(), nn.Linear(8, 3),
    ]  # fmt: skip
    features, classifier = nn.Sequential(*maps), nn.Sequential(*dense).eval()
    state = {f"features.{k}": v for k, v in features.state_dict().items()}
    state |= {f"classifier.{k}": v for k, v in classifier.state_dict().items()}
    if not sequential:
        names = ["conv1", "conv2", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b"]
        names += ["fc6", "fc7", "fc8"]
        state = {
            f"{name}.{kind}": value
            for name, pair in zip(names, zip(*[iter(state.values())] * 2, strict=True), strict=True)
            for kind, value in zip(("weight", "bias"), pair, strict=True)
        }
    torch.save(state, tmp_path / "c3d.pickle", _use_new_zipfile_serialization=False)
    model = build("c3d", normalization="sports1m")
    assert "new: none" in load(model, tmp_path / "c3d.pickle")

    clip = np.random.default_rng(0).integers(0, 256, (2, 16, 48, 32, 3), np.uint8)
    # Blue first, minus the mean color of Sports-1M.
    bgr = clip[..., ::-1] - np.array([90.2516, 97.6570, 101.4083], np.float32)
    with torch.no_grad():
        maps = features(torch.from_numpy(np.moveaxis(bgr, -1, 1).astype("float32").copy()))
        expected = classifier(maps.flatten(1)).softmax(1).numpy()
    np.testing.assert_allclose(model.predict_on_batch(clip), expected, rtol=1e-4)


def test_another_number_of_classes_gets_a_new_head(tmp_path):
    old, new = build("mc3", classes=5), build("mc3")
    save_as_torch(old, tmp_path / "file.npz")
    line = load(new, tmp_path / "file.npz")
    assert "output" in line and "5 classes" in line and "3 here" in line


def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path, user_error):
    file = tmp_path / "file.npz"
    save_as_torch(build("r3d"), file)

    def refused(model, *parts):
        before = model.get_weights()
        with user_error("`init_from`", "file.npz", *parts):
            load(model, file)
        for one, other in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)

    # Another width: both shapes.
    refused(build("r3d", width_multiplier=1 / 8), "stem.0.weight", "4x3x3x7x7", "3x7x7x3x8")
    # Other networks, one of the same names.
    refused(build("mc3"), "layer2.0.conv1.0.weight", "8x4x3x3x3", "1x3x3x4x8")
    refused(build("r2plus1d"), "stem.0.weight")
    refused(build("c3d"), "conv1", "stem.0.weight", "`model`")
    save_as_torch(build("r3d"), file, **{"layer5.weight": np.zeros((2, 3))})
    refused(build("r3d"), "layer5.weight", "2x3", "`model`")


def test_another_number_of_frames(tmp_path, user_error):
    """Where a dense layer sees the whole map, its size depends on the clip."""
    file = tmp_path / "file.npz"
    save_as_torch(build("c3d"), file)
    with user_error("fc6.weight", "8x32", "64x8", "`frames` 16", "`height` 112"):
        load(build("c3d", frames=32), file)
    save_as_torch(build("r3d"), file)
    assert "new: none" in load(build("r3d", frames=16), file)  # pools over any number


def test_a_normalization_that_is_none():
    with pytest.raises(UserError, match=r"`normalization`.*kinetics"):
        build("r3d", normalization="imagenet")
