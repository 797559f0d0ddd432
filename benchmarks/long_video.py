"""What does it take to train on, predict and score one recording of an hour with 500 segments?

python -m benchmarks.long_video [--minutes 60] [--segments 500] [--keep FOLDER]

Writes a file of 96x72 at 15 frames a second (H.264, a key frame at most every 250 frames) in which a
disc stands still and, in labeled segments, does one of four actions of the demo set. Then it runs
the commands that a user runs, each as a process of its own with an empty cache: the first one that
needs the frame times decodes the file for them. The groups are blocks of time, because there is
one recording only. Seconds are of the whole process, by the clock and of the CPU (all threads); peak is
its resident memory (ru_maxrss), which includes the pages of files that it reads.
"""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from ar3d_keras.videos.demo import draw_video
from ar3d_keras.videos.reader import load_cv2
from benchmarks import bench

RATE, WIDTH, HEIGHT = 15, 96, 72
ACTIONS = ("Grow", "MoveLeft", "MoveRight", "Shrink")
NETWORK = (
    "--preset small-data --model compact3d --frames 16 --fps 7.5 --height 48 --width 64 --resize 54 72 --no-flip "
    "--epochs 3 --test-clips 1"
).split()
WINDOWS = ["--window-seconds", "2.4", "--hop-seconds", "0.6"]
# The frames of a clip in the last minute, three times with the index in the cache, and from the front.
READ = """
import json, sys, time
import numpy as np
from ar3d_keras.videos import keyframes
from ar3d_keras.videos.reader import frame_index, read_frames
path, fps = sys.argv[1], float(sys.argv[2])
begun = time.perf_counter()
index = frame_index(path)
indexed = time.perf_counter() - begun
moments = index.end - 30 + np.arange(16) / fps
numbers = np.searchsorted(index.times, moments + 5e-4) - 1
times = []
for _ in range(3):
    begun = time.perf_counter()
    clip = read_frames(path, numbers, (54, 72))
    times.append(time.perf_counter() - begun)
keyframes._known.clear()
begun = time.perf_counter()
front = read_frames(path, numbers, (54, 72))
print(json.dumps([indexed, sorted(times)[1], time.perf_counter() - begun, bool((clip == front).all())]))
"""


