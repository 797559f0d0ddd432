"""ar3d pack in real processes, and training, evaluating and checking from what it makes."""

import csv
import json
import os
import signal
import subprocess
import time

import processes  # tests/cli/processes.py
import pytest
from processes import TINY

from ar3d_keras.cli import main
from ar3d_keras.videos.packs import open_pack

# Of the demo preset at 16x16 (see TINY).
SIZE = ["--resize", "18", "24"]


def files(folder):
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name != ".lock"}


def start(data, out, *flags):
    return processes.start("ar3d_keras/__main__.py", "pack", "--data", data, "--out", out, *flags)


@pytest.fixture(scope="session")
def pack(tiny_demo, tmp_path_factory):
    """The tiny demo set, packed by a process of its own."""
    out = tmp_path_factory.mktemp("packs") / "pack"
    running = start(tiny_demo, out, *SIZE)
    told, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (0, "")
    assert "96 videos, " in told and "videos/s" in told and "(raw, 18x24)" in told
    return out


def histories(runs, *names):
    timing = {"seconds", "clips_per_s", "wait_share"}
    for name in names:
        with (runs / name / "history.csv").open(newline="") as lines:
            yield [
                {k: v for k, v in row.items() if k not in timing} for row in csv.DictReader(lines)
            ]


def test_training_from_a_pack_is_training_from_the_videos(trained, pack, tmp_path, capsys):
    """The demo preset is found in the pack; the run before was made from the videos."""
    flags = [flag for flag in TINY if flag not in ("--preset", "demo")]
    code = main([
        "train", "--attention", "--data", str(pack), "--name", "packed", "--runs-dir",
        str(tmp_path), *flags,
    ])  # fmt: skip
    assert code == 0
    (tmp_path / "tiny").symlink_to(trained)
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
    assert "a pack: raw, 18x24" in (tmp_path / "packed/evaluation/val/metrics.json").read_text()

    # Either run can be judged on either.
    figures = []
    for run, data in (("tiny", pack), ("packed", open_pack(pack).source), ("packed", pack)):
        assert main(["evaluate", "--run", str(tmp_path / run), "--data", str(data)]) == 0
        metrics = json.loads((tmp_path / run / "evaluation/test/metrics.json").read_text())
        figures.append((metrics["loss"], metrics["top1"], metrics["videos"]))
    assert len(set(figures)) == 1


def test_killed_at_any_point_and_begun_again_ends_the_same(tiny_demo, pack, tmp_path):
    out = tmp_path / "pack"
    kills = 0
    for lines in (0, 5, 20, 40, 70):
        running = start(tiny_demo, out, *SIZE, "--workers", 1 + kills)
        while running.poll() is None:
            journal = out / "packing.jsonl"
            if journal.is_file() and journal.read_bytes().count(b"\n") > lines:
                os.kill(running.pid, signal.SIGKILL)
                break
            time.sleep(0.001)
        running.communicate()
        kills += running.returncode == -signal.SIGKILL and not (out / "pack.json").exists()
    assert kills >= 2
    running = start(tiny_demo, out, *SIZE)
    told, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    assert "continuing after" in told
    assert files(out) == files(pack)


def test_two_at_once_make_one_pack(tiny_demo, pack, tmp_path):
    both = [start(tiny_demo, tmp_path / "pack", *SIZE) for _ in range(2)]
    for running in both:
        told, errors = running.communicate(timeout=60)
        assert (running.returncode, errors) == (0, "")
        assert "96 videos" in told
    assert files(tmp_path / "pack") == files(pack)


def test_the_second_says_that_it_waits(tiny_demo, pack, tmp_path):
    import fcntl

    (tmp_path / "pack").mkdir()
    with (tmp_path / "pack/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running = start(tiny_demo, tmp_path / "pack", *SIZE)
        assert "another process is packing into" in running.stdout.readline()
        assert not (tmp_path / "pack/packing.jsonl").exists()
    running.communicate(timeout=60)
    assert files(tmp_path / "pack") == files(pack)


def test_ctrl_c_says_how_to_go_on(tiny_demo, tmp_path):
    running = start(tiny_demo, tmp_path / "pack", "--resize", "600", "800", "--workers", "1")
    while not (tmp_path / "pack/shard-00000.bin").exists():
        time.sleep(0.005)
    running.send_signal(signal.SIGINT)
    told, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "the same command goes on from here" in told
    assert "Traceback" not in errors


def test_a_full_disk_keeps_what_was_packed(small_disk, tiny_demo, pack, tmp_path, refused):
    out = small_disk / "pack"
    size = ["--resize", "40", "60"]
    told = refused("pack", "--data", tiny_demo, "--out", out, *size)
    assert str(out) in told and "No space left on device" in told
    assert "videos, which are kept: make room and give the same command again" in told
    assert "not finished" in refused("train", "--data", out)
    # As it is, with --close ...
    assert main(["pack", "--data", str(tiny_demo), "--out", str(out), "--close"]) == 0
    assert main(["check", "--data", str(out)]) == 0
    held = open_pack(out)
    there = [packed for packed in held.videos if packed.frames]
    assert 3 < len(there) < 90
    assert len({packed.video.label for packed in there}) > 2  # not the first classes alone
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
    assert "'MoveUp/broken.avi': not a video" in told
    assert "2 videos, " in told and "1 of 3 videos cannot be decoded" in told
    assert main(["check", "--data", str(out)]) == 0
    assert "'MoveUp/broken.avi': not a video" in capsys.readouterr().out


def test_damage_is_named_by_check_and_refused_by_train(pack, tmp_path, refused, capsys):
    import shutil

    copy = shutil.copytree(pack, tmp_path / "pack")
    assert main(["check", "--data", str(copy)]) == 0
    assert "96 videos, 8 classes" in capsys.readouterr().out
    content = bytearray((copy / "shard-00000.bin").read_bytes())
    content[len(content) // 2] ^= 64
    (copy / "shard-00000.bin").write_bytes(content)
    assert main(["check", "--data", str(copy)]) == 2
    captured = capsys.readouterr()
    assert "in shard-00000.bin is damaged (its checksum is wrong)" in captured.out
    assert "1 of 96 videos in the pack" in captured.err
    flags = ["--runs-dir", tmp_path / "runs", *TINY]
    assert "1 of 96 videos in the pack" in refused("train", "--data", copy, *flags)
    assert "holds frames of 18x24" in refused("train", "--data", pack, *flags, "--resize", 20, 24)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--quality", 0], "--quality 0 must be 1 to 100"),
        (["--stride", 0], "--stride 0 must be at least 1"),
        (["--resize", 0, 5], "--resize 0 5 must be"),
        (["--workers", 0], "--workers 0 must be at least 1"),
        (["--close"], "no unfinished pack"),
    ],
)
def test_bad_options(flags, told, tiny_demo, tmp_path, refused):
    assert told in refused("pack", "--data", tiny_demo, "--out", tmp_path / "pack", *flags)


def test_data_and_out_are_not_mixed_up(tiny_demo, pack, tmp_path, refused):
    assert "is a pack" in refused("pack", "--data", pack, "--out", tmp_path)
    assert "is the folder of the videos" in refused("pack", "--data", tiny_demo, "--out", tiny_demo)
    assert "no data at" in refused("pack", "--data", tmp_path / "x", "--out", tmp_path / "y")
    assert not (tmp_path / "y").exists()
