"""A seeded sample of the two campaigns of mutants, and both of them whole under `pytest -m slow`."""

import subprocess
import sys
from pathlib import Path

import pytest
from faults import data_mutants, mutants
from faults.video_mutator import CONTAINERS, KINDS, write_mutants

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["check", "reader", "pack", "predict", "overlay"])
def test_every_mutated_video_is_accounted_for(tmp_path, name, monkeypatch):
    monkeypatch.setattr("ar3d_keras.experiments.check.near_duplicates", lambda *_: [])
    paths = write_mutants(tmp_path / "data", 18 if name == "check" else 6, seed=1)
    assert {Path(path).suffix[1:] for path in paths} == set(CONTAINERS)
    outcome = mutants.STAGES[name](tmp_path / "data", [*paths, "a/sound.mp4"], tmp_path / "work")
    assert set(paths) <= set(outcome)
    assert outcome["a/sound.mp4"] in ("ok", "read", "24 frames", "predicted; predicted")


def test_mutants_are_the_same_for_the_same_seed():
    assert list(mutants_of(40, 3)) == list(mutants_of(40, 3)) != list(mutants_of(40, 4))
    assert {name.split("-")[1].split(".")[0] for name, _ in mutants_of(40, 3)} == set(KINDS)


def mutants_of(count, seed):
    from faults.video_mutator import mutants as generate

    return generate(count, seed)


def test_mutated_data_files_end_in_an_error_or_a_result(trained, tiny_demo, tmp_path):
    import shutil

    data = shutil.copytree(tiny_demo, tmp_path / "data")
    targets = data_mutants.Targets(trained, data, tmp_path / "work")
    names = set(targets.all()) - {"best.keras", "segments.csv"}  # which take a second each
    assert data_mutants.campaign(targets, 3, seed=5, only=names) == []


@pytest.mark.slow
@pytest.mark.parametrize("module", ["mutants", "data_mutants"])
def test_the_whole_campaign(module):
    done = subprocess.run([sys.executable, "-m", f"tests.faults.{module}"], cwd=ROOT)
    assert done.returncode == 0