# The peak of a child begins with the memory of the process that starts it, and this process holds
# Keras. The launcher is therefore a small process. It prints seconds, those of CPU, and MB.
LAUNCHER = """
import json, os, subprocess, sys, time
begun = time.perf_counter()
child = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(child.pid, 0)
cpu = usage.ru_utime + usage.ru_stime
print(json.dumps([time.perf_counter() - begun, cpu, usage.ru_maxrss / 1024]), file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def write_recording(folder: Path, minutes: float, segments: int, seed: int = 0) -> None:
    """Writes hour.mp4 and labels.csv (path,label,start,end)."""
    import av

    cv2, draw = load_cv2(), np.random.default_rng(seed)
    slot = int(minutes * 60 * RATE / segments)
    rows = []
    with av.open(str(folder / "hour.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(segments):
            label = ACTIONS[draw.integers(len(ACTIONS))]
            frames = draw_video(label, 1, number + 1, seed=seed)
            start = int(draw.integers(0, slot - len(frames)))
            rows.append((label, number * slot + start, number * slot + start + len(frames)))
            for place in np.clip(np.arange(slot) - start, 0, len(frames) - 1):
                picture = cv2.resize(frames[place], (WIDTH, HEIGHT)).astype(np.int16)
                picture += draw.integers(-4, 5, picture.shape, np.int16)
                picture = picture.clip(0, 255).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    with (folder / "labels.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["path", "label", "start", "end"])
        for label, first, last in rows:
            writer.writerow(["hour.mp4", label, f"{first / RATE:.3f}", f"{last / RATE:.3f}"])


def run(arguments: list[str], folder: Path) -> tuple[float, float, float, str]:
    """Seconds, those of CPU, peak resident memory in MB, and the output of a Python process."""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, sys.executable, *arguments],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}\n{done.stdout}{done.stderr}")
    return *json.loads(done.stderr.splitlines()[-1]), done.stdout


def steps(folder: Path, blocks: int) -> dict[str, list[str]]:
    """The commands, in order."""
    labels, runs = str(folder / "labels.csv"), ["--runs-dir", str(folder / "runs")]
    data = ["--data", labels, "--group-by", f"block:{blocks}", "--background", "none"]
    verb = ["-m", "ar3d_keras"]
    return {
        "train": ["train.py", "--attention", *data, *NETWORK, *runs, "--name", "hour"],
        "evaluate": ["evaluate.py", "--run", "hour", *runs],
        "events": ["evaluate.py", "--run", "hour", *runs, "--events", *WINDOWS],
        "predict": [*verb, "predict", str(folder / "hour.mp4"), "--run", "hour", *runs, *WINDOWS],
        "crossval": [*verb, "crossval", "--attention", *data, *NETWORK, *runs, "--name", "cv", "--folds", "3"],
        "pack": [*verb, "pack", *data, "--out", str(folder / "pack"), "--resize", "54", "72"],
        "train from the pack": ["train.py", "--attention", "--data", str(folder / "pack"), *NETWORK, *runs, "--name", "packed"],
        "check": [*verb, "check", "--data", labels],
    }  # fmt: skip


def result(name: str, text: str, folder: Path) -> str:
    """The result of a step in a few words."""
    runs = folder / "runs"
    if name in ("train", "evaluate", "train from the pack"):
        place = "packed" if name.endswith("pack") else "hour"
        metrics = json.loads((runs / place / "evaluation" / "test" / "metrics.json").read_text())
        low, high = metrics["top1_interval"]
        return f"test top-1 {metrics['top1']:.3f} [{low:.3f}, {high:.3f}], {metrics['videos']} segments"
    if name == "crossval":
        return re.findall(r"^.*top-1.*$", text, re.MULTILINE)[-1].strip()
    if name == "events":
        test = json.loads((runs / "hour/evaluation/events/events.json").read_text())["test"]
        scores = " ".join(f"{iou}: {each['f1']:.3f}" for iou, each in test["iou"].items())
        return f"{test['seconds']:.0f} s of test, F1 at IoU {scores}; frame accuracy {test['frame_accuracy']:.3f}"
    if name == "predict":
        return f"{len(re.findall(r'^ +[0-9:.]+ - ', text, re.MULTILINE))} stretches"
    return text.strip().splitlines()[-1].replace(str(folder) + "/", "")


def main() -> None:
    """Prints a Markdown table."""
    parser = bench.parser(__doc__, repeats=1)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--segments", type=int, default=500)
    parser.add_argument("--block", type=int, default=300, help="seconds of a group")
    parser.add_argument("--keep", type=Path, help="use this folder, and leave the files there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        measure(options, folder)


def measure(options: argparse.Namespace, folder: Path) -> None:
    """The measurement in a folder."""
    if not (folder / "labels.csv").exists():
        write_recording(folder, options.minutes, options.segments)
    size = (folder / "hour.mp4").stat().st_size / 1e6
    rows, seconds = [], {}
    for name, command in steps(folder, options.block).items():
        taken, cpu, peak, text = run(command, folder)
        seconds[name] = taken
        shown = " ".join(command).replace(str(folder) + "/", "").replace("-m ar3d_keras", "ar3d")
        shown = shown.replace(" ".join(NETWORK), "$NETWORK").replace(" --runs-dir runs", "")
        numbers = f"{taken:.0f}", f"{cpu:.0f}", f"{peak:.0f}"
        rows.append([name, f"`{shown}`", *numbers, result(name, text, folder)])
        print(rows[-1], file=sys.stderr)
    text = run(["-c", READ, str(folder / "hour.mp4"), "7.5"], folder)[-1]
    indexed, clip, front, equal = json.loads(text)
    text = bench.table(["step", "command", "seconds", "CPU s", "peak MB", "result"], rows)
    text += (
        f"\n\nNETWORK: `{' '.join(NETWORK)}`\n\nThe file: {options.minutes:g} minutes, {WIDTH}x{HEIGHT},"
        f" {size:.1f} MB, {options.segments} segments, blocks of {options.block} s. A clip of its last"
        f" minute: {1000 * clip:.1f} ms with the index (loaded from the cache in {1000 * indexed:.0f} ms),"
        f" {front:.2f} s from the front; equal, bit for bit: {'yes' if equal else 'NO'}. Load at the"
        f" end: {os.getloadavg()[0]:.1f}."
    )
    ratios = {f"long_video.{name.replace(' ', '_')}_s": value for name, value in seconds.items()}
    ratios["long_video.clip_s"] = clip
    bench.report(options, text, ratios, packages=["tensorflow", "keras", "av", "opencv-python"])


if __name__ == "__main__":
    main()
