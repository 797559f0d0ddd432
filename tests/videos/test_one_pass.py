"""Files that are decoded once give the clips of files that were scanned before."""

import dataclasses

import numpy as np
import pytest

from ar3d_keras.videos import one_pass
from ar3d_keras.videos.catalog import Catalog, Video
from ar3d_keras.videos.isolation import Isolation, Limits
from ar3d_keras.videos.one_pass import OnePassSource, fits_one_pass, see
from ar3d_keras.videos.reader import ReadError
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.sources import UniformSampler, VideoSource

SHAPE = ClipShape(4, 16, 16, resize_height=18, resize_width=24, stride=2)


@pytest.fixture(scope="module")
def catalog(write_video, tmp_path_factory):
    """Sound videos, one that is cut off, and one with a region of its own."""
    folder = tmp_path_factory.mktemp("videos")
    for name, frames in (("a.avi", 7), ("b.mp4", 40), ("c.avi", 60)):
        write_video(folder / name, frames, codec="mp4v" if name.endswith("mp4") else "XVID")
    whole = (folder / "c.avi").read_bytes()
    (folder / "cut.avi").write_bytes(whole[: len(whole) // 2])
    videos = [Video(path.name, None) for path in sorted(folder.iterdir())]
    return Catalog(folder, (*videos, Video("c.avi", None, roi=(0.1, 0.2, 0.9, 1.0))))


@pytest.mark.parametrize("sampling", ["stride", "uniform"])
def test_the_clips_are_those_of_evaluation(catalog, sampling):
    shape = dataclasses.replace(SHAPE, sampling=sampling)
    sampler = UniformSampler(2, 3)
    scanned = scan(catalog, workers=2)
    expected = VideoSource(catalog.root, catalog.videos, scanned.frames, (), shape, sampler)
    with Isolation(Limits()) as isolation:
        source = OnePassSource(
            catalog.root, catalog.videos, (), shape, sampler, isolation=isolation
        )
        assert len(source) == len(expected)
        for index in reversed(range(len(source))):
            np.testing.assert_array_equal(source[index, 0], expected[index, 0])
    assert source.damaged == scanned.damaged != {}
    assert not source._coming and not source._left  # no clip is held


def test_a_wrong_header_costs_a_second_pass(catalog, monkeypatch):
    reads = []
    read = one_pass.read_frames
    monkeypatch.setattr(
        one_pass, "read_frames", lambda path, *a, **k: reads.append(path) or read(path, *a, **k)
    )
    given = {"shape": SHAPE, "clips": 1, "crops": 1, "roi": None}
    sound = see(catalog.root / "b.mp4", **given)
    assert not reads and sound.facts.frames == 40
    seen = see(catalog.root / "cut.avi", **given)
    assert len(reads) == 1 and seen.facts.frames < 60 and seen.facts.damage


def test_what_cannot_be_decoded_is_named(catalog, tmp_path):
    (tmp_path / "broken.avi").write_bytes(b"RIFF")
    with Isolation(Limits()) as isolation:
        source = OnePassSource(
            tmp_path, [Video("broken.avi", None), Video("gone.avi", None)], (), SHAPE, UniformSampler(),
            isolation=isolation,
        )  # fmt: skip
        assert source[0, 0] is None and source[1, 0] is None
    assert set(source.failures) == {"broken.avi", "gone.avi"}
    with pytest.raises(ReadError):
        see(catalog.root / "a.avi", shape=SHAPE, clips=1, crops=1, roi=(0, 0, 900, 900))


def test_segments_folders_and_flow_are_scanned(catalog, tmp_path):
    video = catalog.videos[0]
    assert fits_one_pass(catalog.root, video, SHAPE)
    assert not fits_one_pass(catalog.root, Video("a.avi", None, start=0.0, end=1.0), SHAPE)
    assert not fits_one_pass(catalog.root, video, dataclasses.replace(SHAPE, fps=5.0))
    assert not fits_one_pass(catalog.root, video, dataclasses.replace(SHAPE, flow="dis"))
    (tmp_path / "frames").mkdir()
    assert not fits_one_pass(tmp_path, Video("frames", None), SHAPE)
