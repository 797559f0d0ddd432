"""The tests that every network must pass: a new network's test is a subclass with a few attributes."""

import contextlib
import json
from typing import ClassVar

import keras
import numpy as np
import pytest

from ar3d_keras import load_model
from ar3d_keras.errors import UserError
from ar3d_keras.models import network, options
from ar3d_keras.videos.sampling import ClipShape

_built: dict[type, keras.Model] = {}


class NetworkTests:
    """Subclass it as `Test...` and set the attributes.

    One test is marked for every backend.

    Attributes:
        name: the network's name in the registry.
        small: options that make it fast on every backend, including the clip's size.
        gated: the layer whose output goes through the gate; None if it has no gate.
        shapes: output shapes of some layers for `small`, without the batch.
        quick_on_jax: whether JAX compiles it in a few seconds. Deep networks take half a minute, and
            have no operation that the others lack.
        learning_rate: with it `steps` steps on three clips lower the loss.
    """

    name: str
    small: ClassVar[dict]
    gated: ClassVar[str | None] = None
    shapes: ClassVar[dict] = {}
    quick_on_jax: ClassVar[bool] = True
    learning_rate = 1e-3
    steps = 6

    @property
    def model(self):
        """The network of `small`, built once for the tests that leave it as it is."""
        if type(self) not in _built:
            _built[type(self)] = self.build()
        return _built[type(self)]

    def build(self, classes=3, **changes):
        keras.utils.set_random_seed(0)
        return network(self.name)(classes, **{**self.small, **changes})

    @property
    def clips(self):
        shape = [self.small[axis] for axis in ("frames", "height", "width")]
        channels = 5 if network(self.name).flows else 3
        return np.random.default_rng(0).integers(0, 256, (3, *shape, channels), np.uint8)

    @property
    def clip_shape(self):
        size = {axis: self.small[axis] for axis in ("frames", "height", "width")}
        flow = next(iter(network(self.name).flows), None)
        return {**size, "resize_height": 40, "resize_width": 50, "stride": 2, "flow": flow}

    @pytest.mark.multi_backend
    def test_outputs_are_probabilities_and_equal_for_uint8_and_float(self):
        if keras.backend.backend() == "jax" and not self.quick_on_jax:
            pytest.skip("JAX compiles it for half a minute")
        model, clips = self.model, self.clips
        output = model.predict_on_batch(clips)
        assert output.shape == (3, 3)
        assert output.dtype == np.float32
        np.testing.assert_allclose(output.sum(1), 1, rtol=1e-5)
        from_float = keras.ops.convert_to_numpy(model(clips.astype("float32")))
        np.testing.assert_allclose(from_float, output, 1e-5)

    def test_shapes(self):
        model = self.model
        found = {name: model.get_layer(name).output.shape[1:] for name in self.shapes}
        assert found == self.shapes

    def test_a_saved_network_predicts_the_same_and_knows_what_it_is(self, tmp_path):
        gate = {"attention": True} if self.gated else {}
        known = {"class_names": ["a", "b", "ç"], "clip_shape": self.clip_shape}
        model = self.build(**gate, **known)
        model.save(tmp_path / "network.keras")
        loaded = load_model(tmp_path / "network.keras")
        assert type(loaded) is type(model)
        assert loaded.get_config() == model.get_config()
        json.dumps(loaded.get_config())  # what a .keras file holds
        assert loaded.class_names == ("a", "b", "ç")
        assert loaded.clip_shape == ClipShape(**self.clip_shape)
        np.testing.assert_allclose(loaded(self.clips), model(self.clips), atol=1e-6)

    def test_mixed_precision_outputs_float32_and_is_loaded_in_float32(self):
        exact = self.model
        mixed = self.build(dtype="mixed_bfloat16")
        assert any(layer.compute_dtype == "bfloat16" for layer in mixed._flatten_layers())
        assert {str(weight.dtype) for weight in mixed.weights} == {"float32"}
        mixed.set_weights(exact.get_weights())
        output = mixed(self.clips).numpy()
        assert output.dtype == np.float32
        np.testing.assert_allclose(output, exact(self.clips).numpy(), atol=0.05)
        loaded = type(mixed).from_config(mixed.get_config())
        assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}

    @pytest.mark.slow  # test_conv3d and test_callbacks train in the fast suite
    def test_training_lowers_the_loss(self):
        model, labels = self.build(dropout=0.0), np.array([0, 1, 2])
        # Eagerly: tracing the larger networks takes longer than the steps.
        model.compile(
            keras.optimizers.Adam(self.learning_rate),
            "sparse_categorical_crossentropy",
            run_eagerly=True,
        )
        losses = [float(model.train_on_batch(self.clips, labels)) for _ in range(self.steps)]
        assert np.isfinite(losses).all()
        assert losses[-1] < 0.9 * losses[0], losses

    def test_the_gate_multiplies_the_last_features_or_is_no_option(self):
        if not self.gated:
            assert "attention" not in options(self.name)
            return
        plain, model = self.model, self.build(attention=True)
        assert "gate" not in [layer.name for layer in plain.layers]
        features = model.get_layer(self.gated).output
        gate = model.get_layer("gate")
        assert gate.input is features
        assert gate.output.shape == features.shape
        added = int(np.prod(gate.convolution.kernel.shape)) + features.shape[-1]
        assert model.count_params() == plain.count_params() + added

    def test_no_setting_of_keras_changes_it(self):
        expected = self.model
        with keras_settings(image_data_format="channels_first", floatx="float16", epsilon=0.01):
            model = self.build()
            output = model(self.clips)
        for weight, same in zip(model.get_weights(), expected.get_weights(), strict=True):
            assert weight.dtype == np.float32
            np.testing.assert_array_equal(weight, same)
        assert output.dtype == "float32"
        np.testing.assert_allclose(output.numpy(), expected(self.clips).numpy(), rtol=1e-6)

    def test_it_takes_the_options_of_every_network(self):
        size = self.small["height"], self.small["width"]
        given = {"differences": True, "motion_normalization": True, "log_pooling": True}
        model = self.build(motion_crop=size, **given)
        names = {layer.name for layer in model._flatten_layers()}
        assert {"motion_crop", *given} <= names
        assert model.get_layer("differences").output.shape[1] == self.small["frames"] - 1
        assert np.isfinite(keras.ops.convert_to_numpy(model(self.clips))).all()
        again = type(model).from_config(json.loads(json.dumps(model.get_config())))
        assert again.get_config() == model.get_config()
        height, width = size
        downsampled = self.build(height=2 * height, width=2 * width, spatial_downsample=2)
        assert downsampled.get_layer("spatial_downsample").output.shape[2:4] == size

    def test_an_unknown_keyword_raises(self):
        with pytest.raises(UserError, match="`drop_out`"):
            self.build(drop_out=0.9)
        config = {**self.model.get_config(), "stem": "wide"}
        with pytest.raises(UserError, match="`stem`"):
            network(self.name).from_config(config)

    @pytest.mark.parametrize("size", [16, 48])
    def test_it_builds_at_the_sizes_of_small_runs(self, size):
        """The demo set's size, and a size that some networks refuse."""
        sizes = {"frames": 16, "height": size, "width": size}
        try:
            model = self.build(**sizes)
        except UserError as error:
            assert size == 16
            assert error.parameter
        else:
            assert model.output_shape == (None, 3)


@contextlib.contextmanager
def blank():
    """Networks are built with weights of zero: to draw 180 million random numbers takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            keras.initializers.VarianceScaling,
            "__call__",
            lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype),
        )
        yield


@contextlib.contextmanager
def keras_settings(**settings):
    """Changes settings of keras.json, as `image_data_format="channels_first"`, for a while."""
    before = {name: getattr(keras.config, name)() for name in settings}
    policy = keras.config.dtype_policy()
    try:
        _set(**settings)
        # Keras reads floatx from keras.json before it makes its default policy.
        keras.config.set_dtype_policy(keras.config.floatx())
        yield
    finally:
        _set(**before)
        keras.config.set_dtype_policy(policy)


def _set(**settings):
    for name, value in settings.items():
        getattr(keras.config, f"set_{name}")(value)
