import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.inference.selection import select_batch


def test_uncertain_videos_of_different_kinds_come_before_certain_ones():
    sure, torn = [0.98, 0.01, 0.01], [0.34, 0.33, 0.33]
    probabilities = np.array([sure] * 20 + [torn, torn, torn, torn])
    features = np.eye(3)[[0] * 20 + [0, 0, 1, 2]]
    chosen = select_batch(probabilities, features, 3, seed=0)
    # Of the two equal uncertain videos (20 and 21) one is enough.
    assert sorted(features[chosen].argmax(axis=1)) == [0, 1, 2]
    assert (chosen >= 20).all()


@given(st.integers(1, 12), st.integers(1, 15), st.integers(0, 3))
def test_a_selection_has_no_video_twice_and_is_repeatable(videos, count, seed):
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(4), videos)
    features = random.normal(size=(videos, 5))
    chosen = select_batch(probabilities, features, count, seed=seed)
    assert len(chosen) == len(set(chosen.tolist())) == min(videos, count)
    assert (chosen == select_batch(probabilities, features, count, seed=seed)).all()


def test_equal_videos_are_all_selected_when_all_are_wanted():
    probabilities = np.full((4, 2), 0.5)
    assert sorted(select_batch(probabilities, np.ones((4, 3)), 4)) == [0, 1, 2, 3]
