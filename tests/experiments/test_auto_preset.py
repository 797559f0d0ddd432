"""`preset` auto: what is chosen from the data."""

import shutil

import cv2
import numpy as np
import pytest

from ar3d_keras import Reporter
from ar3d_keras.cli.options import parse_config
from ar3d_keras.cli.train import ESSENTIAL, TrainOptions
from ar3d_keras.config import DataConfig
from ar3d_keras.experiments.auto_preset import choose_preset
from ar3d_keras.experiments.configure import configure
from ar3d_keras.videos.dataset import open_data
from ar3d_keras.videos.pack_index import PackSettings
from ar3d_keras.videos.packing import make_pack


class Lines(Reporter):
    """Keeps what is logged."""

    def __init__(self):
        self.lines = []

    def log(self, line):
        self.lines.append(line)


def write_video(file, size, frames, rate):
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), rate, size)
    for number in range(frames):
        picture = np.zeros((size[1], size[0], 3), np.uint8)
        picture[4:12, number % 16 : number % 16 + 8] = 255
        writer.write(picture)
    writer.release()


@pytest.fixture
def portrait(tmp_path):
    """Two classes that differ by the side; portrait videos of two seconds."""
    for name in ("turn_left", "turn_right"):
        for number in range(2):
            write_video(tmp_path / "data" / name / f"{number}.avi", (32, 48), 20, 10)
    return tmp_path / "data"


def test_it_reads_the_data_and_gives_its_reasons(portrait):
    lines = Lines()
    config = configure(data=str(portrait), preset="auto", reporter=lines)
    assert config.model.model == "two_stream3d"
    assert (config.data.height, config.data.width) == (128, 96)
    assert config.data.resize == (128, 96)
    assert config.data.sampling == "uniform"
    assert len(lines.lines) == len(choose_preset(DataConfig(data=portrait)).reasons) == 4


@pytest.mark.parametrize(("flow", "model"), [(None, "compact3d"), ("dis_fine", "two_stream3d")])
def test_a_pack_without_flow_gets_a_network_that_needs_none(portrait, tmp_path, flow, model):
    settings = PackSettings("raw", 128, 96, flow=flow)
    pack = tmp_path / "pack"
    make_pack(open_data(portrait), pack, settings, workers=1, reporter=Reporter())
    config = configure(data=str(pack), preset="auto", reporter=Lines())
    assert config.model.model == model


def test_options_win_and_a_long_video_is_not_spanned(portrait):
    for file in portrait.glob("*/*.avi"):
        write_video(file, (48, 32), 40, 2)
    config = configure(data=str(portrait), preset="auto", epochs=3, reporter=Lines())
    assert (config.data.sampling, config.data.fps, config.recipe.epochs) == ("stride", 8.0, 3)
    assert config.model.model == "compact3d"
    config = configure(data=str(portrait), preset="auto", model="i3d", reporter=Lines())
    assert config.model.model == "i3d"
    assert (config.data.height, config.data.width) == (96, 128)


def test_the_command_line_chooses_the_same(portrait, capsys):
    flags = ["--data", str(portrait), "--preset", "auto", "--model", "conv3d", "--attention"]
    typed = parse_config(TrainOptions, flags, verb="train", text="", essential=ESSENTIAL)
    called = configure(
        data=str(portrait), preset="auto", model="conv3d", attention=True, reporter=Lines()
    )
    assert (typed.data, typed.model, typed.recipe) == (called.data, called.model, called.recipe)
    assert capsys.readouterr().out.count("preset auto") == 4


def test_it_reads_the_videos_that_the_training_uses(portrait):
    for name in ("turn_left", "turn_right"):
        (portrait / name / "cam").mkdir()
        (portrait / name / "0.avi").rename(portrait / name / "cam" / "0.avi")
    lines = Lines()
    config = configure(data=str(portrait), preset="auto", group_by="parent", reporter=lines)
    assert (config.data.height, config.data.width) == (128, 96)
    assert lines.lines[0].startswith("preset auto: 4 videos")
    flags = ["--data", str(portrait), "--preset", "auto", "--group-by", "parent"]
    typed = parse_config(TrainOptions, flags, verb="train", text="", essential=ESSENTIAL)
    assert (typed.data, typed.model) == (config.data, config.model)


def test_the_demo_set_has_its_own(tiny_demo):
    for data in (tiny_demo, None):
        assert choose_preset(DataConfig(data=data)).preset == "demo"


def test_data_that_cannot_be_read_is_refused(portrait, user_error):
    for file in portrait.glob("*/*.avi"):
        file.write_bytes(b"no video")
    with user_error(str(portrait)):
        configure(data=str(portrait), preset="auto", reporter=Lines())
    shutil.rmtree(portrait)
