"""ar3d predict with a trained run: real processes, real streams."""

import csv
import errno
import io
import json
import os
import re
import shutil
import signal
import sys

import numpy as np
import pytest
from processes import ROOT, python, start  # tests/processes.py

from ar3d_keras.cli import main
from ar3d_keras.errors import UserError
from ar3d_keras.videos.reader import count_frames, load_cv2


def test_json_is_all_of_stdout_and_equals_evaluation(trained, tiny_demo, tmp_path, capsysbinary):
    (tmp_path / "broken.avi").write_bytes(b"RIFF")
    videos = [str(tiny_demo), str(tmp_path / "broken.avi")]
    assert main(["predict", *videos, "--run", str(trained), "--json"]) == 0
    out, err = (stream.decode() for stream in capsysbinary.readouterr())
    document = json.loads(out)
    [failure] = document["failures"]
    assert failure["path"] == str(tmp_path / "broken.avi")
    assert failure["path"] in err and failure["reason"] in err
    predicted = {video["path"]: video for video in document["videos"]}
    assert len(predicted) == 36
    metrics = json.loads((trained / "evaluation/test/metrics.json").read_text())
    assert document["protocol"] == metrics["protocol"]
    with (trained / "evaluation/test/predictions.csv").open(newline="") as lines:
        evaluated = list(csv.DictReader(lines))
    assert len(evaluated) == 15
    for row in evaluated:
        top = predicted[str(tiny_demo / row["path"])]["top"]
        for rank, entry in enumerate(top, start=1):
            assert entry["class"] == row[f"top{rank}"]
            assert f"{entry['probability']:.6f}" == row[f"top{rank}_probability"]


def test_what_people_see(trained, tiny_demo, capsys):
    video = tiny_demo / "Grow/v_Grow_g01_c01.avi"
    assert main(["predict", str(video), "--run", str(trained)]) == 0
    out, err = capsys.readouterr()
    name, *lines = out.splitlines()
    assert name == str(video)
    assert len(lines) == 3
    shares = [float(line.split("%")[0]) for line in lines]
    assert shares == sorted(shares, reverse=True)
    [line] = err.splitlines()
    assert str(trained) in line and "3 classes" in line
    windows = ["--window-seconds", "0.5", "--clips", "2", "--crops", "3"]
    assert main(["predict", str(video), "--run", str(trained), *windows]) == 0
    assert "\n  0:00:00 - 0:00:" in capsys.readouterr().out


def test_csv_of_windows(trained, tiny_demo, capsysbinary):
    video = tiny_demo / "Grow/v_Grow_g01_c01.avi"
    flags = ["--csv", "--window-seconds", "0.5", "--hop-seconds", "0.25", "--batch-size", "3"]
    assert main(["predict", str(video), "--run", str(trained), *flags]) == 0
    rows = list(csv.DictReader(io.StringIO(capsysbinary.readouterr().out.decode())))
    starts = sorted({float(row["start"]) for row in rows})
    assert starts == [0.25 * number for number in range(len(starts))]
    assert [row["rank"] for row in rows] == list("123") * len(starts)


def test_a_name_that_is_no_utf_8(trained, tiny_demo, tmp_path, capsysbinary):
    name = os.fsdecode(b"caf\xe9.avi")
    shutil.copy(tiny_demo / "Grow/v_Grow_g01_c01.avi", tmp_path / name)
    for flag, shown in (
        ("--csv", b"caf\xe9.avi,,,1,"),
        ("--json", b'caf\\udce9.avi", '),
        (None, b"caf\\udce9.avi\n"),
    ):
        assert main(["predict", str(tmp_path), "--run", str(trained), *filter(None, [flag])]) == 0
        assert shown in capsysbinary.readouterr().out


