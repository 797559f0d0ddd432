"""Which classes a mirrored clip would confuse."""

import pytest

from ar3d_keras.config import DataConfig, TrainConfig
from ar3d_keras.videos.mirroring import mirrored_classes, mirroring_notes


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        (("clap", "swipe_left", "swipe_right"), ("swipe_left", "swipe_right")),
        (("SwipeLeft", "SwipeRight"), ("SwipeLeft", "SwipeRight")),
        (("turn right 90", "turn left 90"), ("turn right 90", "turn left 90")),
        (
            ("draw circle (clockwise)", "draw circle (counterclockwise)"),
            ("draw circle (clockwise)", "draw circle (counterclockwise)"),
        ),
        (("left", "right", "up"), ("left", "right")),
        (("left hook", "right cross"), None),
        (("bright", "copyright"), None),
        (("leave left", "walk"), None),
        (("fight", "noFight"), None),
    ],
)
def test_pairs_that_differ_by_the_side(names, pair):
    assert mirrored_classes(names) == pair


@pytest.mark.parametrize("names", [("up", "down"), ("left", "right")])
@pytest.mark.parametrize("flip", [None, False, True])
def test_an_explicit_flip_holds_and_is_named(names, flip):
    config = TrainConfig(data=DataConfig(flip=flip)).resolved(
        split_scheme="group", flows=(), has_sides=mirrored_classes(names) is not None
    )
    sided = names == ("left", "right")
    assert config.data.flip == (not sided if flip is None else flip)
    assert len(mirroring_notes(names, config.data.flip)) == sided
