"""Optical flow: what its numbers mean, and that clips from videos and from packs hold the same."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ar3d_keras.progress import Reporter
from ar3d_keras.videos import flow as flows
from ar3d_keras.videos.dataset import open_data, open_dataset
from ar3d_keras.videos.flow import STILL, algorithm, every_flow, quantize, read_with_flow
from ar3d_keras.videos.pack_index import INDEX, PackSettings, digest
from ar3d_keras.videos.packing import make_pack
from ar3d_keras.videos.packs import open_pack
from ar3d_keras.videos.pipeline import Batches, ClipBatches, ClipStream
from ar3d_keras.videos.reader import every_frame, load_cv2, mirror
from ar3d_keras.videos.sampling import ClipShape, ClipSpec, protocol
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.sources import PackSource, RandomSampler, UniformSampler, VideoSource
from ar3d_keras.videos.splits import make_split

SIZE = 40, 56
SHAPE = ClipShape(8, 32, 40, *SIZE, stride=2, flow="dis")
NO_FLOW = dataclasses.replace(SHAPE, flow=None)
RAW = PackSettings("raw", *SIZE, flow="dis")
JPEG = PackSettings("jpeg", *SIZE, 95, flow="dis")


def picture(right=0, down=0):
    """A cloudy picture, BGR uint8 of SIZE, moved by so many pixels."""
    clouds = np.random.default_rng(1).integers(0, 256, (SIZE[0] + 40, SIZE[1] + 40, 3), np.uint8)
    clouds = load_cv2().GaussianBlur(clouds, (0, 0), 2).astype(np.float32)
    clouds = np.clip((clouds - clouds.mean()) * 5 + 128, 0, 255).astype(np.uint8)
    top, left = 20 - down, 20 - right
    return clouds[top : top + SIZE[0], left : left + SIZE[1]]


def write(folder, frames):
    """A folder of frames: nothing is lost, so that a mirrored one is exactly that."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        load_cv2().imencode(".png", frame)[1].tofile(folder / f"{number}.png")


@pytest.fixture(scope="module")
def moving(write_video, tmp_path_factory):
    """Videos of 1, 2, 12 and 30 frames in which everything moves, and a lossy one."""
    root = tmp_path_factory.mktemp("moving")
    write(root / "a" / "one", [picture()])
    write(root / "a" / "two", [picture(), picture(right=3)])
    write(root / "b" / "right", [picture(right=n) for n in range(12)])
    write(root / "b" / "waves", [picture(n * n % 9, -n % 7) for n in range(30)])
    write_video(root / "b" / "lossy.avi", 20, size=(60, 80))
    return root


@pytest.fixture(scope="module")
def packs(moving, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    return {made.codec: pack_of(moving, folder / made.codec, made) for made in (RAW, JPEG)}


def pack_of(data, folder, made_with):
    return make_pack(open_data(data), folder, made_with, workers=2, reporter=Reporter())


def sources(data, pack, shape, views):
    catalog = open_data(data)
    rest = catalog.videos, scan(catalog, workers=2).frames, catalog.class_names, shape, views
    return VideoSource(catalog.root, *rest), PackSource(pack, *rest)


# What the numbers mean


names = st.sampled_from(["dis", "dis_fine"])


def test_quantised_by_hand():
    pixels = np.array([0, 20, -20, 100, -100, 1, -1, 0.05], np.float32)
    assert quantize(pixels, "dis").tolist() == [128, 255, 1, 255, 1, 134, 122, 128]
    assert quantize(pixels, "dis_fine").tolist() == [128, 255, 1, 255, 1, 156, 100, 134]


@given(arrays(np.float32, 9, elements=st.floats(-50, 50, width=32)), names)
def test_the_other_way_is_256_less_the_value(pixels, name):
    assert np.array_equal(quantize(-pixels, name), 256 - quantize(pixels, name).astype(int))


@pytest.mark.parametrize("name", ["dis", "dis_fine", "farneback", "tvl1"])
@pytest.mark.parametrize(("right", "down"), [(3, 1), (-2, 0), (0, -4)])
def test_a_picture_that_moves(name, right, down):
    if name == "tvl1" and not hasattr(load_cv2(), "optflow"):
        pytest.skip("this OpenCV comes without its contrib modules")
    grey = [load_cv2().cvtColor(p, 6) for p in (picture(), picture(right, down))]
    middle = algorithm(name)(*grey)[12:-12, 12:-12]
    assert np.abs(np.median(middle, axis=(0, 1)) - (right, down)).max() < 0.3


def test_it_does_not_begin_from_what_was_estimated_before():
    grey = [load_cv2().cvtColor(picture(right=n), 6) for n in (0, 3, 0)]
    estimate = algorithm("dis")
    first = estimate(*grey[:2])
    estimate(*grey[1:])
    assert np.array_equal(estimate(*grey[:2]), first)


def test_each_frame_has_the_flow_to_the_next_and_the_last_that_of_the_one_before():
    frames = [picture(right=n) for n in (0, 2, 2, -1)]
    found = list(every_flow(frames, "dis"))
    assert all(one is frame for (one, _), frame in zip(found, frames, strict=True))
    right = [float(np.median(flow[12:-12, 12:-12, 0])) - STILL for _, flow in found]
    assert right == pytest.approx([12.7, 0, -19.05, -19.05], abs=2)
    assert found[2][1] is found[3][1]
    ((_, still),) = every_flow(frames[:1], "dis")
    assert (still.shape, still.dtype, set(still.flat)) == ((*SIZE, 2), np.uint8, {STILL})
    assert list(every_flow([], "dis")) == []


@settings(max_examples=30)
@given(st.data())
def test_a_window_has_the_flow_of_its_frames_in_the_whole_video(moving, data):
    path = data.draw(st.sampled_from(sorted((moving / "b").iterdir())))
    whole = list(every_flow(every_frame(path, SIZE), "dis"))
    window = data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=6))
    frames, flow = read_with_flow(path, window, SIZE, available=len(whole), name="dis")
    assert np.array_equal(frames, [whole[n][0][..., ::-1] for n in window])
    assert np.array_equal(flow, [whole[n][1] for n in window])


