"""Do the maps fall on what moves? In the demo set the place of the moving disc is known.

Two ratios of means over pixels, for each test video: the map on the disc to the map elsewhere; and,
with a still copy of the disc pasted where the moving one never comes, the map on the moving disc to
the map on the still one. The first ratio alone proves little, because the disc is bright, and
any map of brightness falls on it. In the second, only motion tells the two discs apart.

`pytest -s -m slow tests/explanation/test_on_the_moving_object.py` trains the networks at the size
of `python train.py` and prints the table of docs/explaining.md.
"""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

from ar3d_keras.config import TrainConfig, from_json
from ar3d_keras.explanation import grad_cam as gradients
from ar3d_keras.explanation.attention_map import find_gate
from ar3d_keras.explanation.explain import explain, responsive_channels
from ar3d_keras.explanation.grad_cam import grad_cam
from ar3d_keras.models.loading import load_model
from ar3d_keras.presets import Choice, with_preset
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import create_run
from ar3d_keras.training.trainer import train
from ar3d_keras.videos import demo
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.dataset import clip_shape, open_dataset
from ar3d_keras.videos.splits import make_split

pytestmark = pytest.mark.slow


def disc_in(path, view, shape):
    """Returns where the disc is in a clip: bool (T, H, W)."""
    action, group, clip = re.fullmatch(r"v_(\w+)_g(\d+)_c(\d+)", Path(path).stem).groups()
    places = demo.trajectory(action, demo.draw_shot(int(group), int(clip)))[view.window]
    x, y, radius = places.T[:, :, None, None]
    # The place of a pixel in the video as it was drawn, before resize and crop.
    columns = (np.arange(shape.width) + view.left + 0.5) * demo.WIDTH / shape.resize_width - 0.5
    rows = (np.arange(shape.height) + view.top + 0.5) * demo.HEIGHT / shape.resize_height - 0.5
    return np.hypot(columns[None] - x, rows[:, None] - y) <= radius


def with_still_copy(clip, disc):
    """Pastes the disc of the middle frame into every frame, as far as possible from its path.

    Returns the clip and where the copy is, bool (T, H, W); None if there is no room.
    """
    middle, swept = len(clip) // 2, disc.any(axis=0)
    rows, columns = np.nonzero(disc[middle])
    height, width = swept.shape
    taken = np.argwhere(swept)
    best = 0, None
    for down in range(-rows.min(), height - rows.max()):
        for right in range(-columns.min(), width - columns.max()):
            if not swept[rows + down, columns + right].any():
                centre = rows.mean() + down, columns.mean() + right
                best = max(best, (np.hypot(*(taken - centre).T).min(), (down, right)))
    if best[1] is None:
        return None
    down, right = best[1]
    clip, copy = clip.copy(), np.zeros_like(disc)
    clip[:, rows + down, columns + right] = clip[middle, rows, columns]
    copy[:, rows + down, columns + right] = True
    return clip, copy


def maps_of(network, clip):
    """Returns every kind of map (T, H, W) of a clip by its name."""
    batch, found = clip[None], {}
    gate = find_gate(network)
    last = network.get_layer("gate" if gate else "features").output
    if gate:
        read = keras.Model(network.input, (gate.input, gate.attention_map(gate.input)))
        features, gates = (keras.ops.convert_to_numpy(values)[0] for values in read(batch))
        weighted = (features * gates).sum(-1) / (features.sum(-1) + 1e-9)
        found["attention"] = explain(network, batch).maps[0]
        found["attention weighted by the features"] = weighted
        found["3 responsive channels"] = responsive_channels(network, batch)[1][0].mean(axis=0)
    features = keras.Model(network.input, last)(batch)
    found["features x gate" if gate else "features"] = np.asarray(features)[0].mean(-1)
    found["Grad-CAM"] = grad_cam(network, batch)[0]
    # Draelos and Carin 2020: each position weighted with its own gradient, not with the mean.
    above, likeliest = keras.Model(last, gradients._scores(network)), network(batch)[0]
    chosen = keras.ops.one_hot(keras.ops.argmax(likeliest), len(likeliest))
    slopes = gradients._gradient(lambda maps: keras.ops.sum(above(maps) * chosen), features)
    found["HiResCAM"] = np.maximum(np.asarray(features * slopes)[0].sum(-1), 0)
    return found


