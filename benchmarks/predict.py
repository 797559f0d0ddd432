"""How fast does `ar3d predict` predict many videos, and a long one, compared with a user's own loop?

python -m benchmarks.predict [--network small-data] [--videos N] [--minutes M] [--full] [--json FILE]

Short videos of 320x240, 4 seconds each (MPEG-4, as UCF-101 has), by their center clip; and one long
recording of 640x480 (H.264, x264's preset veryfast) in windows of 4 seconds. The peers are loops that decode with PyAV or
decord and predict with Keras or with OpenVINO in float32, eight clips at once (predict_loop.py).
Every contender is a process of its own, its start included, with an empty cache. `--network`: the
network and the clips of a preset; its weights are random. By default the number of videos is such that the
measurement takes about three minutes; `--full` takes 1,000 videos and an hour.

`growth` is the median resident memory of `ar3d predict` and its decoders in the last quarter of the
time that it predicts, divided by that in the second quarter: 1 means flat.
"""

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks import bench

RATE, SECONDS, WINDOW = 25, 4, 4.0
CLASSES = 8
OURS = "ar3d predict"
BUDGET = 25.0  # seconds of one contender on all short videos


def write_short(folder: Path, count: int) -> list[Path]:
    """Writes videos of textured, moving frames; eight different ones, and copies of them."""
    import av

    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(min(count, 8)):
        texture = draw.integers(0, 256, (24, 32, 3), np.uint8)
        whole = np.kron(texture, np.ones((14, 14, 1), np.uint8))
        with av.open(str(folder / f"{number:04d}.avi"), "w") as container:
            stream = container.add_stream("mpeg4", rate=RATE, bit_rate=500_000)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for step in range(RATE * SECONDS):
                top, left = step % 90, step * (number + 1) % 120
                picture = np.ascontiguousarray(whole[top : top + 240, left : left + 320])
                noise = draw.integers(0, 12, picture.shape, np.uint8)
                frame = av.VideoFrame.from_ndarray(picture // 2 + noise, format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    for number in range(8, count):
        shutil.copyfile(folder / f"{number % 8:04d}.avi", folder / f"{number:04d}.avi")
    return sorted(folder.iterdir())


def write_long(path: Path, minutes: float) -> None:
    """Writes a recording of a moving, noisy scene: one minute, whose packets are repeated."""
    import av
    import cv2

    draw = np.random.default_rng(0)
    size, length = (640, 480), RATE * 60
    texture = draw.integers(0, 256, (60, 80, 3), np.uint8)
    scene = cv2.resize(texture, (1280, 960), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    noise = draw.integers(-4, 5, (8, 480, 640, 3), np.int16)
    whole = min(length, round(RATE * 60 * minutes))
    minute = path.with_name("minute.mp4")
    with av.open(str(minute), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        for step in range(whole):
            left = round(320 + 300 * np.sin(step / 40))
            top = round(240 + 200 * np.cos(step / 63))
            picture = scene[top : top + 480, left : left + 640] + noise[step % 8]
            picture = np.ascontiguousarray(picture.clip(0, 255).astype(np.uint8))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    with av.open(str(path), "w") as container:
        copy = None
        for number in range(max(1, round(minutes))):
            with av.open(str(minute)) as source:
                stream = source.streams.video[0]
                copy = copy or container.add_stream_from_template(stream)
                shift = round(number * 60 / stream.time_base)
                for packet in source.demux(stream):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = copy
                        container.mux(packet)


def write_network(folder: Path, preset: str) -> None:
    """Writes network.keras, its shape.json, and the network for OpenVINO, in this folder."""
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    import keras

    from ar3d_keras import TrainConfig
    from ar3d_keras.experiments.configure import configure
    from ar3d_keras.serving.formats import export_file
    from ar3d_keras.training.trainer import build_network
    from ar3d_keras.videos.dataset import clip_shape

    # The loops sample so, and compute no optical flow.
    model = "compact3d" if preset == "small-data" else "conv3d"
    config: TrainConfig = configure(None, preset=preset, model=model, sampling="stride")
    keras.utils.set_random_seed(0)
    shape = clip_shape(config.data)
    model = build_network(config, [str(number) for number in range(CLASSES)], "float32")
    model.class_names, model.clip_shape = [str(number) for number in range(CLASSES)], shape
    model.save(folder / "network.keras")
    (folder / "shape.json").write_text(json.dumps(asdict(shape)))
    export_file(folder / "network.keras", folder / "openvino", {}, "openvino")


def run(command: list[str], cache: Path) -> tuple[float, float, list[float], str]:
    """Seconds, those of CPU, the resident memory over time in MB, and the output of a process."""
    shutil.rmtree(cache, ignore_errors=True)
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "TF_CPP_MIN_LOG_LEVEL": "3"}
    before = os.times()
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, *command], env=environment, stdout=output, stderr=errors
        )
        memory = []
        while child.poll() is None:
            memory.append(_resident(child.pid))
            time.sleep(0.2)
        seconds = time.perf_counter() - begun
        after = os.times()
        output.seek(0)
        errors.seek(0)
        if child.returncode:
            sys.exit(f"{' '.join(command[:8])}\n{errors.read().decode()}")
        text = output.read().decode()
    cpu = after.children_user + after.children_system
    return seconds, cpu - before.children_user - before.children_system, memory, text


