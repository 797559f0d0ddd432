"""The videos of a run that continues are those that it began with."""

from pathlib import Path

from ar3d_keras.experiments.train import without_skipped
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.dataset import Dataset
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.splits import Split
from ar3d_keras.videos.video import Video


def test_a_video_that_was_skipped_stays_out_when_it_can_be_decoded():
    videos = tuple(Video(f"x/{name}.avi", "x") for name in "abc")
    split = Split(Catalog(Path("data"), videos), "group", ("train", "train", "test"))
    frames = {video.key: 8 for video in videos}
    record = {"skipped": [{"path": "x/b.avi", "split": "train", "reason": "timed out"}]}
    dataset = without_skipped(Dataset(split, frames, {}, ClipShape()), record)
    assert dataset.skipped("train") == (("x/b.avi", "timed out"),)
    assert [video.key for video in dataset.evaluation("train").videos] == ["x/a.avi"]
    assert dataset.skipped("test") == ()
