"""Which characters are drawn, with the fonts of matplotlib alone and with one more."""

import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from ar3d_keras.reports import drawing, examples, fonts, plots

KOREAN, JAPANESE, CHINESE, ARABIC, EMOJI = "걷기", "歩く", "走路", "مشي", "🏃"


@pytest.fixture
def walking(tmp_path):
    """An installed font that has the two letters of KOREAN, as squares, and nothing else."""
    from matplotlib import font_manager

    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 800), (800, 800), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    names = [".notdef", "one", "two"]
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(KOREAN[0]): "one", ord(KOREAN[1]): "two"})
    builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (900, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Walking", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "walking.ttf")
    family = f"Walking {tmp_path.name}"  # matplotlib caches where it found a family
    entry = font_manager.FontEntry(
        fname=str(tmp_path / "walking.ttf"), name=family, style="normal", variant="normal",
        weight=400, stretch="normal", size="scalable",
    )  # fmt: skip
    font_manager.fontManager.ttflist.append(entry)
    return family


@pytest.mark.parametrize("name", [KOREAN, JAPANESE, CHINESE, EMOJI])
def test_a_name_that_no_font_has_becomes_its_number(name):
    assert fonts.class_labels(["go", name]) == ["go", "#2"]
    assert fonts.legend(["go", name]) == [("#2", name)]
    assert fonts.clean(f"{name}/v1.avi", 40) == "…/v1.avi"


def test_names_in_the_scripts_of_dejavu_stay():
    names = ["go", "ходить", "περπατώ", "Café", ARABIC, "$x^2$", ""]
    assert fonts.class_labels(names) == names
    assert fonts.legend(names) == []


def test_the_letters_that_can_be_drawn_are_kept():
    assert fonts.class_labels([f"{KOREAN}_walk (2)", f"{EMOJI} !"]) == ["#1 _walk (2)", "#2"]


def test_an_installed_font_is_used(walking, caplog):
    assert fonts.class_labels([KOREAN, JAPANESE]) == [KOREAN, "#2"]
    assert fonts.families(f"a {KOREAN}") == ["DejaVu Sans", walking]
    drawing.png_bytes(plots.confusion(np.eye(2, dtype=int), [KOREAN, JAPANESE], KOREAN))
    assert not caplog.records  # matplotlib logs that it has no bold type


def test_a_font_that_was_removed_is_not_used(walking, tmp_path):
    (tmp_path / "walking.ttf").unlink()
    assert fonts.class_labels([KOREAN]) == ["#1"]


def test_no_picture_warns_of_missing_glyphs():
    names = [KOREAN, JAPANESE, CHINESE, ARABIC, EMOJI, "\u0378", "line\nbreak", "e\u0301\u20dd"]
    history = {"epoch": [1, 2], "accuracy": [0.1, 0.2], "loss": [2, 1]}
    n = len(names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in (
            plots.confusion(np.eye(n, dtype=int), names, " ".join(names)),
            plots.curves(dict.fromkeys(names, history)),
            examples.draw_examples(
                np.zeros((n, 4, 8, 8, 3), np.uint8), names, np.arange(n), np.eye(n), names
            ),
        ):
            drawing.png_bytes(figure)
