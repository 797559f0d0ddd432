"""ar3d show-clips: the picture of the clips that training sees."""

import json

import numpy as np
import pytest
from processes import TINY, TINY_FLAGS  # tests/processes.py

from ar3d_keras import Reporter
from ar3d_keras.cli.options import parse_config
from ar3d_keras.cli.show_clips import ESSENTIAL, ShowClipsOptions
from ar3d_keras.experiments import setup, show_clips
from ar3d_keras.experiments.configure import configure
from ar3d_keras.reports.contact_sheet import Row, draw_clips
from ar3d_keras.videos.pipeline import ClipBatches

AUGMENTED = {
    "crop_scale": (0.3, 1.0), "stride_jitter": 1, "brightness": 0.4, "contrast": 0.4,
    "saturation": 0.4, "hue": 0.1, "random_erasing": 0.5, "flip": True,
}  # fmt: skip


def test_the_picture(tiny_demo, tmp_path, done, monkeypatch):
    drawn = []
    monkeypatch.setattr(show_clips, "draw_clips", lambda rows: drawn.append(rows))
    monkeypatch.setattr(show_clips, "save", lambda figure, file: file.write_bytes(b"picture"))
    command = "show-clips", "--data", tiny_demo, *TINY_FLAGS, "--out", tmp_path / "clips.png"
    done(*command)
    done(*command)
    done(*command, "--count", 3)
    assert (tmp_path / "clips.png").is_file()
    assert [len(rows) for rows in drawn] == [6, 6, 3]
    for one, other in zip(drawn[0], drawn[1], strict=True):
        assert (one.label, one.path, one.view) == (other.label, other.path, other.view)
        assert np.array_equal(one.clip, other.clip)


@pytest.mark.parametrize("mixing", [{}, {"mixup": 0.4}, {"cutmix": 1.0}])
def test_the_rows_are_the_clips_of_training(tiny_demo, mixing):
    """In their order, from the same batches, with what was done to them."""
    given = configure(data=tiny_demo, **TINY, **AUGMENTED, **mixing)
    config, dataset = setup.prepare(given, Reporter(), splits=("train",))
    rows = show_clips._rows(config, dataset, count=7, epoch=1)
    assert len(rows) == 7
    source = dataset.training(seed=0, flip=True, augment=config.data)
    batches = ClipBatches(source, config.recipe.batch_size, seed=0, workers=1)
    batches.epoch = 1
    clips, labels, _ = map(np.concatenate, zip(batches[0], batches[1], strict=True))
    for row, clip, label in zip(rows, clips, labels, strict=False):
        if not mixing:
            assert np.array_equal(row.clip, clip)
            assert row.label == dataset.class_names[label]
        assert dataset.class_names[label] in row.label
        assert row.path.startswith(dataset.class_names[label] + "/")


def test_pictures_of_every_shape():
    def row(clip, label):
        return Row(clip, label, "p" * 200, "v" * 400)

    high = np.zeros((1, 300, 200, 3), np.uint8)
    assert draw_clips([row(high, "x" * 300), row(high, "$a$\n가")]).get_figwidth() < 4
    long = draw_clips([row(np.zeros((64, 8, 8, 3), np.uint8), "a")])
    assert long.get_figwidth() == pytest.approx((8 * 112 + 7 * 4 + 24) / 120)


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        (["--count", 0], "0"),
        (["--epoch", 0], "0"),
        (["--out", "clips.jpg"], "clips.jpg"),
        (["--out", "nowhere/clips.png"], "nowhere"),
        (["--hue", 0.7], "0.7"),
        (["--crop-scale", 1, 0.5], "1.0 0.5"),
    ],
)
def test_bad_options(flags, value, tiny_demo, refused):
    error = refused("show-clips", "--data", tiny_demo, *TINY_FLAGS, *flags)
    assert flags[0] in error and value in error


def test_a_config_of_an_earlier_version(tiny_demo, tmp_path):
    config = {"data": {"data": str(tiny_demo), "erase": 1.0}}
    (tmp_path / "run.json").write_text(json.dumps({"config": config}))
    arguments = ["--config", str(tmp_path / "run.json")]
    given = parse_config(
        ShowClipsOptions, arguments, verb="show-clips", text="", essential=ESSENTIAL
    )
    assert given.data.random_erasing == 1
    assert given.data.height == 48  # the demo set brings its preset
