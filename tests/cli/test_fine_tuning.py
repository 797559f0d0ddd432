"""train with augmentation, --init-from and --freeze: what is recorded, what resumes."""

import json

import numpy as np
import pytest
from processes import TINY  # tests/processes.py

import ar3d_keras
from ar3d_keras import Reporter, TrainConfig
from ar3d_keras.errors import UserError
from ar3d_keras.training.trainer import build_network
from ar3d_keras.training.warm_start import find_warm_start, weighted_layers

AUGMENTED = {
    "crop_scale": (0.4, 1.0), "stride_jitter": 1, "brightness": 0.4, "contrast": 0.4,
    "saturation": 0.4, "hue": 0.1, "random_erasing": 0.3, "mixup": 0.4, "cutmix": 1.0,
}  # fmt: skip


class StopError(Exception):
    pass


def state(folder):
    with np.load(folder / "checkpoints/state.npz") as saved:
        return {name: saved[name] for name in saved.files if name != "counters"}  # seconds


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
        "fine_tune": True, "head_epochs": 1, "keep": "last",
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


@pytest.mark.slow  # the test above stops in the second phase
@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_fine_tuning_resumes_exactly_across_its_phases(
    stop_after, trained, tiny_demo, tmp_path, make_once
):
    """Stopped in the first phase, between the two, and in the second."""
    import keras

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == stop_after:
                raise StopError

    given = {
        **TINY, "attention": True, "data": tiny_demo, "init_from": str(trained), "export": False,
        "fine_tune": True, "head_epochs": 2, "epochs": 4, "schedule": "cosine",
        "reporter": Reporter(),
    }  # fmt: skip
    whole = make_once("fine-tuned", lambda to: ar3d_keras.train(**given, runs_dir=to, name="run"))
    with pytest.raises(StopError):
        ar3d_keras.train(**given, runs_dir=tmp_path, name="stopped", callbacks=[Stop()])
    ar3d_keras.resume("stopped", runs_dir=tmp_path, reporter=Reporter())
    one, other = state(whole / "run"), state(tmp_path / "stopped")
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    histories = [
        np.loadtxt(f / "history.csv", delimiter=",", skiprows=1, usecols=(0, 1, 2))
        for f in (whole / "run", tmp_path / "stopped")
    ]
    np.testing.assert_array_equal(*histories)


# Published weights


NARROW = ("--width-multiplier", 1 / 64, "--dense", 4, "--frames", 4, "--height", 16, "--width", 16)


@pytest.fixture(scope="module")
def small_c3d(tmp_path_factory):
    """A file with the names of the PyTorch port, of a narrow C3D with four classes."""
    sizes = {"frames": 4, "height": 16, "width": 16, "width_multiplier": 1 / 64, "dense": 4}
    model = ar3d_keras.C3D(4, **sizes)
    arrays = {}
    for name, layer in weighted_layers(model).items():
        published = type(model).published.names(name)[0]
        kernel, bias = layer.get_weights()
        arrays[f"{published}.weight"] = np.moveaxis(kernel, (-1, -2), (0, 1))
        arrays[f"{published}.bias"] = bias
    file = tmp_path_factory.mktemp("published") / "c3d.npz"
    np.savez(file, **arrays)
    return file