def ratios(network, videos):
    """{map: {"object": one ratio a video, "moving": one a video with room for the copy}}."""
    found = {}

    def note(clip, which, inside, outside):
        for name, values in maps_of(network, clip).items():
            ratio = (values[inside].mean() + 1e-12) / (values[outside].mean() + 1e-12)
            found.setdefault(name, {"object": [], "moving": []})[which].append(ratio)

    for clip, disc in videos:
        note(clip, "object", disc, ~disc)
        if pasted := with_still_copy(clip, disc):
            note(pasted[0], "moving", disc, pasted[1])
    return found


def median(values):
    return float(np.median(values))


def above_one(values):
    return float(np.mean(np.array(values) > 1))


def configured(**sections):
    return from_json(sections, with_preset(TrainConfig(), Choice("demo")))


def trained_and_untrained(folder, config, runs):
    """Returns both networks, and a test clip of each group and class with its disc."""
    split = make_split(open_catalog(folder), "group")
    data = open_dataset(split, clip_shape(config.data), workers=2, reporter=Reporter())
    run = create_run(runs, None, "conv3d")
    train(run, config, data, precision="float32", workers=2, reporter=Reporter())
    network = load_model(run.best)
    keras.utils.set_random_seed(0)
    return network, type(network)(**network.get_config()), videos_of(data.evaluation("test"))


def videos_of(source):
    """Returns (clip, disc) of every third video; a group has three."""
    return [
        (source[index, 0], disc_in(source.videos[index].path, source.view(index, 0), source.shape))
        for index in range(0, len(source), 3)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return demo.make_demo(tmp_path_factory.mktemp("data") / "demo")


def test_the_disc_is_where_the_trajectory_is(folder):
    split = make_split(open_catalog(folder), "group")
    data = open_dataset(split, clip_shape(configured().data), workers=2, reporter=Reporter())
    room = 0
    for clip, disc in videos_of(data.evaluation("test")):
        bright = clip.mean(axis=-1) > 100
        assert (bright & disc).sum() > 0.85 * (bright | disc).sum()  # the codec blurs its edge
        if pasted := with_still_copy(clip, disc):
            pasted, copy = pasted
            assert not (copy & disc).any()
            assert pasted[copy].mean() > 150
            assert (pasted[1:] == pasted[:-1])[copy[1:]].all()
            np.testing.assert_array_equal(pasted[~copy], clip[~copy])
            room += 1
    assert room > 20


def test_the_gate_of_a_small_trained_network_falls_on_the_object(folder, tmp_path):
    small = {"attention": True, "filters": 16, "pool": [4, 4, 4], "dense": 64}
    trained, untrained, videos = trained_and_untrained(
        folder,
        configured(data={"height": 24, "width": 24}, model=small, recipe={"epochs": 6}),
        tmp_path,
    )
    found, control = (ratios(network, videos[::4]) for network in (trained, untrained))
    assert median(found["attention"]["object"]) > 1.2
    assert above_one(found["attention"]["object"]) > 0.9
    assert 0.95 < median(control["attention"]["object"]) < 1.05
    # The features respond to the bright disc before any training.
    assert median(found["features x gate"]["object"]) > 2
    assert median(control["features x gate"]["object"]) > 2
    assert median(control["Grad-CAM"]["object"]) > 1


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("attention", [True, False])
def test_the_figures(folder, tmp_path, attention, seed):
    config = configured(model={"attention": attention}, recipe={"seed": seed})
    trained, untrained, videos = trained_and_untrained(folder, config, tmp_path)
    which = "gated" if attention else "without gate"
    for state, network in (("trained", trained), ("untrained", untrained)):
        for name, found in ratios(network, videos).items():
            cells = [
                f"{median(values):.2f} ({above_one(values):.0%} of {len(values)})"
                for values in (found["object"], found["moving"])
            ]
            print("|", " | ".join([which, f"{state}, seed {seed}", name, *cells]), "|", flush=True)
