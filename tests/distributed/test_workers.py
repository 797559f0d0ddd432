"""Workers as threads, and what is refused before any work; Ray itself is in test_ray.py."""

import contextlib
import socket
import sys
import tempfile
import time

import pytest

from ar3d_keras.cli import main
from ar3d_keras.distributed.workers import Threads, WithFile, check_on


@contextlib.contextmanager
def squares():
    def square(number):
        time.sleep(0.002 * (7 - number))  # the last ones are done first
        if number == 3:
            raise ValueError(number)
        return number**2

    yield square


def test_results_come_in_the_order_of_the_items_with_their_errors():
    taken = []
    with Threads(squares, 3) as workers:
        for item, future in workers.map(taken.append(i) or i for i in range(7)):
            assert len(taken) <= item + 1 + 2 * workers.size
            if item == 3:
                with pytest.raises(ValueError):
                    future.result()
            else:
                assert future.result() == item**2
    assert taken == list(range(7))


def test_files_that_nobody_wants_any_more_are_closed():
    files = {}

    def make(number):
        files[number] = tempfile.TemporaryFile()  # noqa: SIM115
        return WithFile(number, files[number])

    @contextlib.contextmanager
    def worker():
        yield make

    with Threads(worker, 2) as workers, contextlib.closing(workers.map(range(4))) as results:
        next(results)
    # A piece whose turn did not come has no file.
    assert {number for number, file in files.items() if not file.closed} == {0}
    files[0].close()


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize("on", ["spark", "ray:/x", "ray://", "ray://h:port", "ray://h/path"])
def test_a_place_that_is_none(on, user_error):
    with user_error("`on`", on):
        check_on(on)


def test_an_address_where_nothing_listens(ucf_set, tmp_path, capsys):
    begun = time.monotonic()
    address = f"ray://127.0.0.1:{closed_port()}"
    assert (
        main(["pack", "--data", str(ucf_set), "--out", str(tmp_path / "p"), "--on", address]) == 2
    )
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and "--on" in error and address in error
    assert time.monotonic() - begun < 20 and not (tmp_path / "p").exists()


def test_a_missing_extra(monkeypatch, user_error):
    monkeypatch.setitem(sys.modules, "ray", None)
    with user_error("`on`", "ar3d-keras[ray]"):
        check_on("ray")
