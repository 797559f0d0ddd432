"""Augmentations: drawn purely, done to all frames alike, and never in evaluation."""

import colorsys
import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.config import AugmentConfig, DataConfig, TrainConfig
from ar3d_keras.progress import Reporter
from ar3d_keras.videos import augment
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.dataset import open_dataset
from ar3d_keras.videos.pack_index import PackSettings
from ar3d_keras.videos.packing import make_pack
from ar3d_keras.videos.sampling import Box, ClipShape, ClipSpec, Color, random_clip, stride_for
from ar3d_keras.videos.splits import make_split

PAPER = ClipShape()
SHAPE = ClipShape(frames=4, height=16, width=20, resize_height=20, resize_width=28, stride=2)
EVERYTHING = AugmentConfig(
    crop_scale=(0.2, 1), stride_jitter=2, brightness=0.5, contrast=0.5, saturation=0.5, hue=0.2,
    random_erasing=0.5,
)  # fmt: skip

SHARES = st.floats(0, 1)
SHAPES = st.builds(
    lambda frames, height, width, down, across, stride: ClipShape(
        frames, height, width, height + down, width + across, stride
    ),
    st.integers(1, 40), st.integers(1, 200), st.integers(1, 200),
    st.integers(0, 60), st.integers(0, 60), st.integers(1, 8),
)  # fmt: skip
CONFIGS = st.builds(
    AugmentConfig,
    crop_scale=st.none() | st.tuples(st.floats(0.001, 1), SHARES).map(sorted).map(tuple).filter(
        lambda scale: scale[0] > 0
    ),
    stride_jitter=st.integers(0, 6),
    brightness=SHARES, contrast=SHARES, saturation=SHARES, hue=st.floats(0, 0.5), random_erasing=SHARES,
)  # fmt: skip
PLACES = {
    "seed": st.integers(0, 2**32 - 1),
    "epoch": st.integers(0, 99),
    "index": st.integers(0, 99999),
}


def view(config, available=100, shape=PAPER, seed=0, epoch=0, index=0):
    return random_clip(
        available, shape, flip=True, seed=seed, epoch=epoch, index=index, augment=config
    )


def same(one, other):
    return np.array_equal(one.window, other.window) and dataclasses.replace(
        one, window=None
    ) == dataclasses.replace(other, window=None)


# What is drawn


@given(CONFIGS, st.integers(1, 400), SHAPES, st.fixed_dictionaries(PLACES))
def test_a_view_fits_and_is_drawn_purely(config, available, shape, place):
    config.validate()
    drawn = view(config, available, shape, **place)
    assert same(drawn, view(config, available, shape, **place))
    assert drawn.window.min() >= 0
    assert drawn.window.max() < available
    height, width = drawn.crop or (shape.height, shape.width)
    assert 0 <= drawn.top <= shape.resize_height - height
    assert 0 <= drawn.left <= shape.resize_width - width
    assert min(height, width) >= 1
    assert (drawn.crop is None) == (config.crop_scale is None)
    if drawn.color:
        for value, centre, name in zip(drawn.color, (1, 1, 1, 0), Color._fields, strict=True):
            assert abs(value - centre) <= getattr(config, name) + 1e-12
    if drawn.erased:
        top, left, height, width = drawn.erased
        assert 0 <= top <= shape.height - height
        assert 0 <= left <= shape.width - width


@given(CONFIGS, st.integers(1, 400), SHAPES, st.fixed_dictionaries(PLACES))
def test_switching_one_off_leaves_the_others_as_they_were(config, available, shape, place):
    """So figures with and without an augmentation compare that augmentation alone."""
    drawn = view(config, available, shape, **place)
    for name, parts in {
        "crop_scale": ("crop", "top", "left"), "stride_jitter": ("window",), "random_erasing": ("erased",),
        "hue": ("color",),
    }.items():  # fmt: skip
        default = getattr(AugmentConfig(), name)
        without = view(dataclasses.replace(config, **{name: default}), available, shape, **place)
        kept = {part: getattr(drawn, part) for part in parts}
        assert same(dataclasses.replace(without, **kept), drawn)


@pytest.mark.parametrize(
    ("place", "before"),
    [((3, 2, 7), (17, 11, 7, True)), ((0, 0, 0), (5, 0, 56, True)), ((9, 4, 1), (7, 4, 30, False))],
)
def test_a_seed_gives_these_views(place, before):
    """Runs that other versions of this package go on with must go on as they began."""
    seed, epoch, index = place
    drawn = random_clip(100, PAPER, flip=True, seed=seed, epoch=epoch, index=index)
    assert (drawn.window[0], drawn.top, drawn.left, drawn.flip) == before
    assert (drawn.crop, drawn.color, drawn.erased) == (None, None, None)


