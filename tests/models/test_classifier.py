"""What a network knows: its class names, its clip geometry, and videos."""

import numpy as np
import pytest

from ar3d_keras import C3D, Conv3DClassifier, TwoStream, UserError
from ar3d_keras.inference.predictor import predict_videos
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.unlabelled import find_videos

SIZES = {"frames": 4, "height": 16, "width": 16, "filters": 2, "pool": (4, 8, 8), "dense": 3}
SHAPE = ClipShape(4, 16, 16, 20, 24, 2)


def classifier(**changes):
    known = {"class_names": ["run", "walk"], "clip_shape": SHAPE}
    return Conv3DClassifier(2, **{**SIZES, **known, **changes})


def test_a_network_predicts_videos(tmp_path, write_video):
    write_video(tmp_path / "a.avi")
    write_video(tmp_path / "b.avi", first=40)
    model = classifier()
    found = model.predict_videos(tmp_path, clips=2, workers=1)
    expected = predict_videos(model.as_classifier(), find_videos([tmp_path]), clips=2, workers=1)
    assert [prediction.path for prediction in found] == [
        str(tmp_path / name) for name in ("a.avi", "b.avi")
    ]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
    assert {name for name, _ in found[0].top(5)} == {"run", "walk"}
    windows = model.predict_videos([tmp_path / "a.avi"], window_seconds=0.4, workers=1)
    assert len(windows[0].segments) == 2


def test_a_network_in_mixed_precision_predicts_in_float32():
    exact, mixed = classifier(), classifier(dtype="mixed_bfloat16")
    assert exact.as_classifier().network is exact
    copy = mixed.as_classifier().network
    assert {layer.compute_dtype for layer in copy.layers} == {"float32"}
    assert copy.class_names == mixed.class_names
    for weight, same in zip(copy.get_weights(), mixed.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, same)


@pytest.mark.parametrize("missing", ["class_names", "clip_shape"])
def test_a_network_without_names_or_geometry_predicts_no_videos(missing):
    model = classifier(**{missing: None})
    assert getattr(model, missing) is None
    assert missing not in model.get_config()
    with pytest.raises(UserError) as caught:
        model.predict_videos("a.avi")
    assert caught.value.parameter == missing


def test_names_and_geometry_can_be_set_later():
    model = classifier(class_names=None, clip_shape=None)
    model.class_names = ["run", "walk"]
    model.clip_shape = vars(SHAPE)
    assert model.class_names == ("run", "walk")
    assert model.clip_shape == SHAPE
    assert model.get_config() == classifier(name=model.name).get_config()
    with pytest.raises(UserError):
        model.class_names = ["run"]
    assert model.class_names == ("run", "walk")


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": ["run"]},
        {"class_names": ["run", "run"]},
        {"class_names": "ab"},
        {"class_names": [1, 2]},
        {"class_names": 2},
        {"clip_shape": ClipShape(5, 16, 16, 20, 24)},
        {"clip_shape": ClipShape(4, 16, 12, 20, 24)},
        {"clip_shape": ClipShape(4, 16, 16, 12, 24)},
        {"clip_shape": ClipShape(4, 16, 16, 20, 24, 0)},
        {"clip_shape": ClipShape(4, 16, 16, 20, 24, flow="dis")},
        {"clip_shape": {"frames": 4, "height": 16, "width": 16, "color": "red"}},
        {"clip_shape": {**vars(SHAPE), "stride": "2"}},
        {"clip_shape": 16},
    ],
)
def test_names_and_geometry_must_fit_the_network(changes):
    with pytest.raises(UserError) as caught:
        classifier(**changes)
    assert caught.value.parameter == next(iter(changes))


def test_a_network_of_flow_needs_flow():
    sizes = {"frames": 4, "height": 20, "width": 20}
    with pytest.raises(UserError, match="`clip_shape`"):
        TwoStream(2, width_multiplier=0.01, **sizes, clip_shape=ClipShape(4, 20, 20, 20, 20))


@pytest.mark.parametrize(
    "bad",
    [
        {"pool": (2, 17, 4)},
        {"pool": 0},
        {"pool": "local"},
        {"pool": (2, 2.5, 2)},
        {"filters": 0},
        {"filters": 4.5},
        {"filters": "4"},
        {"filters": None},
        {"dense": -1},
        {"frames": 0},
        {"kernel": (3, 3)},
        {"kernel": 3.5},
        {"gate_kernel": (0, 3, 3)},
        {"num_classes": 3.5},
        {"num_classes": 1},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"dropout": float("nan")},
        {"dropout": "half"},
        {"attention": "yes"},
        {"spatial_downsample": 0},
        {"spatial_downsample": 3},
        {"differences": True, "frames": 1, "pool": 1},
    ],
)
def test_invalid_options_raise(bad, user_error):
    with user_error(f"`{next(iter(bad))}`"):
        Conv3DClassifier(**{"num_classes": 3, **SIZES, **bad})


@pytest.mark.parametrize("multiplier", [0, -1, float("inf"), float("nan"), "1"])
def test_an_invalid_width_multiplier_raises(multiplier, user_error):
    with user_error("`width_multiplier`"):
        C3D(3, width_multiplier=multiplier)


def test_the_pool_must_fit_the_features(user_error):
    for options in ({"spatial_downsample": 4}, {"differences": True}):
        with user_error("`pool`"):
            Conv3DClassifier(3, **{**SIZES, **options})
