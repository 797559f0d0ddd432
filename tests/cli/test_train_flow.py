"""Networks that take optical flow, from the command line: trained, evaluated and exported."""

import json

import pytest
from test_pack import histories  # tests/cli/test_pack.py

from ar3d_keras.cli import main
from ar3d_keras.videos.packs import open_pack

pytestmark = pytest.mark.usefixtures("all_eagerly")

TINY = (
    "--model two_stream --preset demo --height 20 --width 20 --resize 24 32 --frames 4 "
    "--width-multiplier 0.02 --epochs 1 --batch-size 8"
).split()


@pytest.fixture(scope="module")
def with_flow(tiny_demo, tmp_path_factory):
    """The run folder of `ar3d train --model two_stream`, without an option for flow."""
    runs = tmp_path_factory.mktemp("runs")
    arguments = [*TINY, "--data", str(tiny_demo), "--name", "videos", "--runs-dir", str(runs)]
    assert main(["train", *arguments]) == 0
    return runs / "videos"


@pytest.fixture(scope="module")
def pack(tiny_demo, tmp_path_factory):
    out = tmp_path_factory.mktemp("packs") / "pack"
    size = ["--resize", "24", "32"]
    assert main(["pack", "--data", str(tiny_demo), "--out", str(out), "--flow", "dis", *size]) == 0
    return out


def test_the_flow_is_recorded(with_flow):
    assert json.loads((with_flow / "run.json").read_text())["config"]["data"]["flow"] == "dis"
    metrics = json.loads((with_flow / "evaluation/test/metrics.json").read_text())
    assert "dis" in metrics["network"]


def test_training_from_a_pack_is_training_from_the_videos(with_flow, pack, capsys):
    flags = ["--name", "packed", "--runs-dir", str(with_flow.parent)]
    assert main(["train", *TINY, "--data", str(pack), *flags, "--no-export"]) == 0
    assert "ar3d pack --flow" not in capsys.readouterr().out  # there is nothing to advise
    one, other = histories(with_flow.parent, "videos", "packed")
    assert one == other


def test_it_is_evaluated_again(with_flow):
    before = json.loads((with_flow / "evaluation/test/metrics.json").read_text())
    assert main(["evaluate", "--run", str(with_flow), "--split", "test"]) == 0
    again = json.loads((with_flow / "evaluation/test/metrics.json").read_text())
    assert again["loss"] == pytest.approx(before["loss"], abs=1e-6)


def test_the_served_clip_has_five_channels(with_flow):
    import tensorflow as tf

    served = tf.saved_model.load(str(with_flow / "saved_model" / "1")).signatures["serving_default"]
    (clip,) = served.structured_input_signature[1].values()
    assert (clip.name, clip.dtype, clip.shape) == ("clip", tf.uint8, (None, 4, 20, 20, 5))
    assert served(clip=tf.zeros((2, 4, 20, 20, 5), tf.uint8))["probabilities"].shape == (2, 3)


def test_ar3d_pack_says_that_it_holds_flow(pack):
    assert open_pack(pack).settings.flow == "dis"


def test_a_pack_without_flow_or_with_another(refused, done, tiny_demo, pack, tmp_path):
    plain = tmp_path / "plain"
    done("pack", "--data", tiny_demo, "--out", plain, "--resize", 24, 32)
    flags = "--runs-dir", tmp_path / "runs"
    error = refused("train", *TINY, "--data", plain, *flags)
    assert str(plain) in error and "dis" in error
    error = refused("train", *TINY, "--flow", "farneback", "--data", pack, *flags)
    assert "farneback" in error and "--flow" in error
    assert not (tmp_path / "runs").exists()
