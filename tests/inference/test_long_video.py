"""A video of two hours takes the memory of one of a minute."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ar3d_keras.videos.reader import load_cv2

ROOT = Path(__file__).parents[2]
RATE = 25


@pytest.fixture(scope="module")
def write_hours(tmp_path_factory):
    """write_hours(seconds): 160x120 pictures with a block that moves."""
    cv2 = load_cv2()
    folder = tmp_path_factory.mktemp("long")
    pictures = []
    for number in range(100):
        picture = np.full((120, 160, 3), 60, np.uint8)
        picture[30:70, number : number + 40] = 200
        pictures.append(picture)

    def write(seconds):
        file = folder / f"{seconds}.mp4"
        codec = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, codec, RATE, (160, 120))
        for number in range(seconds * RATE):
            writer.write(pictures[number % 100])
        writer.release()
        return file

    return write


def peak(*arguments, folder):
    """Runs `ar3d predict`: its document, its seconds, and the peak of its own memory in MB."""
    with (folder / "document.json").open("w+") as document:
        begun, most = time.perf_counter(), 0
        process = subprocess.Popen(
            [sys.executable, "-m", "ar3d_keras", "predict", *map(str, arguments)],
            cwd=ROOT,
            stdout=document,
        )
        while process.poll() is None:
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    most = max(most, int(line.split()[1]))
            time.sleep(0.02)
        assert process.returncode == 0
        document.seek(0)
        return json.load(document), time.perf_counter() - begun, most / 1024


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video(run, write_hours, tmp_path, capsys):
    peaks = {}
    for seconds in (60, 7200):
        file = write_hours(seconds)
        command = file, "--run", run.folder, "--window-seconds", 10, "--json"
        document, took, peaks[seconds] = peak(*command, folder=tmp_path)
        [video] = document["videos"]
        assert len(video["windows"]) == seconds // 10
        assert video["windows"][-1]["end"] == pytest.approx(seconds)
        with capsys.disabled():
            print(f"\n{seconds} s of video: peak {peaks[seconds]:.0f} MB, {took:.0f} s")
    assert peaks[7200] < peaks[60] + 50
