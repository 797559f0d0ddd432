"""ar3d show-clips: the picture of what the network is fed."""

import json

import numpy as np
import pytest
from processes import TINY  # tests/cli/processes.py

from ar3d_keras.cli import main, show_clips
from ar3d_keras.cli.train import defaults
from ar3d_keras.console import Console
from ar3d_keras.reports.contact_sheet import draw_clips
from ar3d_keras.videos.pipeline import ClipBatches
from ar3d_keras.videos.reader import load_cv2

AUGMENTED = (
    "--crop-scale 0.3 1 --stride-jitter 1 --brightness 0.4 --contrast 0.4 --saturation 0.4 "
    "--hue 0.1 --erase 0.5 --flip"
).split()


def options(data, *flags):
    from ar3d_keras.cli.options import parse

    arguments = ["--data", str(data), *TINY, *flags]
    default = defaults(arguments, show_clips.ShowClipsOptions())
    return parse(
        show_clips.ShowClipsOptions, arguments, verb="show-clips", text="", default=default
    )


def test_the_picture(tiny_demo, tmp_path, capsys):
    out = tmp_path / "clips.png"
    assert main(["show-clips", "--data", str(tiny_demo), *TINY, "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    picture = load_cv2().imread(str(out))
    again = tmp_path / "again.png"
    assert main(["show-clips", "--data", str(tiny_demo), *TINY, "--out", str(again)]) == 0
    assert again.read_bytes() == out.read_bytes()
    other = tmp_path / "other.png"
    main(["show-clips", "--data", str(tiny_demo), *TINY, "--out", str(other), "--count", "3"])
    assert load_cv2().imread(str(other)).shape[0] == pytest.approx(picture.shape[0] / 2, abs=2)


@pytest.mark.parametrize("mixing", [(), ("--mixup", "0.4"), ("--cutmix", "1.0")])
def test_the_rows_are_the_clips_of_training(tiny_demo, mixing):
    """In their order, from the same batches, with what was done to them."""
    given = options(tiny_demo, *AUGMENTED, *mixing, "--count", "11", "--epoch", "2")
    rows = show_clips._rows(given, Console())
    assert len(rows) == 11
    dataset = show_clips._training_videos(given, Console())
    source = dataset.training(seed=0, flip=True, augment=given.data)
    batches = ClipBatches(source, 8, seed=0, workers=1)
    batches.epoch = 1
    clips, labels, _ = map(np.concatenate, zip(batches[0], batches[1], strict=True))
    for row, clip, label in zip(rows, clips, labels, strict=False):
        if not mixing:
            assert np.array_equal(row.clip, clip)
            assert row.label == dataset.class_names[label]
        assert dataset.class_names[label] in row.label
        assert row.path.startswith(dataset.class_names[label] + "/")
        for word in ("frames ", "step ", "crop ", "brightness "):
            assert word in row.view
        assert ("blended" in row.view) == ("--mixup" in mixing)
        assert ("from" in row.view) == ("--cutmix" in mixing)
    views = " ".join(row.view for row in rows)
    assert "mirrored" in views and "erased" in views
    if mixing:
        assert any(" + " in row.label for row in rows)


def test_words_and_pictures_of_every_shape(tmp_path):
    rows = [
        show_clips_row(clip, label)
        for clip, label in [
            (np.zeros((1, 300, 200, 3), np.uint8), "x" * 300),
            (np.zeros((1, 300, 200, 3), np.uint8), "$a$\n가"),
        ]
    ]
    assert draw_clips(rows).get_figwidth() < 4
    long = [show_clips_row(np.zeros((64, 8, 8, 3), np.uint8), "a")]
    assert draw_clips(long).get_figwidth() == pytest.approx((8 * 112 + 7 * 4 + 24) / 120)


def show_clips_row(clip, label):
    from ar3d_keras.reports.contact_sheet import Row

    return Row(clip, label, "p" * 200, "v" * 400)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--count", 0], "--count 0 must be at least 1"),
        (["--epoch", 0], "--epoch 0 must be at least 1"),
        (["--out", "clips.jpg"], "--out clips.jpg must end in .png"),
        (["--out", "nowhere/clips.png"], "there is no folder nowhere"),
        (["--hue", 0.7], "--hue 0.7 must be 0 to 0.5"),
        (["--crop-scale", 1, 0.5], "--crop-scale 1.0 0.5 must be two shares"),
    ],
)
def test_bad_options_are_refused(flags, told, tiny_demo, refused):
    assert told in refused("show-clips", "--data", tiny_demo, *TINY, *flags)


def test_a_config_is_taken(tiny_demo, tmp_path):
    config = {"data": {"data": str(tiny_demo), "erase": 1.0}}
    (tmp_path / "run.json").write_text(json.dumps({"config": config}))
    arguments = ["--config", str(tmp_path / "run.json")]
    assert defaults(arguments, show_clips.ShowClipsOptions()).data.random_erasing == 1
    # The demo set brings its preset.
    assert defaults(arguments, show_clips.ShowClipsOptions()).data.height == 48
