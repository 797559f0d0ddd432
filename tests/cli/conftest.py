import subprocess

import pytest

from ar3d_keras.cli import main


@pytest.fixture(scope="module", autouse=True)
def _plain_reports(plain_reports):
    pass


@pytest.fixture
def done():
    """Runs a command in this process; it must end with exit code 0."""

    def run(*arguments):
        assert main([str(argument) for argument in arguments]) == 0

    return run


@pytest.fixture
def refused(capsys):
    """Runs a command in this process; it must fail with exit code 2 and one line, which it returns."""

    def run(*arguments):
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert len(error.splitlines()) == 1
        return error

    return run


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)
