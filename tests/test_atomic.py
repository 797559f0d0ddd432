import numpy as np
import pytest

from ar3d_keras import atomic


def test_a_write_that_fails_keeps_what_was_there(tmp_path):
    file = tmp_path / "a.txt"
    atomic.write_text(file, "before")
    with pytest.raises(RuntimeError), atomic.replacing(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_is_replaced_whole(tmp_path):
    for content in ("old", "new"):
        with atomic.replacing(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["new"]


def test_the_suffix_survives_for_those_who_choose_a_format_by_it(tmp_path):
    with atomic.replacing(tmp_path / "a.npz") as temporary:
        np.savez(temporary, x=np.arange(3))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_json_refuses_what_json_cannot_say(tmp_path):
    with pytest.raises(ValueError):
        atomic.write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())
