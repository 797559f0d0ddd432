"""What every network must do: a new one's test is a subclass with a few attributes."""

import keras
import numpy as np
import pytest

from ar3d_keras import load_model
from ar3d_keras.errors import UserError
from ar3d_keras.models import network, options


class NetworkTests:
    """Subclass it as `Test...` and say what is tested.

    One test runs on every backend; mark the class `multi_backend` where all are quick there.

    Attributes:
        name: of the network, as `--model` takes it.
        small: sizes that are quick on every backend, the clip's among them.
        gated: whether it can have the gate, behind the features of this layer.
        shapes: of the outputs of some layers at `small`, without the batch.
        learning_rate: at which a few steps on three clips lower the loss.
    """

    name: str
    small: dict
    gated: str | None = None
    shapes: dict = {}  # noqa: RUF012
    learning_rate = 1e-3

    def build(self, **changes):
        keras.utils.set_random_seed(0)
        return network(self.name)(3, **{**self.small, **changes})

    @property
    def clips(self):
        shape = [self.small[axis] for axis in ("frames", "height", "width")]
        channels = 5 if network(self.name).needs_flow else 3
        return np.random.default_rng(0).integers(0, 256, (3, *shape, channels), np.uint8)

    @pytest.mark.multi_backend
    def test_clips_become_probabilities_and_uint8_equals_float(self):
        model, clips = self.build(), self.clips
        answer = model.predict_on_batch(clips)
        assert answer.shape == (3, 3)
        assert answer.dtype == np.float32
        np.testing.assert_allclose(answer.sum(1), 1, rtol=1e-5)
        np.testing.assert_allclose(model.predict_on_batch(clips.astype("float32")), answer, 1e-5)

    def test_shapes(self):
        model = self.build()
        found = {name: model.get_layer(name).output.shape[1:] for name in self.shapes}
        assert found == self.shapes

    def test_a_saved_network_predicts_the_same(self, tmp_path):
        model = self.build(attention=True) if self.gated else self.build()
        model.save(tmp_path / "network.keras")
        loaded = load_model(tmp_path / "network.keras")
        assert type(loaded) is type(model)
        assert loaded.get_config() == model.get_config()
        np.testing.assert_allclose(
            loaded.predict_on_batch(self.clips), model.predict_on_batch(self.clips), atol=1e-6
        )

    def test_mixed_precision_answers_in_float32_and_is_loaded_in_float32(self, tmp_path):
        if keras.backend.backend() == "torch":
            pytest.skip("torch pools no bfloat16 on a CPU; hardware.resolve_precision refuses it")
        exact = self.build()
        mixed = self.build(dtype="mixed_bfloat16")
        assert any(layer.compute_dtype == "bfloat16" for layer in mixed._flatten_layers())
        assert {str(weight.dtype) for weight in mixed.weights} == {"float32"}
        mixed.set_weights(exact.get_weights())
        answer = mixed.predict_on_batch(self.clips)
        assert answer.dtype == np.float32
        np.testing.assert_allclose(answer, exact.predict_on_batch(self.clips), atol=0.05)
        float32_model = type(mixed).from_config(mixed.get_config())
        assert {layer.compute_dtype for layer in float32_model.layers} == {"float32"}

    def test_training_lowers_the_loss(self):
        model, labels = self.build(dropout=0.0), np.array([0, 1, 2])
        model.compile(
            keras.optimizers.Adam(self.learning_rate),
            "sparse_categorical_crossentropy",
            jit_compile=False,
        )
        losses = [float(model.train_on_batch(self.clips, labels)) for _ in range(20)]
        assert np.isfinite(losses).all()
        assert losses[-1] < 0.9 * losses[0], losses

    def test_the_gate_multiplies_the_last_features_or_is_no_option(self):
        if not self.gated:
            assert "attention" not in options(self.name)
            return
        plain, model = self.build(), self.build(attention=True)
        assert "gate" not in [layer.name for layer in plain.layers]
        features = model.get_layer(self.gated).output
        gate = model.get_layer("gate")
        assert gate.input is features
        assert gate.output.shape == features.shape
        added = int(np.prod(gate.convolution.kernel.shape)) + features.shape[-1]
        assert model.count_params() == plain.count_params() + added

    def test_clips_are_channels_last_whatever_keras_is_set_to(self):
        keras.config.set_image_data_format("channels_first")
        try:
            model = self.build()
        finally:
            keras.config.set_image_data_format("channels_last")
        assert model.predict_on_batch(self.clips).shape == (3, 3)

    @pytest.mark.parametrize("size", [16, 48])
    def test_it_builds_at_the_sizes_of_small_runs(self, size):
        """The demo set's, and one that some networks refuse with a sentence."""
        sizes = {"frames": 16, "height": size, "width": size}
        try:
            model = self.build(**sizes)
        except UserError as error:
            assert size == 16
            assert "frames of" in str(error)
        else:
            assert model.output_shape == (None, 3)
