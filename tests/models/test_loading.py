"""Loading .keras files: old, damaged, foreign and newer ones."""

import functools
import io
import json
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar3d_keras import Conv3DClassifier, UserError, load_model

SIZES = {"frames": 2, "height": 4, "width": 4, "filters": 1, "pool": 2, "dense": 2}


@functools.cache
def saved():
    """The bytes of a small network's .keras file."""
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "network.keras")
        Conv3DClassifier(2, **SIZES).save(file)
        return file.read_bytes()


@functools.cache
def weights():
    return network_of(saved()).get_weights()


def network_of(content):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "network.keras")
        file.write_bytes(content)
        return load_model(file)


@pytest.fixture
def rewritten(tmp_path):
    """rewritten(change): a .keras file whose config.json went through `change`."""

    def write(change):
        (tmp_path / "saved.keras").write_bytes(saved())
        with (
            zipfile.ZipFile(tmp_path / "saved.keras") as old,
            zipfile.ZipFile(tmp_path / "changed.keras", "w") as new,
        ):
            for name in old.namelist():
                content = json.loads(old.read(name)) if name.endswith(".json") else old.read(name)
                content = change(name, content)
                if content is not None:
                    text = content if isinstance(content, bytes) else json.dumps(content)
                    new.writestr(name, text)
        return tmp_path / "changed.keras"

    return write


def in_config(**changes):
    def change(name, content):
        if name == "config.json":
            content["config"] |= changes
        return content

    return change


def test_options_of_version_0_1_are_read(rewritten):
    names = {
        "num_classes": "classes", "spatial_downsample": "shrink", "log_pooling": "log_features",
    }  # fmt: skip

    def change(name, content):
        if name == "config.json":
            content["config"] = {names.get(k, k): v for k, v in content["config"].items()}
        return content

    loaded = load_model(rewritten(change))
    for weight, expected in zip(loaded.get_weights(), weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize(
    "change",
    [
        in_config(stem="wide"),
        in_config(filters="many"),
        in_config(filters=None),
        in_config(class_names=["a", "b", "c"]),
        in_config(clip_shape={"frames": 3}),
        in_config(clip_shape={"colors": 3}),
        lambda name, content: None if name == "config.json" else content,
        lambda name, content: None if name == "metadata.json" else content,
        lambda name, content: None if name == "model.weights.h5" else content,
        lambda name, content: content[:99] if name == "model.weights.h5" else content,
        lambda name, content: [1] if name == "config.json" else content,
        lambda name, content: {} if name == "config.json" else content,
        lambda name, content: (
            content | {"registered_name": "ar3d_keras>Conv9D", "class_name": "Conv9D"}
            if name == "config.json"
            else content
        ),
    ],
)
def test_a_file_with_other_content_raises(rewritten, change, user_error):
    file = rewritten(change)
    with user_error(str(file)):
        load_model(file)


def test_a_newer_keras_is_named(rewritten, user_error):
    def change(name, content):
        if name == "metadata.json":
            return content | {"keras_version": "99.1.0"}
        return in_config(stem="wide")(name, content)

    with user_error("`stem`", "99.1.0", keras.__version__):
        load_model(rewritten(change))


def test_networks_of_others_raise(tmp_path, user_error):
    class Bare(keras.Model):
        def call(self, x):
            return x

    for layer in (keras.layers.Flatten(), keras.layers.Lambda(lambda x: x), Bare()):
        file = tmp_path / "network.keras"
        keras.Sequential([keras.Input((2,)), layer]).save(file)
        with user_error(str(file)):
            load_model(file)


@pytest.mark.parametrize("content", [None, b"", b"not an archive", b"PK\x03\x04 and more"])
def test_a_file_that_is_no_archive_raises(tmp_path, content, user_error):
    file = tmp_path / "network.keras"
    if content is not None:
        file.write_bytes(content)
    with user_error(str(file)):
        load_model(file)
    (tmp_path / "folder.keras").mkdir()
    with user_error("folder.keras"):
        load_model(tmp_path / "folder.keras")


@settings(max_examples=60)
@given(st.data())
def test_damage_is_found_or_changes_nothing(data):
    content = bytearray(saved())
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        offsets = [info.header_offset for info in archive.infolist()]
    near_a_header = st.sampled_from([*offsets, archive.start_dir]).flatmap(
        lambda start: st.integers(start, min(start + 60, len(content) - 1))
    )
    anywhere = st.integers(0, len(content) - 1)
    for place in data.draw(st.lists(near_a_header | anywhere, min_size=1, max_size=3)):
        content[place] ^= data.draw(st.integers(1, 255))
    if data.draw(st.integers(0, 4)) == 0:
        del content[data.draw(anywhere) :]
    try:
        found = network_of(bytes(content)).get_weights()
    except UserError as error:
        assert "\n" not in str(error)
    else:
        for weight, expected in zip(found, weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_other_errors_are_not_hidden(tmp_path, monkeypatch, error):
    file = tmp_path / "network.keras"
    file.write_bytes(saved())

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(keras.saving, "load_model", fail)
    with pytest.raises(error):
        load_model(file)
