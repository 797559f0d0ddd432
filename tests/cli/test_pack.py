"""ar3d pack in real processes, and training, evaluating and checking from what it makes."""

import csv
import json
import os
import shutil
import signal
import subprocess
import time

import processes  # tests/processes.py
import pytest
from processes import TINY_FLAGS

from ar3d_keras.cli import main
from ar3d_keras.videos.packs import open_pack

# Of the demo preset at 16x16 (see processes.TINY).
SIZE = ["--resize", "18", "24"]


def files(folder):
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name != ".lock"}


def start(data, out, *flags):
    return processes.start("ar3d_keras/__main__.py", "pack", "--data", data, "--out", out, *flags)


@pytest.fixture(scope="session")
def pack(tiny_demo, make_once):
    """The tiny demo set, packed by a process of its own, without Keras."""

    def make(folder):
        running = start(tiny_demo, folder / "pack", *SIZE)
        told, errors = running.communicate(timeout=60)
        assert (running.returncode, errors) == (0, "")
        assert "36 videos, " in told and "(raw, 18x24)" in told

    return make_once("pack", make) / "pack"


def histories(runs, *names):
    timing = {"seconds", "clips_per_s", "wait_share"}
    for name in names:
        with (runs / name / "history.csv").open(newline="") as lines:
            yield [
                {k: v for k, v in row.items() if k not in timing} for row in csv.DictReader(lines)
            ]


def test_training_from_a_pack_is_training_from_the_videos(trained, pack, tmp_path, done):
    """The demo preset is found in the pack; the run before was made from the videos."""
    done("train", "--attention", "--data", pack, "--name", "packed", "--runs-dir", tmp_path,
         "--no-export", *TINY_FLAGS[2:])  # fmt: skip
    shutil.copytree(trained, tmp_path / "tiny")
    one, other = histories(tmp_path, "tiny", "packed")
    assert one == other
    record, before = (
        json.loads((tmp_path / name / "run.json").read_text()) for name in ("packed", "tiny")
    )
    assert record["data"]["fingerprint"] == before["data"]["fingerprint"]
    assert (record["data"]["pack"], before["data"]["pack"]) == ("raw, 18x24", None)
    assert record["config"]["data"]["flip"] is False
    splits = [(tmp_path / name / "split.csv").read_text() for name in ("packed", "tiny")]
    assert splits[0] == splits[1]

    # Either run can be evaluated on either.
    found = []
    for run, data in (("tiny", pack), ("packed", open_pack(pack).source), ("packed", pack)):
        done("evaluate", "--run", tmp_path / run, "--data", data)
        metrics = json.loads((tmp_path / run / "evaluation/test/metrics.json").read_text())
        found.append((metrics["loss"], metrics["top1"], metrics["videos"]))
    assert len(set(found)) == 1


def test_killed_at_any_point_and_begun_again_ends_the_same(tiny_demo, pack, tmp_path):
    out = tmp_path / "pack"
    kills = 0
    for lines in (0, 8, 25):
        running = start(tiny_demo, out, *SIZE, "--workers", 1 + kills)
        while running.poll() is None:
            journal = out / "packing.jsonl"
            if journal.is_file() and journal.read_bytes().count(b"\n") > lines:
                os.kill(running.pid, signal.SIGKILL)
                break
            time.sleep(0.001)
        running.communicate()
        kills += running.returncode == -signal.SIGKILL and not (out / "pack.json").exists()
    assert kills
    running = start(tiny_demo, out, *SIZE)
    running.communicate(timeout=60)
    assert running.returncode == 0
    assert files(out) == files(pack)


def test_two_at_once_make_one_pack(tiny_demo, pack, tmp_path):
    both = [start(tiny_demo, tmp_path / "pack", *SIZE) for _ in range(2)]
    for running in both:
        told, errors = running.communicate(timeout=60)
        assert (running.returncode, errors) == (0, "")
        assert "36 videos" in told
    assert files(tmp_path / "pack") == files(pack)