# Clips


@pytest.mark.parametrize("window", [[0, 3, 6], [9, 10, 11], [11, 0, 1]])
def test_the_flow_of_a_mirrored_video_is_the_mirrored_flow(moving, tmp_path, window):
    """Both ways: a clip that is flipped, and a clip of a video that was filmed in a mirror."""
    frames = list(every_frame(moving / "b" / "waves", SIZE))[:12]
    write(tmp_path / "mirrored", [frame[:, ::-1] for frame in frames])
    write(tmp_path / "filmed", frames)
    rgb, flow = read_with_flow(tmp_path / "filmed", window, SIZE, available=12, name="dis")
    clip = np.concatenate([rgb, flow], axis=-1)
    expected = clip[:, :, ::-1].astype(int)
    expected[..., 3] = 256 - expected[..., 3]
    mirror(clip)
    assert np.array_equal(clip, expected)
    rgb, flow = read_with_flow(tmp_path / "mirrored", window, SIZE, available=12, name="dis")
    assert np.array_equal(rgb, clip[..., :3])
    difference = np.abs(flow.astype(int) - clip[..., 3:])
    assert np.median(difference) <= 1 and difference.mean() < 4  # of 256; 6.35 is a pixel
    wrong = np.abs(flow[..., 0].astype(int) - expected[:, :, ::-1, 0])
    assert wrong.mean() > 3 * difference.mean()


def test_a_view_cuts_and_flips_flow_and_colour_alike(moving):
    class OneView:
        per_video = 1

        def __call__(self, available, shape, epoch, index):
            return ClipSpec(np.arange(shape.frames) % available, 5, 9, flip=bool(epoch))

    source, _ = sources(moving, None, SHAPE, OneView())
    place = [video.path for video in source.videos].index("b/waves")
    frames, flow = read_with_flow(moving / "b" / "waves", range(8), SIZE, available=30, name="dis")
    plain, flipped = source[place, 0], source[place, 1]
    assert plain.shape == flipped.shape == SHAPE.array == (8, 32, 40, 5)
    assert np.array_equal(plain[..., :3], frames[:, 5:37, 9:49])
    assert np.array_equal(plain[..., 3:], flow[:, 5:37, 9:49])
    mirror(plain)
    assert np.array_equal(plain, flipped)


@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**31),
    frames=st.integers(1, 20),
    stride=st.integers(1, 5),
    height=st.integers(1, 40),
    width=st.integers(1, 56),
    grid=st.booleans(),
)
def test_clips_from_packs_are_those_of_the_videos(
    moving, packs, seed, frames, stride, height, width, grid
):
    """Raw: bit for bit. JPEG: the flow bit for bit, and so the windows."""
    views = UniformSampler(2, 3) if grid else RandomSampler(seed, True)
    shape = ClipShape(frames, height, width, *SIZE, stride, "dis")
    decoded, raw = sources(moving, packs["raw"], shape, views)
    _, jpeg = sources(moving, packs["jpeg"], shape, views)
    for index in range(len(decoded)):
        clip = decoded[index, seed % 7]
        assert np.array_equal(raw[index, seed % 7], clip)
        out = np.full_like(clip, 7)
        assert jpeg.read(index, seed % 7, out) is out
        assert np.array_equal(out[..., 3:], clip[..., 3:])
        assert np.abs(out[..., :3].astype(int) - clip[..., :3]).mean() < 25  # gaudy chroma
    assert raw.failures == jpeg.failures == {}


