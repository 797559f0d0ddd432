"""Networks that see optical flow, from the command line: trained, judged and served."""

import json

import pytest
from processes import python  # tests/cli/processes.py
from test_pack import histories  # tests/cli/test_pack.py

from ar3d_keras.cli import main
from ar3d_keras.videos.packs import open_pack

TINY = (
    "--model two_stream --preset demo --height 20 --width 20 --resize 24 32 --frames 8 "
    "--width-multiplier 0.02 --epochs 1 --batch-size 8"
).split()


@pytest.fixture(scope="module")
def seeing(tiny_demo, tmp_path_factory):
    """The run folder of `python train.py --model two_stream`, which asks for no flow."""
    runs = tmp_path_factory.mktemp("runs")
    done = python("train.py", *TINY, "--data", tiny_demo, "--name", "videos", "--runs-dir", runs)
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "optical flow (dis) is computed as clips are read, which is slow: "
        "`ar3d pack --flow dis` computes it once\n"
    ) in done.stdout
    return runs / "videos"


@pytest.fixture(scope="module")
def pack(tiny_demo, tmp_path_factory):
    out = tmp_path_factory.mktemp("packs") / "pack"
    size = ["--resize", "24", "32"]
    assert main(["pack", "--data", str(tiny_demo), "--out", str(out), "--flow", "dis", *size]) == 0
    return out


def test_a_run_says_what_it_saw(seeing):
    assert json.loads((seeing / "run.json").read_text())["config"]["data"]["flow"] == "dis"
    metrics = json.loads((seeing / "evaluation/test/metrics.json").read_text())
    assert "sees optical flow (dis)" in metrics["network"]


def test_training_from_a_pack_is_training_from_the_videos(seeing, pack, capsys):
    flags = ["--name", "packed", "--runs-dir", str(seeing.parent)]
    assert main(["train", *TINY, "--data", str(pack), *flags]) == 0
    assert "computed as clips are read" not in capsys.readouterr().out
    one, other = histories(seeing.parent, "videos", "packed")
    assert one == other


def test_it_is_judged_again(seeing, tiny_demo, capsys):
    before = json.loads((seeing / "evaluation/test/metrics.json").read_text())
    assert main(["evaluate", "--run", str(seeing), "--split", "test"]) == 0
    again = json.loads((seeing / "evaluation/test/metrics.json").read_text())
    assert again["loss"] == pytest.approx(before["loss"], abs=1e-6)


def test_the_served_clip_has_five_channels(seeing):
    import tensorflow as tf

    served = tf.saved_model.load(str(seeing / "saved_model" / "1")).signatures["serving_default"]
    (clip,) = served.structured_input_signature[1].values()
    assert (clip.name, clip.dtype, clip.shape) == ("clip", tf.uint8, (None, 8, 20, 20, 5))
    assert served(clip=tf.zeros((2, 8, 20, 20, 5), tf.uint8))["probabilities"].shape == (2, 8)


def test_ar3d_pack_says_that_it_holds_flow(pack):
    assert open_pack(pack).settings.flow == "dis"


def test_a_network_of_colour_takes_no_flow(refused, tiny_demo, tmp_path):
    flags = "--data", tiny_demo, "--runs-dir", tmp_path / "runs"
    error = refused("train", "--model", "conv3d", "--flow", "dis", *flags)
    assert "--model conv3d sees no optical flow: leave --flow dis out" in error
    error = refused("train", *TINY, "--flow", "none", *flags)
    assert "--model two_stream needs optical flow: give --flow dis, farneback or tvl1" in error
    assert not (tmp_path / "runs").exists()


def test_a_pack_without_flow_or_with_another(refused, tiny_demo, pack, tmp_path):
    plain = tmp_path / "plain"
    size = ["--resize", "24", "32"]
    assert main(["pack", "--data", str(tiny_demo), "--out", str(plain), *size]) == 0
    flags = "--runs-dir", tmp_path / "runs"
    error = refused("train", *TINY, "--data", plain, *flags)
    assert f"{plain} holds no optical flow and this run needs that of dis: pack again" in error
    error = refused("train", *TINY, "--flow", "farneback", "--data", pack, *flags)
    assert "holds dis flow and this run needs that of farneback: give --flow dis" in error
