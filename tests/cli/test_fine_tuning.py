"""train with augmentation, --init-from and --freeze: what is recorded, what resumes."""

import json

import numpy as np
import pytest
from processes import TINY  # tests/processes.py

import ar3d_keras
from ar3d_keras import Reporter
from ar3d_keras.training.warm_start import weighted_layers

AUGMENTED = {
    "crop_scale": (0.4, 1.0), "stride_jitter": 1, "brightness": 0.4, "contrast": 0.4,
    "saturation": 0.4, "hue": 0.1, "random_erasing": 0.3, "mixup": 0.4, "cutmix": 1.0,
}  # fmt: skip


class StopError(Exception):
    pass


def state(folder):
    with np.load(folder / "checkpoints/state.npz") as saved:
        return {name: saved[name] for name in saved.files}


def weights(file):
    network = ar3d_keras.load_model(file)
    return {name: layer.get_weights() for name, layer in weighted_layers(network).items()}


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.usefixtures("eagerly")
def test_a_fine_tuned_run_with_everything_stopped_and_resumed(trained, tiny_demo, tmp_path):
    """Bit for bit as one that was not, its frozen layers as they were in the first run."""
    import keras

    class StopInEpoch2(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if (self.epoch, batch) == (1, 1):
                raise StopError

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

    given = {
        **TINY, **AUGMENTED, "attention": True, "data": tiny_demo, "runs_dir": tmp_path,
        "init_from": str(trained), "freeze": ("features", "gat*"), "export": False,
        "reporter": Reporter(),
    }  # fmt: skip
    with pytest.raises(StopError):
        ar3d_keras.train(**given, name="stopped", workers=3, callbacks=[StopInEpoch2()])
    ar3d_keras.resume("stopped", runs_dir=tmp_path, reporter=Reporter())
    ar3d_keras.train(**given, name="whole", workers=1)

    record = json.loads((tmp_path / "whole/run.json").read_text())
    assert record["config"]["recipe"]["freeze"] == ["features", "gat*"]
    assert record["config"]["data"]["crop_scale"] == [0.4, 1.0]
    assert record["init_from"]["file"] == str(trained / "checkpoints/best.keras")
    assert record["init_from"]["class_names"] == ["Grow", "MoveDown", "MoveUp"]
    first, tuned = (
        weights(run / "checkpoints/best.keras") for run in (trained, tmp_path / "whole")
    )
    for name in first:
        assert same(first[name], tuned[name]) == (name in ("features", "gate")), name

    one, other = state(tmp_path / "whole"), state(tmp_path / "stopped")
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