def test_the_crops_cover_the_shares_asked_for():
    config = AugmentConfig(crop_scale=(0.25, 0.5))
    crops = [view(config, index=index).crop for index in range(500)]
    shares = [height * width / (128 * 171) for height, width in crops]
    ratios = [width / height for height, width in crops]
    assert 0.24 < min(shares) < 0.26
    assert 0.48 < max(shares) < 0.51
    assert 0.74 < min(ratios) < 0.78
    assert 1.28 < max(ratios) < 1.36


def test_the_stride_is_jittered_about_the_one_that_fits():
    config = AugmentConfig(stride_jitter=2)

    def strides(available):
        windows = [view(config, available, index=index).window for index in range(200)]
        assert all((np.diff(window) > 0).all() for window in windows)  # none starts over
        return {int(np.diff(window)[0]) for window in windows}

    assert strides(300) == {2, 3, 4, 5, 6}
    assert strides(70) == {2, 3, 4}  # 5 x 15 frames do not fit
    assert stride_for(35, PAPER) == 2
    assert strides(35) == {1, 2}


def test_as_many_clips_are_erased_as_asked_for():
    erased = [view(AugmentConfig(random_erasing=0.25), index=index).erased for index in range(2000)]
    boxes = [box for box in erased if box]
    assert len(boxes) / 2000 == pytest.approx(0.25, abs=0.03)
    shares = [box.height * box.width / 112**2 for box in boxes]
    assert 0.015 < min(shares) < 0.03
    assert 0.3 < max(shares) < 0.34


# What is done to the pixels


def clip_of(seed=0, channels=3, frames=3, height=20, width=24):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, channels), np.uint8)


def changed(clip, **parts):
    clip = clip.copy()
    augment.change(clip, ClipSpec(np.arange(len(clip)), 0, 0, **parts))
    return clip


def close(one, other):
    return np.abs(one.astype(int) - np.rint(other).clip(0, 255)).max() <= 1


LUMA = np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_brightness_contrast_and_saturation_are_torchvisions(factor):
    """Its definitions (torchvision.transforms.functional), of the whole clip at once."""
    clip = clip_of()
    luma = (clip @ LUMA)[..., None]
    assert close(changed(clip, color=Color(factor, 1, 1, 0)), clip * factor)
    assert close(
        changed(clip, color=Color(1, factor, 1, 0)), factor * clip + (1 - factor) * luma.mean()
    )
    assert close(changed(clip, color=Color(1, 1, factor, 0)), factor * clip + (1 - factor) * luma)