def test_published_weights_bring_their_preprocessing(small_c3d, tiny_demo, tmp_path, done, capsys):
    """Clips and colors are those of the weights' training, and the run remembers both."""
    done("train", "--model", "c3d", "--data", tiny_demo, "--init-from", small_c3d, *NARROW,
         "--epochs", 1, "--name", "tuned", "--runs-dir", tmp_path, "--no-export")  # fmt: skip
    shown = capsys.readouterr().out
    assert "4 classes in the file, 3 here" in " ".join(shown.split())
    record = json.loads((tmp_path / "tuned/run.json").read_text())
    assert record["sizes"]["normalization"] == "sports1m"
    assert record["init_from"]["options"] == {"normalization": "sports1m"}
    assert record["config"]["data"]["stride"] == 1  # of the weights; the size was given
    network = ar3d_keras.load_model(tmp_path / "tuned/checkpoints/best.keras")
    assert network.sizes["normalization"] == "sports1m"
    # A fine-tuning from that run keeps the colors.
    start = find_warm_start("tuned", tmp_path, "c3d")
    assert start.options == {"normalization": "sports1m"}
    config = TrainConfig().replace(
        model="c3d", width_multiplier=1 / 64, dense=4, frames=4, height=16, width=16
    )
    assert build_network(config, "abc", "float32", start).sizes["normalization"] == "sports1m"
    assert build_network(config, "abc", "float32").sizes["normalization"] == "centered"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (16, 112, 112, (128, 171), 15.0, 4)),
        ({"height": 64, "width": 64}, (16, 64, 64, None, 15.0, 4)),
        ({"stride": 2}, (16, 112, 112, (128, 171), None, 2)),
        ({"clip_seconds": 2.0}, (16, 112, 112, (128, 171), None, 4)),
        ({"fps": 10.0, "frames": 8}, (8, 112, 112, (128, 171), 10.0, 4)),
    ],
)
def test_options_win_over_the_clips_of_the_weights(given, expected):
    from ar3d_keras.experiments.configure import configure

    config = configure(init_from="torchvision:r3d_18", **given)
    assert config.model.model == "r3d"  # the weights say which network
    data = config.data
    found = data.frames, data.height, data.width, data.resize, data.fps, data.stride
    assert found == expected
    assert configure(init_from="x.h5", model="c3d").data.stride == 1
    assert configure(init_from="some-run").data.fps is None
    # What a preset does to the clips of its own network does not suit these weights.
    config = configure(init_from="torchvision:r3d_18", preset="small-data", epochs=30)
    assert (config.data.sampling, config.data.fps) == ("stride", 15.0)
    assert (config.model.motion_crop, config.model.differences) == (None, False)


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"stride": 2, "sampling": "uniform"}, "stride"),
        ({"stride": 2, "fps": 10.0}, "stride"),
        ({"head_epochs": 2}, "head_epochs"),
        ({"layer_decay": 0.5}, "layer_decay"),
    ],
)
def test_an_option_without_effect_is_refused(given, parameter):
    from ar3d_keras.cli.options import parse_config
    from ar3d_keras.cli.train import ESSENTIAL, TrainOptions
    from ar3d_keras.experiments.configure import configure

    with pytest.raises(UserError) as caught:
        configure(**given)
    assert caught.value.parameter == parameter
    flags = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    with pytest.raises(UserError) as caught:
        parse_config(TrainOptions, flags, verb="train", text="", essential=ESSENTIAL)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--model", "conv3d", "--init-from", "FILE"], ["--init-from", "--model", "r2plus1d"]),
        (["--model", "mc3", "--init-from", "FILE"], ["--init-from", "stem.0", "conv1.weight"]),
        (["--model", "mc3", "--init-from", "none.pth"], ["--init-from", "none.pth"]),
        (["--model", "mc3", "--init-from", "torchvision:r3d_18"], ["r3d", "--model"]),
        (["--model", "mc3", "--init-from", "torchvision:x3d"], ["torchvision:s3d"]),
    ],
)
def test_published_weights_that_are_refused(
    arguments, parts, small_c3d, tiny_demo, tmp_path, refused
):
    small = ["--width-multiplier", 1 / 32] if "mc3" in arguments else []
    arguments = [str(small_c3d) if argument == "FILE" else argument for argument in arguments]
    error = refused(
        "train", "--data", tiny_demo, "--runs-dir", tmp_path / "runs", *arguments, *small
    )
    for part in parts:
        assert part in error
    assert not (tmp_path / "runs").exists()
