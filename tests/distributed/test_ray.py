"""A local Ray with two workers, one of which is killed while it works: the results are the same.

Marked slow because Ray takes some ten seconds to start; .ci/run has a step for it.
"""

import csv
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from processes import TINY

import ar3d_keras
from ar3d_keras.experiments import crossval
from ar3d_keras.experiments.tuning import ray_search
from ar3d_keras.inference import predictor
from ar3d_keras.inference.classifier_worker import ClassifierWorker
from ar3d_keras.progress import Reporter
from ar3d_keras.videos import packing, scan
from ar3d_keras.videos.dataset import open_data
from ar3d_keras.videos.file_scanner import FileScanner
from ar3d_keras.videos.pack_index import PackSettings
from ar3d_keras.videos.pack_worker import PackWorker

pytestmark = [
    pytest.mark.slow,
    # Ray opens files and sockets that it closes at its end only.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner"),  # of keras-tuner
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
    paths = [str(Path.cwd()), *filter(None, sys.path)]  # with this file and conftest.py
    environment = {"PYTHONPATH": os.pathsep.join(paths), "TF_CPP_MIN_LOG_LEVEL": "3"}
    # Ray starts workers with a niceness of 15: on a busy machine they would hardly run.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
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


class MortalScanner(FileScanner):
    def __call__(self, request):
        if "g02" in request.path:
            die_once(self.root.parent, "scanner")
        return super().__call__(request)


def test_a_data_report_whose_worker_is_killed(make_ucf, tmp_path, monkeypatch):
    data = make_ucf(tmp_path / "data", groups=3)
    (data / "Archery/broken.avi").write_bytes(b"RIFF")
    reports = []
    for on in (None, "ray"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache-{on}"))
        monkeypatch.setattr(scan, "FileScanner", MortalScanner if on else FileScanner)
        with pytest.raises(ar3d_keras.UserError):
            ar3d_keras.check(
                data, html=tmp_path / str(on), workers=2, on=on, reporter=(told := Listener())
            )
        reports.append((tmp_path / str(on) / "videos.csv").read_text())
    assert (tmp_path / "scanner.died").exists() and any("died" in line for line in told.lines)
    assert reports[0] == reports[1] and "broken.avi" in reports[0]


class MortalClassifier(ClassifierWorker):
    def __call__(self, videos):
        die_once(Path(tempfile.gettempdir()), "classifier")
        return super().__call__(videos)


@pytest.mark.parametrize("windows", [{}, {"window_seconds": 0.4}])
def test_predictions_whose_worker_is_killed(trained, tiny_demo, tmp_path, monkeypatch, windows):
    died = Path(tempfile.gettempdir()) / "classifier.died"
    died.unlink(missing_ok=True)
    paths = [tiny_demo / "Grow", tiny_demo / "MoveUp"]
    given = {"run": trained, **windows}
    here = ar3d_keras.predict(paths, **given)
    monkeypatch.setattr(predictor, "CHUNK", 5)
    monkeypatch.setattr(predictor, "ClassifierWorker", MortalClassifier)
    there = ar3d_keras.predict(paths, **given, on="ray", workers=2, reporter=(told := Listener()))
    assert sum("died" in line for line in told.lines) == 1
    died.unlink()
    assert [p.path for p in there] == [p.path for p in here]
    for one, other in zip(here, there, strict=True):
        assert np.array_equal(one.probabilities, other.probabilities)
        assert bool(one.segments) == bool(windows)
        for here_part, there_part in zip(one.segments, other.segments, strict=True):
            assert (here_part.start, here_part.end) == (there_part.start, there_part.end)
            assert np.array_equal(here_part.probabilities, there_part.probabilities)
    # What a journal holds is not predicted again.
    monkeypatch.setattr(predictor, "ClassifierWorker", ClassifierWorker)
    journal = tmp_path / "journal.jsonl"
    ar3d_keras.predict(paths[:1], **given, journal=journal)
    kept = journal.read_text()
    ar3d_keras.predict(paths, **given, journal=journal, on="ray", workers=2)
    lines = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    assert journal.read_text().startswith(kept) and len(lines) == len(here)


def history(run):
    timing = {"seconds", "clips_per_s", "wait_share"}
    with (run / "history.csv").open(newline="") as lines:
        return [{k: v for k, v in row.items() if k not in timing} for row in csv.DictReader(lines)]


class MortalFolds(crossval.FoldWorker):
    def __call__(self, fold):
        if fold[0] == "fold-2":
            die_once(self._how["folder"], "fold")
        super().__call__(fold)


def test_folds_whose_worker_is_killed(tiny_demo, tmp_path, monkeypatch):
    given = {"data": tiny_demo, "attention": True, "folds": 3, **TINY, "epochs": 1}
    one = ar3d_keras.crossval(**given, name="one", runs_dir=tmp_path, reporter=Reporter())
    monkeypatch.setattr(crossval, "FoldWorker", MortalFolds)
    (tmp_path / "two").mkdir()
    two = ar3d_keras.crossval(
        **given, name="two", runs_dir=tmp_path, on="ray", workers=2, reporter=Reporter()
    )
    assert (tmp_path / "two/fold.died").exists()
    for fold in ("fold-1", "fold-2", "fold-3"):
        assert history(tmp_path / "one" / fold) == history(tmp_path / "two" / fold)
    assert one["top1"] == two["top1"] and one["loss"] == two["loss"]


class MortalTrials(ray_search.TrialWorker):
    def __call__(self, state):
        if state["trial_id"].endswith("1"):
            die_once(self._plan.folder, "trial")
        return super().__call__(state)


def test_trials_whose_worker_is_killed(tiny_demo, tmp_path, monkeypatch):
    given = {"data": tiny_demo, "attention": True, **TINY, "epochs": 1}
    how = {"trials": 3, "tuner": "random", "runs_dir": tmp_path, "reporter": Reporter()}
    one = ar3d_keras.tune(**given, **how, name="one")
    monkeypatch.setattr(ray_search, "TrialWorker", MortalTrials)
    two = ar3d_keras.tune(**given, **how, name="two", on="ray", workers=2)
    assert (tmp_path / "two/trial.died").exists()
    trials = sorted(folder.name for folder in (tmp_path / "one").glob("trial_*"))
    assert len(trials) == 3
    for trial in trials:
        assert history(tmp_path / "one" / trial) == history(tmp_path / "two" / trial)
    assert (one.trial, one.top1, one.loss) == (two.trial, two.top1, two.loss)
