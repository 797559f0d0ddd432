"""Which classes a mirrored clip would confuse."""

import pytest

from ar3d_keras.videos.mirroring import mirrored_classes


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
