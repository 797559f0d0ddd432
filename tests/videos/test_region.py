"""A region of interest is cut out of every frame before the resize."""

import dataclasses

import numpy as np
import pytest

from ar3d_keras.errors import UserError
from ar3d_keras.inference.timeline import clips_of, small_windows
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.pack_index import PackSettings
from ar3d_keras.videos.packing import make_pack
from ar3d_keras.videos.parts import Part
from ar3d_keras.videos.reader import load_cv2, read_frames
from ar3d_keras.videos.region import cut_region, parse_region
from ar3d_keras.videos.sampling import ClipShape, protocol
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.sources import PackSource, UniformSampler, VideoSource

SHAPE = ClipShape(4, 20, 20, resize_height=20, resize_width=20, stride=1)
RIGHT = (32.0, 8.0, 64.0, 40.0)  # the dark half of the pictures that conftest makes, 48x64


def source_of(catalog, shape, clips=2):
    scanned = scan(catalog, workers=1)
    return VideoSource(
        catalog.root, catalog.videos, scanned.frames, catalog.class_names, shape,
        UniformSampler(clips), numbers=scanned.numbers,
    )  # fmt: skip


def test_pixels_and_shares(ucf_set):
    video = next((ucf_set / "Archery").iterdir())
    whole = read_frames(video, [3], (48, 64))[0]
    for roi in (RIGHT, (0.5, 8 / 48, 1.0, 40 / 48)):
        assert np.array_equal(cut_region(whole, roi), whole[8:40, 32:])
        part = read_frames(video, [3], (32, 32), roi=roi)[0]
        assert np.array_equal(part, whole[8:40, 32:])
        small = read_frames(video, [3], (20, 20), roi=roi)[0]
        assert np.array_equal(small, load_cv2().resize(whole[8:40, 32:], (20, 20)))


@pytest.mark.parametrize(
    "cells", ["1,2,3,", "1,2,1,4", "1,4,2,3", "-1,0,2,2", "nan,0,1,1", "a,0,1,1", "0,0,inf,1"]
)
def test_what_is_no_region(cells):
    with pytest.raises(UserError):
        parse_region(cells.split(","))


def test_a_region_of_all_videos(ucf_set, tmp_path, user_error):
    catalog, shape = open_catalog(ucf_set), dataclasses.replace(SHAPE, roi=RIGHT)
    source = source_of(catalog, shape)
    assert source[0, 0][..., 1].mean() < 100 < source_of(catalog, SHAPE)[0, 0][..., 1].mean()
    settings = PackSettings("raw", 20, 20, roi=RIGHT)
    pack = make_pack(catalog, tmp_path / "pack", settings, workers=2, reporter=Reporter())
    pack.require(shape)
    with user_error("`roi`"):
        pack.require(SHAPE)
    packed = PackSource(
        pack, catalog.videos, source._frames, catalog.class_names, shape, UniformSampler(2)
    )
    for index in range(4):
        assert np.array_equal(source[index, 0], packed[index, 0])
    path = catalog.root / catalog.videos[0].path
    [window] = small_windows(Part(path), shape, seconds=60, hop=60)
    for place, clip in enumerate(clips_of(window.frames, shape, clips=2)):
        assert np.array_equal(clip, source[place, 0])
    assert "32 8 64 40" in protocol(shape, clips=1, crops=1)
    assert ClipShape(**vars(shape) | {"roi": list(RIGHT)}) == shape


def test_a_region_of_each_row(write_timed, tmp_path, user_error):
    for name in "ab":
        write_timed(tmp_path / f"{name}.mp4", np.arange(60) / 30)
    rows = [
        "a.mp4,x,0,1,0,0,0.5,1", "a.mp4,y,0,1,0.5,0,1,1", "a.mp4,y,,,32,8,64,40",
        "b.mp4,x,0,1,,,,", "b.mp4,y,1,2,0,0,999,10",
    ]  # fmt: skip
    header = "path,label,start,end,left,top,right,bottom"
    (tmp_path / "labels.csv").write_text("\n".join([header, *rows]))
    catalog = open_catalog(tmp_path)
    assert {video.group for video in catalog.videos} == {"a.mp4", "b.mp4"}
    assert len({video.key for video in catalog.videos}) == 5
    source = source_of(catalog, SHAPE, clips=1)
    left, right = (
        next(n for n, v in enumerate(source.videos) if v.roi == roi)
        for roi in ((0, 0, 0.5, 1), (0.5, 0, 1, 1))
    )
    assert source[left, 0][..., 1].mean() > 130 > 80 > source[right, 0][..., 1].mean()
    settings = PackSettings("raw", 20, 20)
    pack = make_pack(catalog, tmp_path / "pack", settings, workers=2, reporter=Reporter())
    packed = pack.scan(catalog.videos)
    assert len(packed.unreadable) == 1  # b.mp4 has no 999 columns
    rest = catalog.videos, packed.frames, catalog.class_names, SHAPE, UniformSampler()
    for index, video in enumerate(source.videos):
        clip = source[index, 0]
        if video.key in packed.unreadable:
            assert clip is None
            assert "999" in source.failures[video.key]
        else:
            assert np.array_equal(clip, PackSource(pack, *rest)[index, 0])
    (tmp_path / "labels.csv").write_text("\n".join([header, *rows, "b.mp4,x,1,2,1,1,1,2"]))
    with user_error("row 7"):
        open_catalog(tmp_path)
