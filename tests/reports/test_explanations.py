"""The sheet of maps below videos, made and drawn from real networks."""

import keras
import numpy as np
import pytest
from test_plots import rendered, texts  # tests/reports/test_plots.py

from ar3d_keras import Conv3DClassifier, TwoStream
from ar3d_keras.explanation.explain import explain
from ar3d_keras.reports import explanation_sheet, fonts
from ar3d_keras.reports.explanations import CHANNELS, FRAMES, explain_videos

CLASSES = ("밀기", "a_very_long_name_$5", "line\nbreak")
SMALL = {"filters": 5, "pool": (3, 4, 4), "dense": 8}


def build(network=Conv3DClassifier, frames=12, height=16, width=12, **options):
    keras.utils.set_random_seed(0)
    model = network(3, frames=frames, height=height, width=width, **options)
    clips = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:]), np.uint8)
    return model, clips


def test_a_gated_networks_rows():
    model, clips = build(attention=True, **SMALL)
    explanations = explain_videos(model, clips, np.array([0, 1]), CLASSES)
    assert explanations.kind == "attention"
    assert "gate's mean" in explanations.caption
    for clip, rows in zip(clips, explanations.rows, strict=True):
        names, frames = zip(*rows, strict=True)
        assert [name.split("\n")[0].split()[0] for name in names] == [
            "video", "attention", *["channel"] * CHANNELS, "Grad-CAM",
        ]  # fmt: skip
        np.testing.assert_array_equal(frames[0], clip[[2, 4, 5, 6, 8, 9]])
        assert {(strip.dtype, strip.shape) for strip in frames} == {
            (np.dtype("uint8"), (FRAMES, 16, 12, 3))
        }
    # The values beside the map are the gate's own.
    low, high = np.percentile(explain(model, clips[:1]).maps, (1, 99))
    assert explanations.rows[0][1][0] == f"attention\n{low:.2f} to {high:.2f}"


@pytest.mark.parametrize("frames", [1, 4, 12])
def test_without_a_gate_there_is_grad_cam_of_the_answer(frames):
    model, clips = build(frames=frames, **{**SMALL, "pool": (1, 4, 4)})
    explanations = explain_videos(model, clips, np.array([0, 2]), CLASSES)
    assert explanations.kind == "Grad-CAM"
    assert "gate" not in explanations.caption
    (video, shown), (grad_cam, heated) = explanations.rows[1]
    assert video == "video"
    assert grad_cam.startswith("Grad-CAM of\nline\N{REPLACEMENT CHARACTER}break\n")
    assert len(shown) == len(heated) == min(frames, FRAMES)


def test_of_flow_the_colours_are_shown():
    model, clips = build(TwoStream, height=32, width=32, width_multiplier=0.05)
    explanations = explain_videos(model, clips, np.array([0, 2]), CLASSES)
    np.testing.assert_array_equal(explanations.rows[0][0][1], clips[0, [2, 4, 5, 6, 8, 9], ..., :3])


@pytest.mark.parametrize("videos", [1, 3])
def test_the_sheet_shows_every_frame_of_every_row(videos):
    red, blue = (np.full((6, 16, 12, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    rows = tuple((("video", red), ("attention\n0.10 to 0.90", blue)) for _ in range(videos))
    probabilities = np.tile([0.2, 0.7, 0.1], (videos, 1))
    figure = explanation_sheet.draw_explanations(
        explanation_sheet.Explanations("attention", rows),
        [f"밀기/v{i}.avi" for i in range(videos)],
        np.arange(videos) % 3,
        probabilities,
        CLASSES,
    )
    shown = texts(figure)
    assert shown.count("attention\n0.10 to 0.90") == videos
    assert f"✗ {fonts.class_label(CLASSES, 0)}" in shown
    assert (videos == 1) or r"✓ a_very_long_name_\$5" in shown
    picture = rendered(figure)
    frame = explanation_sheet.FRAME * 112
    for colour in ((255, 0, 0), (0, 0, 255)):
        pixels = (picture == colour).all(-1).sum()
        assert pixels == pytest.approx(videos * 6 * frame, rel=0.05)
    # No word runs out of the picture or into frames.
    renderer = figure.canvas.get_renderer()
    films = [axes.get_window_extent() for axes in figure.axes]
    for axes in figure.axes:
        for text in axes.texts:
            box = text.get_window_extent(renderer)
            assert box.x0 >= 0
            assert not any(box.overlaps(film) for film in films)