def test_the_second_says_that_it_waits(tiny_demo, pack, tmp_path):
    import fcntl

    (tmp_path / "pack").mkdir()
    with (tmp_path / "pack/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running = start(tiny_demo, tmp_path / "pack", *SIZE)
        assert str(tmp_path / "pack") in running.stdout.readline()
        assert not (tmp_path / "pack/packing.jsonl").exists()
    running.communicate(timeout=60)
    assert files(tmp_path / "pack") == files(pack)


def test_ctrl_c_leaves_a_pack_that_continues(tiny_demo, tmp_path):
    running = start(tiny_demo, tmp_path / "pack", "--resize", "600", "800", "--workers", "1")
    while not (tmp_path / "pack/shard-00000.bin").exists():
        time.sleep(0.005)
    running.send_signal(signal.SIGINT)
    told, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert told and "Traceback" not in errors


def test_a_full_disk_keeps_what_was_packed(small_disk, tiny_demo, pack, tmp_path, refused):
    out = small_disk / "pack"
    size = ["--resize", "40", "60"]
    error = refused("pack", "--data", tiny_demo, "--out", out, *size)
    assert str(out) in error and "No space left on device" in error
    assert str(out) in refused("train", "--data", out)
    # As it is, with --close ...
    assert main(["pack", "--data", str(tiny_demo), "--out", str(out), "--close"]) == 0
    assert main(["check", "--data", str(out)]) == 0
    held = open_pack(out)
    there = [packed for packed in held.videos if packed.frames]
    assert len(there) < 34
    assert len({packed.video.label for packed in there}) > 1  # not the first classes alone
    # ... or whole, with room again.
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    whole = ["pack", "--data", str(tiny_demo), "--out", str(out), *size]
    assert main(whole) == 0
    assert all(packed.frames for packed in open_pack(out).videos)
    assert main(["check", "--data", str(out)]) == 0


def test_what_cannot_be_decoded_is_named_and_counted(tiny_demo, tmp_path, capsys):
    for name in ("MoveUp", "MoveDown"):
        (tmp_path / name).mkdir()
        video = next((tiny_demo / name).iterdir())
        (tmp_path / name / video.name).symlink_to(video)
    (tmp_path / "MoveUp/broken.avi").write_bytes(b"RIFF")
    out = tmp_path / "pack"
    assert main(["pack", "--data", str(tmp_path), "--out", str(out), "--codec", "jpeg"]) == 0
    told = capsys.readouterr().out
    assert "MoveUp/broken.avi" in told
    assert "2 videos, " in told and "1 of 3 videos" in told
    assert main(["check", "--data", str(out)]) == 0
    assert "MoveUp/broken.avi" in capsys.readouterr().out


def test_damage_is_named_by_check_and_refused_by_train(pack, tmp_path, refused, done, capsys):
    copy = shutil.copytree(pack, tmp_path / "pack")
    done("check", "--data", copy)
    assert "36 videos, 3 classes" in capsys.readouterr().out
    content = bytearray((copy / "shard-00000.bin").read_bytes())
    content[len(content) // 2] ^= 64
    (copy / "shard-00000.bin").write_bytes(content)
    assert "1 of 36 videos" in refused("check", "--data", copy)
    flags = ["--runs-dir", tmp_path / "runs", *TINY_FLAGS]
    assert "1 of 36 videos" in refused("train", "--data", copy, *flags)
    error = refused("train", "--data", pack, *flags, "--resize", 20, 24)
    assert "18" in error and "--resize" in error
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--codec", "jpeg", "--quality", 0], ("--quality", "0")),
        (["--quality", 90], ("--quality", "--codec")),
        (["--stride", 0], ("--stride", "0")),
        (["--resize", 0, 5], ("--resize", "0 5")),
        (["--workers", 0], ("--workers", "0")),
        (["--close"], ("OUT",)),
        (["--data", "PACK"], ("--data", "PACK")),
        (["--data", "OUT"], ("OUT",)),
        (["--out", "DATA"], ("--out", "DATA")),
    ],
)
def test_bad_options(flags, parts, tiny_demo, pack, tmp_path, refused):
    places = {"OUT": str(tmp_path / "pack"), "PACK": str(pack), "DATA": str(tiny_demo)}
    given = [places.get(str(value), value) for value in flags]
    error = refused("pack", "--data", tiny_demo, "--out", places["OUT"], *given)
    for part in parts:
        assert places.get(part, part) in error
    assert not list(tmp_path.glob("pack/*.bin"))
