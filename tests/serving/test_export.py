"""The SavedModel, loaded where this package cannot be."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from ar3d_keras import Conv3DClassifier
from ar3d_keras.inference.recogniser import describe
from ar3d_keras.serving.export import export_saved_model
from ar3d_keras.videos.sampling import ClipShape

pytestmark = pytest.mark.every_backend
NAMES = ["걷기 walk", "run", "jump, high"]
SMALL = {"frames": 4, "height": 8, "width": 8, "filters": 6, "pool": (2, 4, 4), "dense": 5}
ABOUT = describe(NAMES, ClipShape(4, 8, 8, 9, 12))

# Plain TensorFlow: importing this package or Keras in here is an error.
LOAD = """
import json, sys
sys.modules["ar3d_keras"] = sys.modules["keras"] = None
import numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
classify = model.signatures["serving_default"]
(clip,) = classify.structured_input_signature[1].values()
assert clip.name == "clip" and clip.dtype == tf.uint8, clip
answers = []
for count in (1, 3, 8):
    answer = classify(clip=tf.constant(np.load(sys.argv[2])[:count]))
    answers.append({
        name: np.char.decode(value.numpy().astype("S"), "utf-8").tolist()
        if value.dtype == tf.string else value.numpy().tolist()
        for name, value in answer.items()
    })
json.dump(answers, open(sys.argv[3], "w"))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    model = Conv3DClassifier(3, attention=True, **SMALL)
    model.save(folder / "network.keras")
    return model, folder, export_saved_model(folder / "network.keras", folder / "served", ABOUT)


def test_it_loads_without_this_package_and_equals_keras(exported, tmp_path):
    model, _, version = exported
    clips = np.random.default_rng(0).integers(0, 256, (8, 4, 8, 8, 3), np.uint8)
    np.save(tmp_path / "clips.npy", clips)
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOAD, version, tmp_path / "clips.npy", tmp_path / "answers"],
        cwd=tmp_path, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = model.predict_on_batch(clips)
    for count, answer in zip(
        (1, 3, 8), json.loads((tmp_path / "answers").read_text()), strict=True
    ):
        np.testing.assert_allclose(answer["probabilities"], expected[:count], atol=1e-6)
        assert answer["classes"] == [NAMES] * count
        order = np.argsort(-expected[:count], axis=1)
        assert answer["top_classes"] == [[NAMES[i] for i in row] for row in order]
        np.testing.assert_allclose(
            answer["top_probabilities"], np.take_along_axis(expected[:count], order, 1), atol=1e-6
        )


def test_versions_count_up_and_older_ones_stay(exported):
    _, folder, version = exported
    assert version == folder / "served" / "1"
    before = (version / "saved_model.pb").read_bytes()
    assert export_saved_model(folder / "network.keras", folder / "served", ABOUT).name == "2"
    assert (version / "saved_model.pb").read_bytes() == before


def test_it_does_not_matter_where_it_is_called_from(exported, tmp_path, monkeypatch):
    _, folder, _ = exported
    monkeypatch.chdir(tmp_path)
    version = export_saved_model(folder / "network.keras", tmp_path / "served", ABOUT)
    assert (version / "saved_model.pb").is_file()


def test_a_failed_export_leaves_nothing(exported, tmp_path):
    _, folder, _ = exported
    with pytest.raises(Exception, match="network"):
        export_saved_model(folder / "missing.keras", tmp_path / "served", ABOUT)
    assert not [path for path in (tmp_path / "served").rglob("*") if path.is_file()]