def test_colours_one_after_the_other_are_colours_at_once():
    # Soft colors, so that nothing is clipped on the way.
    clip = (clip_of() // 4 + 96).astype(np.uint8)
    at_once = changed(clip, color=Color(0.9, 0.8, 1.2, 0.1))
    one_by_one = clip
    for color in [(1, 1, 1.2, 0), (1, 1, 1, 0.1), (0.9, 1, 1, 0), (1, 0.8, 1, 0)]:
        one_by_one = changed(one_by_one, color=Color(*color))
    assert np.abs(at_once.astype(int) - one_by_one).max() <= 3  # four roundings


def test_hue_turns_colours_and_keeps_greys():
    grey = np.repeat(clip_of(channels=1), 3, axis=-1)
    assert close(changed(grey, color=Color(1, 1, 1, 0.3)), grey)
    red = np.full((1, 8, 8, 3), (150, 100, 100), np.uint8)
    for turn in (0.1, -0.1, 1 / 3, 0.5):
        turned = changed(red, color=Color(1, 1, 1, turn))[0, 0, 0] / 255
        hue = colorsys.rgb_to_hsv(*turned)[0]
        assert (hue - turn + 0.5) % 1 - 0.5 == pytest.approx(0, abs=0.06)
        assert turned @ LUMA == pytest.approx(red[0, 0, 0] @ LUMA / 255, abs=0.01)
    assert close(changed(clip_of(), color=Color(1, 1, 1, 0)), clip_of())


def test_an_erased_box_is_grey_in_all_frames_and_nothing_else_is_touched():
    clip = clip_of()
    found = changed(clip, erased=Box(2, 3, 5, 7))
    assert (found[:, 2:7, 3:10] == 128).all()
    found[:, 2:7, 3:10] = clip[:, 2:7, 3:10]
    assert np.array_equal(found, clip)


@given(st.integers(0, 10**6), st.sampled_from([3, 5]), CONFIGS)
def test_frames_that_are_alike_stay_alike(seed, channels, config):
    clip = np.repeat(clip_of(seed, channels, frames=1), 4, axis=0)
    shape = ClipShape(4, 12, 14, 20, 24)
    drawn = view(config, shape=shape, index=seed)
    height, width = drawn.crop or (12, 14)
    cropped = np.ascontiguousarray(
        clip[:, drawn.top : drawn.top + height, drawn.left : drawn.left + width]
    )
    found = augment.resize(cropped, shape)
    augment.change(found, drawn)
    assert found.shape == (4, 12, 14, channels)
    assert (found == found[:1]).all()


def test_flow_keeps_its_values_when_colours_change():
    clip = clip_of(channels=5)
    color = Color(1.3, 0.8, 1.2, 0.1)
    found = changed(clip, color=color, erased=Box(0, 0, 4, 4))
    rgb = np.ascontiguousarray(clip[..., :3])
    assert np.array_equal(found[:, 4:, 4:, 3:], clip[:, 4:, 4:, 3:])
    assert np.array_equal(found[:, 4:, 4:, :3], changed(rgb, color=color)[:, 4:, 4:])
    assert (found[:, :4, :4, 3:] == 128).all()  # no motion


def test_a_resized_crop_is_opencvs():
    import cv2

    crop = clip_of(channels=5)
    shape = ClipShape(3, 30, 10)
    out = np.zeros((3, 30, 10, 5), np.uint8)
    assert augment.resize(crop, shape, out) is out
    for frame, small in zip(crop, out, strict=True):
        assert np.array_equal(cv2.resize(frame, (10, 30)), small)


# In a source


@pytest.fixture(scope="module")
def datasets(make_ucf, tmp_path_factory):
    """The same videos as files and as a pack."""
    root = make_ucf(tmp_path_factory.mktemp("ucf"), groups=12)
    catalog = open_catalog(root)
    folder = tmp_path_factory.mktemp("pack") / "pack"
    settings = PackSettings("raw", SHAPE.resize_height, SHAPE.resize_width, None, 2)
    pack = make_pack(catalog, folder, settings, workers=2, reporter=Reporter())
    return [open_dataset(make_split(c, "group"), SHAPE) for c in (catalog, pack.catalog)]


def test_a_pack_gives_the_augmented_clips_of_the_videos(datasets):
    videos, pack = (data.training(seed=1, flip=True, augment=EVERYTHING) for data in datasets)
    plain = datasets[0].training(seed=1, flip=True)
    places = list(itertools.product(range(len(videos)), range(3)))
    for place in places:
        clip = videos[place]
        out = np.zeros_like(clip)
        assert np.array_equal(clip, pack[place])
        assert pack.read(*place, out) is out
        assert np.array_equal(clip, out)
        assert videos.read(*place, np.zeros_like(clip)).tobytes() == clip.tobytes()
    assert not any(np.array_equal(videos[place], plain[place]) for place in places)


def test_evaluation_is_never_augmented(datasets):
    """Sources of val and test take no augmentation; their views hold none."""
    with pytest.raises(TypeError):
        datasets[0].evaluation("val", augment=EVERYTHING)
    for name in ("train", "val", "test"):
        source = datasets[0].evaluation(name, clips=2, crops=3)
        for index in range(len(source)):
            drawn = source.clip_spec(index, epoch=index)
            assert (drawn.flip, drawn.crop, drawn.color, drawn.erased) == (False, None, None, None)


# Bad values


@pytest.mark.parametrize(
    "changes",
    [
        {"crop_scale": (0.0, 1)},
        {"crop_scale": (0.5, 0.4)},
        {"crop_scale": (0.5, 1.5)},
        {"crop_scale": (float("nan"), 1)},
        {"stride_jitter": -1},
        {"brightness": 1.1},
        {"contrast": -0.1},
        {"saturation": float("nan")},
        {"hue": 0.6},
        {"random_erasing": 2.0},
        {"mixup": -1.0},
        {"cutmix": float("inf")},
    ],
)
def test_values_out_of_range(changes, user_error):
    [(option, value)] = changes.items()
    value = " ".join(map(str, value)) if isinstance(value, tuple) else value
    with user_error(f"`{option}`", f"{value}"):
        TrainConfig(data=DataConfig(**changes)).validate()


def test_every_option_is_off_by_default():
    for field in dataclasses.fields(AugmentConfig):
        assert not field.default