def test_networks_without_flow_get_their_clips_from_such_a_pack(moving, packs):
    decoded, packed = sources(moving, packs["raw"], NO_FLOW, RandomSampler(0, True))
    for index in range(len(decoded)):
        assert packed[index, 0].shape == (8, 32, 40, 3)
        assert np.array_equal(packed[index, 0], decoded[index, 0])


@pytest.mark.multi_backend
def test_batches_have_five_channels(moving):
    import keras

    source, _ = sources(moving, None, SHAPE, UniformSampler())
    expected = np.array([source[index, 0] for index in range(len(source))])
    found = np.concatenate([batch[0] for batch in Batches(source, 2, workers=2)])
    assert np.array_equal(found, expected)
    if keras.backend.backend() == "tensorflow":
        stream = ClipStream(source, 2, seed=0, epochs=range(1), workers=2)
        assert {batch[0].shape[1:] for batch in stream.dataset} == {SHAPE.array}
        stream.close()
    batches = ClipBatches(source, 2, seed=0, workers=2)
    assert batches[0][0].shape == (2, *SHAPE.array)


def test_flow_is_what_a_network_sees_and_no_protocol():
    assert protocol(SHAPE, clips=1, crops=1) == protocol(NO_FLOW, clips=1, crops=1)


# Packs


def test_a_packs_checksums_cover_its_flow(moving, packs, tmp_path):
    pack = packs["raw"]
    assert str(pack.settings) == "raw, 40x56, flow dis"
    (last,) = (packed for packed in pack.videos if packed.video.path == "b/waves")
    shard = bytearray((pack.root / "shard-00000.bin").read_bytes())
    # Behind the last of the frames lies the flow of the first.
    shard[last.offset + 30 * SIZE[0] * SIZE[1] * 3 + 9] ^= 1
    for file in pack.root.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "shard-00000.bin").write_bytes(shard)
    damaged = open_pack(tmp_path)
    told = "its flow of frame 0 in shard-00000.bin is damaged (its checksum is wrong)"
    assert damaged.verify(workers=2) == {"b/waves": told}
    _, packed = sources(moving, damaged, SHAPE, UniformSampler(9))
    clips = [packed[index, 0] for index in range(len(packed))]
    assert packed.failures == {"b/waves": told}
    assert 0 < sum(clip is None for clip in clips) < 9
    _, packed = sources(moving, damaged, NO_FLOW, UniformSampler(9))
    assert all(packed[index, 0] is not None for index in range(len(packed)))


def test_a_pack_of_version_1_is_one_without_flow(moving, tmp_path, user_error):
    pack = pack_of(moving, tmp_path / "pack", PackSettings("raw", *SIZE))
    content = json.loads((pack.root / INDEX).read_text())
    assert content["version"] == 4
    content["version"] = 1
    del content["settings"]["flow"]
    (pack.root / INDEX).write_text(json.dumps({**content, "sha256": digest(content)}))
    old = open_pack(pack.root)
    assert old.verify(workers=1) == {}
    old.require(NO_FLOW)
    with user_error(
        f"{pack.root} holds no optical flow and this run needs that of dis",
        f"`ar3d pack --data {moving} --resize {SIZE[0]} {SIZE[1]} --flow dis --out NEW`",
    ):
        old.require(SHAPE)


def test_a_pack_with_another_algorithm(packs, user_error):
    packs["raw"].require(SHAPE)
    with user_error("holds dis flow", "needs that of farneback: pack again", "`flow`"):
        packs["raw"].require(dataclasses.replace(SHAPE, flow="farneback"))


# Refused at the door


def test_tv_l1_names_what_to_install(user_error):
    if hasattr(load_cv2(), "optflow"):
        pytest.skip("this OpenCV has its contrib modules")
    with user_error("`flow`", "tvl1", "`pip install opencv-contrib-python`"):
        flows.check("tvl1", SIZE)


def test_frames_that_an_algorithm_cannot_see(ucf_set, user_error):
    shape = ClipShape(2, 6, 6, 8, 8, 1, "dis")
    with user_error("`flow` dis", "8x8", "`resize`"):
        open_dataset(make_split(open_data(ucf_set), "group"), shape)
    flows.check("farneback", (8, 8))