def _resident(pid: int) -> float:
    """Resident memory of a process and its children in MB."""
    total = 0.0
    try:
        tasks = Path(f"/proc/{pid}/task").iterdir()  # any thread may have started a decoder
        children = [each for task in tasks for each in (task / "children").read_text().split()]
        for each in (str(pid), *children):
            total += int(Path(f"/proc/{each}/statm").read_text().split()[1]) * 4096 / 1e6
    except (OSError, IndexError):
        pass
    return total


def classes_of(text: str) -> list[int]:
    """The likeliest classes in the output of either contender, of all clips."""
    document = json.loads(text)
    if isinstance(document, list):
        return document
    parts = [part for video in document["videos"] for part in video.get("windows", [video])]
    return [int(part["top"][0]["class"]) for part in parts]


def growth(memory: list[float]) -> float | None:
    """The resident memory of the last quarter divided by that of the second quarter."""
    quarter = len(memory) // 4
    if quarter < 4:
        return None
    return statistics.median(memory[-quarter:]) / statistics.median(memory[quarter : 2 * quarter])


def contenders(folder: Path, videos: list[Path], seconds: float) -> dict[str, list[str]]:
    """The command of each contender."""
    windows = ["--window-seconds", f"{seconds:g}"] if seconds else []
    network = str(folder / "network.keras")
    names = list(map(str, videos))
    commands = {OURS: ["-m", "ar3d_keras", "predict", *names, "--run", network, "--json", *windows]}
    for reader, title in (("pyav", "PyAV"), ("decord", "decord")):
        if not importlib.util.find_spec("av" if reader == "pyav" else reader):
            continue
        for runtime, other in (("keras", "Keras"), ("openvino", "OpenVINO")):
            if importlib.util.find_spec(runtime):
                place = ["-m", "benchmarks.predict_loop", reader, runtime, str(folder)]
                commands[f"{title}, {other}"] = [*place, f"{seconds:g}", *names]
    return commands


def measure(
    folder: Path, videos: list[Path], seconds: float, repeats: int
) -> tuple[list[list[object]], dict[str, float | None]]:
    """The rows of a table, and the ratios of one measurement."""
    commands = contenders(folder, videos, seconds)
    cpu: dict[str, list[float]] = {name: [] for name in commands}
    memory: dict[str, list[float]] = {}
    classes: dict[str, list[int]] = {}

    def once(name: str) -> Callable[[], float]:
        def measured() -> float:
            taken, busy, memory[name], text = run(commands[name], folder / "cache")
            cpu[name].append(busy)
            classes[name] = classes_of(text)
            return taken

        return measured

    taken = bench.take_turns({name: once(name) for name in commands}, repeats)
    peers = [name for name in commands if name != OURS]
    best = min(peers, key=lambda name: statistics.median(taken[name])) if peers else None
    rows: list[list[object]] = [
        [
            name,
            bench.spread(taken[name], 1),
            bench.spread(cpu[name], 1),
            f"{max(memory[name]):.0f}",
            f"{np.mean(np.array(classes[name]) == classes[OURS]):.3f}"
            if len(classes[name]) == len(classes[OURS])
            else f"{len(classes[name])} clips",
        ]
        for name in commands
    ]
    return rows, {
        "over_best_loop": bench.ratio(taken, best, OURS) if best else None,
        "over_best_loop_cpu": bench.ratio(cpu, best, OURS) if best else None,
        "growth": growth(memory[OURS]),
    }


def sized(folder: Path, videos: list[Path]) -> int:
    """The number of short videos that a loop predicts in about BUDGET seconds."""
    commands = contenders(folder, videos, 0.0)
    peer = next((name for name in commands if name != OURS), OURS)
    short = [part for part in commands[peer] if part not in map(str, videos[8:])]
    cache = folder / "cache"
    few = run(short, cache)[0]
    all_of_them = run(commands[peer], cache)[0]
    each = max((all_of_them - few) / (len(videos) - 8), 1e-3)
    return int(np.clip(BUDGET / each, 40, 1000))


def main() -> None:
    """Prints two Markdown tables."""
    parser = bench.parser(__doc__, repeats=2)
    parser.add_argument("--network", choices=("small-data", "paper"), default="small-data")
    parser.add_argument("--videos", type=int, help="default: for about three minutes")
    parser.add_argument("--minutes", type=float, default=4, help="of the long recording")
    parser.add_argument("--full", action="store_true", help="1,000 videos and an hour")
    options = parser.parse_args()
    if options.full:
        options.videos, options.minutes = 1000, 60
    with tempfile.TemporaryDirectory() as temporary:
        measure_in(options, Path(temporary))


def measure_in(options: argparse.Namespace, folder: Path) -> None:
    """The measurement in a folder."""
    write_network(folder, options.network)
    if options.videos is None:
        options.videos = sized(folder, write_short(folder / "few", 24))
    short = write_short(folder / "short", options.videos)
    write_long(folder / "long.mp4", options.minutes)
    header = ["", "seconds", "CPU s", "peak MB", "same class"]
    texts, ratios = [], dict[str, float | None]()
    for name, title, videos, seconds in (
        ("short", f"{options.videos} videos of {SECONDS} s", short, 0.0),
        ("long", f"{options.minutes:g} minutes", [folder / "long.mp4"], WINDOW),
    ):
        rows, found = measure(folder, videos, seconds, options.repeats)
        texts.append(bench.table([title, *header[1:]], rows))
        ratios |= {f"predict.{name}_{key}": value for key, value in found.items()}
    bench.report(
        options,
        "\n\n".join(texts),
        ratios,
        packages=["keras", "tensorflow", "openvino", "av", "decord", "opencv-python"],
    )


if __name__ == "__main__":
    main()
