"""A local Ray with two workers, one of which is killed while it works: the results are the same.

Marked slow because Ray takes some ten seconds to start; .ci/run has a step for it.
"""

import os
import signal
from pathlib import Path

import pytest

from ar3d_keras.progress import Reporter
from ar3d_keras.videos import packing
from ar3d_keras.videos.dataset import open_data
from ar3d_keras.videos.pack_index import PackSettings
from ar3d_keras.videos.pack_worker import PackWorker

pytestmark = [
    pytest.mark.slow,
    # Ray opens files and sockets that it closes at its end only.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning"),
]
ray = pytest.importorskip("ray")


class Listener(Reporter):
    def __init__(self):
        super().__init__()
        self.lines = []

    def show(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module", autouse=True)
def two_cores():
    paths = [str(Path(__file__).parent), str(Path.cwd())]
    environment = {"PYTHONPATH": os.pathsep.join(paths)}
    ray.init(
        "local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error",
        runtime_env={"env_vars": environment},
    )  # fmt: skip
    yield
    ray.shutdown()


def die_once(folder, name):
    """Kills this process, but only the first that comes here."""
    try:
        os.close(os.open(folder / f"{name}.died", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


class MortalPackWorker(PackWorker):
    def __call__(self, videos):
        if "g03" in videos[0].path:
            die_once(self.root.parent, videos[0].path.replace("/", "-"))
        return super().__call__(videos)


def files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != packing.LOCK}


def test_a_pack_whose_workers_are_killed(make_ucf, tmp_path, monkeypatch):
    from ar3d_keras.distributed import ray_workers

    catalog = open_data(make_ucf(tmp_path / "data", groups=4))
    settings, options = PackSettings("raw", 40, 56), {"shard_bytes": 400_000}
    whole = packing.make_pack(
        catalog, tmp_path / "one", settings, workers=2, reporter=Reporter(), **options
    )
    monkeypatch.setattr(packing, "PackWorker", MortalPackWorker)
    monkeypatch.setattr(ray_workers, "PART", 50_000)
    listener = Listener()
    pack = packing.make_pack(
        catalog, tmp_path / "two", settings, workers=2, reporter=listener, on="ray", **options
    )
    assert len(list(tmp_path.glob("*.died"))) == 2
    assert sum("died" in line for line in listener.lines) == 2
    assert files(pack.root) == files(whole.root)