def test_nothing_can_be_decoded(trained, tmp_path, capsys):
    (tmp_path / "broken.avi").write_bytes(b"RIFF")
    assert main(["predict", str(tmp_path), "--run", str(trained), "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "broken.avi" in err.splitlines()[-1]


def test_an_overlay_of_each_video_of_a_folder(trained, tiny_demo, tmp_path, capsys):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(tiny_demo / "Grow/v_Grow_g01_c01.avi", tmp_path / folder / "clip.avi")
    out = tmp_path / "drawn"
    assert main(["predict", *map(str, (tmp_path / "a", tmp_path / "b")), "--run", str(trained),
                 "--overlay", str(out)]) == 0  # fmt: skip
    assert sorted(file.name for file in out.iterdir()) == ["clip-2.mp4", "clip.mp4"]
    assert count_frames(out / "clip.mp4") == count_frames(tmp_path / "a/clip.avi")
    assert f" -> {out}/clip.mp4" in capsys.readouterr().err


def test_segments_with_windows_and_an_overlay_each(trained, tiny_demo, tmp_path, capsysbinary):
    shutil.copy(tiny_demo / "Grow/v_Grow_g01_c01.avi", tmp_path / "clip.avi")
    keys = [f"{tmp_path}/clip.avi#t=0,0.4", f"{tmp_path}/clip.avi#t=0.4,0.8&roi=0,0,0.5,1"]
    flags = ["--window-seconds", "0.2", "--overlay", str(tmp_path / "drawn"), "--csv"]
    assert main(["predict", *keys, "--run", str(trained), *flags]) == 0
    rows = list(csv.DictReader(io.StringIO(capsysbinary.readouterr().out.decode())))
    found = [(row["path"], float(row["start"])) for row in rows if row["rank"] == "1"]
    assert found == [(keys[0], 0.0), (keys[0], 0.2), (keys[1], 0.4), (keys[1], 0.6)]
    for name in ("clip-0.mp4", "clip-0.4.mp4"):
        assert count_frames(tmp_path / "drawn" / name) == 10


def test_an_overlay_that_cannot_be_written_does_not_end_the_folder(
    trained, tiny_demo, tmp_path, monkeypatch, capsys
):
    from ar3d_keras.reports import overlay_files

    (tmp_path / "set").mkdir()
    for name in ("a", "b", "c"):
        shutil.copy(tiny_demo / "Grow/v_Grow_g01_c01.avi", tmp_path / "set" / f"{name}.avi")
    write = overlay_files.write_overlay

    def failing(classifier, prediction, video, file, **options):
        if file.stem == failing.name or failing.name == "all":
            raise failing.error
        write(classifier, prediction, video, file, **options)

    monkeypatch.setattr(overlay_files, "write_overlay", failing)
    arguments = ["predict", str(tmp_path / "set"), "--run", str(trained), "--overlay"]
    for failing.error in (UserError("refused"), OSError(36, "File name too long")):
        failing.name = "b"
        out = tmp_path / type(failing.error).__name__
        assert main([*arguments, str(out)]) == 0
        printed = capsys.readouterr()
        assert "c.avi" in printed.out and "b.avi" in printed.err
        assert sorted(file.name for file in out.iterdir()) == ["a.mp4", "c.mp4"]
    failing.name = "all"
    assert main([*arguments, str(tmp_path / "none")]) == 2


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp949", "utf-8"])
def test_terminals_of_other_encodings(encoding, trained, tiny_demo, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    monkeypatch.setattr(sys, "stdout", out)
    video = tiny_demo / "Grow/v_Grow_g01_c01.avi"
    assert main(["predict", str(video), "--run", str(trained)]) == 0
    lines = out.buffer.getvalue().decode(encoding).splitlines()
    assert len(lines) == 4
    assert ("█" if encoding == "utf-8" else "#") in lines[1]


def test_a_video_that_is_damaged_outside_its_clip_has_a_prediction_but_no_overlay(
    trained, write_frames, tmp_path, capsys
):
    folder = write_frames(tmp_path / "set/frames", frames=200)
    arguments = ["predict", str(folder), "--run", str(trained)]
    assert main(arguments) == 0  # its frames are counted, and remembered while it does not change
    sorted(folder.iterdir())[0].write_bytes(b"no picture")
    assert main([*arguments, "--overlay", str(tmp_path / "out.mp4")]) == 0
    assert "no overlay of" in capsys.readouterr().err
    assert not (tmp_path / "out.mp4").exists()


def test_an_overlay_for_which_there_is_no_room(trained, small_disk, tmp_path, capsys):
    cv2 = load_cv2()
    noise = np.random.default_rng(0).integers(0, 256, (20, 480, 640, 3), np.uint8)
    writer = cv2.VideoWriter(
        str(tmp_path / "noise.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"XVID"), 25, (640, 480)
    )
    for frame in noise:
        writer.write(frame)
    writer.release()
    target = small_disk / "out.mp4"
    target.write_bytes(b"before")
    arguments = ["predict", str(tmp_path / "noise.avi"), "--run", str(trained)]
    assert main([*arguments, "--overlay", str(target)]) == 2
    assert str(target) in capsys.readouterr().err.splitlines()[-1]
    assert target.read_bytes() == b"before"
    assert [file.name for file in small_disk.iterdir()] == ["out.mp4"]


BAD = [
    (["video.mp4", "--camera", "0"], "--camera"),
    (["video.mp4", "--json", "--csv"], "--csv"),
    (["video.mp4", "--run", "x", "--saved-model", "y"], "--saved-model"),
    (["--camera", "0", "--json"], "--json"),
    (["--camera", "0", "--overlay", "x.mp4"], "--overlay"),
    (["video.mp4", "--clips", "0"], "--clips"),
    (["video.mp4", "--batch-size", "0"], "--batch-size"),
    (["video.mp4", "--workers", "0"], "--workers"),
    (["video.mp4", "--window-seconds", "0"], "--window-seconds"),
    (["video.mp4", "--window-seconds", "nan"], "--window-seconds"),
    (["video.mp4", "--window-seconds", "inf"], "--window-seconds"),
    (["video.mp4", "--window-seconds", "1e308"], "--window-seconds"),
    (["video.mp4", "--window-seconds", "1", "--hop-seconds", "-1"], "--hop-seconds"),
    (["video.mp4", "--hop-seconds", "1"], "--hop-seconds"),
    (["video.mp4", "--smooth-seconds", "1"], "--smooth-seconds"),
    (["video.mp4", "--window-seconds", "1", "--min-seconds", "-1"], "--min-seconds"),
    (["video.mp4", "--window-seconds", "1", "--high-threshold", "2"], "--high-threshold"),
    (["video.mp4", "--window-seconds", "1", "--low-threshold", "0.5"], "--low-threshold"),
    (["video.mp4", "--overlay", "x.mkv"], "x.mkv"),
    (["video.mp4", "more.mp4", "--overlay", "x.mp4"], "--overlay x.mp4"),
    (["video.mp4", "--overlay", "video.mp4"], "--overlay video.mp4"),
    (["video.mp4", "more.mp4", "--overlay", "."], "--overlay video.mp4"),
    (["video.mp4", "--overlay", "more.mp4/out.mp4"], "--overlay more.mp4/out.mp4"),
    (["gone.mp4"], "gone.mp4"),
    (["."], "runs"),
    (["video.mp4", "--run", "gone"], "gone"),
    (["video.mp4", "--saved-model", "gone"], "gone"),
    (["--camera", "99"], "--camera 99"),
    (["--camera", "webcam"], "--camera webcam"),
    (["--camera", "4294967296"], "--camera 4294967296"),
    (["--camera", "http://user:s@cret@127.0.0.1:9/"], "--camera http://127.0.0.1:9/"),
    ([], "--camera"),
]


@pytest.mark.parametrize(("arguments", "part"), BAD, ids=lambda value: str(value)[:40])
def test_bad_options_are_errors_before_keras_starts(
    arguments, part, tmp_path, monkeypatch, refused
):
    for name in ("video.mp4", "more.mp4"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "ar3d_keras.cli.predict.start_backend", lambda: pytest.fail("Keras was loaded")
    )
    assert part in refused("predict", *arguments)


def test_errors_of_options_need_no_keras(tmp_path):
    (tmp_path / "video.mp4").touch()
    code = (
        "import sys; from ar3d_keras.cli import main\n"
        f"for arguments in {[arguments for arguments, _ in BAD]!r}:\n"
        "    assert main(['predict', *arguments]) == 2, arguments\n"
        "    assert not {'keras', 'tensorflow', 'matplotlib'} & set(sys.modules), arguments"
    )
    done = python("-c", code, cwd=tmp_path, environment={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr


def test_a_run_without_weights(trained, tmp_path, tiny_demo, refused):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "checkpoints/best.keras").unlink()
    assert str(run) in refused("predict", tiny_demo / "Grow", "--run", run)


def test_ctrl_c_ends_a_camera(trained, stream):
    process = start(
        "ar3d_keras/__main__.py", "predict", "--camera", stream(), "--run", trained,
        "--window-seconds", "0.4",
    )  # fmt: skip
    try:
        # 14:02:33   29.0%  █████▊  CircleClockwise
        assert re.match(r"\d\d:\d\d:\d\d +\d+\.\d%", process.stdout.readline())
        assert "frames/s" in process.stdout.readline()
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err


class Unbuffered(io.RawIOBase):
    """Standard output of `python -u`: a write may take a part, and does not say that it did."""

    def __init__(self, room):
        self.room, self.content = room, b""

    def writable(self):
        return True

    def write(self, data):
        taken = bytes(data)[: min(100, self.room - len(self.content))]
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.content += taken
        return len(taken)


@pytest.mark.parametrize("room", [600, 10**6])
def test_a_full_disk_is_no_success(room, trained, tiny_demo, monkeypatch, capsys):
    out = Unbuffered(room)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out))
    code = main(["predict", str(tiny_demo / "Grow"), "--run", str(trained), "--json"])
    monkeypatch.undo()
    if room == 600:
        assert code == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    else:
        assert code == 0
        assert len(json.loads(out.content)["videos"]) == 12


def test_a_video_that_is_cut_off_says_so(trained, write_video, tmp_path, capsys):
    whole = write_video(tmp_path / "whole.avi", frames=60).read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    assert main(["predict", str(tmp_path / "cut.avi"), "--run", str(trained)]) == 0
    assert "60" in capsys.readouterr().err.splitlines()[-1]
    assert main(["predict", "", "--run", str(trained)]) == 2
