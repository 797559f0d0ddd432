"""Tasks without labels: which clips they make, and their labels."""

import itertools

import pytest

from ar3d_keras.videos.dataset import open_dataset
from ar3d_keras.videos.pretext import PretextDataset, check_task
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.splits import Split
from ar3d_keras.videos.unlabelled import find_videos

SHAPE = ClipShape(frames=4, height=24, width=32, resize_height=24, resize_width=32, stride=2)


@pytest.fixture
def pretext(ucf_set):
    """pretext(task): ten videos of 20 frames, the last one held out."""

    def make(task, shape=SHAPE):
        catalog = find_videos([ucf_set])
        split = Split(catalog, "pretraining", ("train",) * 9 + ("val",))
        dataset = open_dataset(split, shape, workers=1, splits=("train", "val"))
        return PretextDataset(**vars(dataset), task=task)

    return make


def test_instance_tells_the_videos_apart(pretext):
    dataset = pretext("instance")
    source = dataset.training(seed=0, flip=False)
    assert dataset.class_names == tuple(video.key for video in dataset.split.videos("train"))
    assert source.labels.tolist() == list(range(9)) and len(source) == 9
    assert dataset.evaluation("val").labels.tolist() == list(range(9))  # other clips of the same


def test_order_runs_half_of_the_clips_backward(pretext, frame_numbers):
    source = pretext("order").training(seed=0, flip=False)
    assert source.labels.tolist() == [0, 1] * 9
    for index in range(4):
        steps = [b - a for a, b in itertools.pairwise(frame_numbers(source[index, 0]))]
        assert len(set(steps)) == 1
        assert (steps[0] < 0) == (index % 2 == 1)
    assert len(pretext("order").evaluation("val")) == 2


def test_speed_is_the_step_between_frames(pretext, frame_numbers):
    dataset = pretext("speed")
    source = dataset.training(seed=0, flip=False)
    assert dataset.class_names == ("speed 1", "speed 2", "speed 4")
    for index in range(6):
        numbers = frame_numbers(source[index, 3])
        assert {b - a for a, b in itertools.pairwise(numbers)} == {(1, 2, 4)[index % 3]}
    check_task(dataset)


def test_videos_that_are_too_short_for_the_speeds(pretext, user_error):
    shape = ClipShape(frames=8, height=24, width=32, resize_height=24, resize_width=32)
    with user_error("`task`", "29 frames", "`frames`"):
        check_task(pretext("speed", shape))
    check_task(pretext("order", shape))
