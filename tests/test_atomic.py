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


def test_a_folder_replaces_none_even_one_that_came_meanwhile(tmp_path):
    folder = tmp_path / "folder"
    with pytest.raises(FileExistsError), atomic.replacing(folder) as temporary:
        temporary.mkdir()
        folder.mkdir()
        (folder / "first").touch()
    with pytest.raises(FileExistsError), atomic.replacing(folder) as temporary:
        temporary.touch()
    assert [path.name for path in folder.iterdir()] == ["first"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_keeps_a_folder_from_being_made(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for below in ("file", "file/a", "file/a/b"):
        assert atomic.in_the_way(tmp_path / below) == tmp_path / "file"
    for free in ("folder", "folder/a", "a/b"):
        assert atomic.in_the_way(tmp_path / free) is None


def test_the_suffix_survives_for_those_who_choose_a_format_by_it(tmp_path):
    with atomic.replacing(tmp_path / "a.npz") as temporary:
        np.savez(temporary, x=np.arange(3))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_json_refuses_what_json_cannot_say(tmp_path):
    with pytest.raises(ValueError):
        atomic.write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())
