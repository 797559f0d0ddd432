"""The whole campaign of mutated videos: check, training's reader, pack, predict and overlay.

    python -m tests.faults.mutants                       1,000 mutants
    python -m tests.faults.mutants --count 60 --seed 7

Every stage runs in a process of its own, so a crash, a hang or a leak has a place. A stage must
account for every file: it decodes it, or it names it. Exit code 1: one did not.
"""

import argparse
import faulthandler
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.video_mutator import write_mutants

SECONDS_A_FILE = 30  # on average, in all stages: a hang is longer
GROWTH_MB = 60  # of the memory of a stage from its first third to its end


def run_check(folder: Path, paths: list[str], work: Path) -> dict[str, str]:
    """`ar3d check`: the state of every file."""
    from ar3d_keras.experiments import check as checking
    from ar3d_keras.progress import Reporter
    from ar3d_keras.videos import isolation
    from ar3d_keras.videos.catalog import open_catalog
    from ar3d_keras.videos.scan import scan
    from ar3d_keras.videos.status import states

    # Mutants of one video are all near-duplicates, and the search for them is another subject.
    checking.near_duplicates = lambda *_: []
    try:
        checking.check(folder, html=work / "report", workers=2, reporter=Reporter())
    except ValueError as error:
        if "videos" not in str(error):
            raise
    catalog = open_catalog(folder)
    found = scan(catalog, workers=2, descriptors=True, limits=isolation.Limits(20, 2))
    return {state.path: state.state for state in states(catalog, found, 16)}


def run_reader(folder: Path, paths: list[str], work: Path) -> dict[str, str]:
    """Two epochs of training's batches: clips, or a reason."""
    from ar3d_keras.videos.catalog import open_catalog
    from ar3d_keras.videos.pipeline import Batches
    from ar3d_keras.videos.sampling import ClipShape
    from ar3d_keras.videos.scan import scan
    from ar3d_keras.videos.sources import RandomSampler, VideoSource

    catalog = open_catalog(folder)
    found = scan(catalog, workers=2)
    videos = [video for video in catalog.videos if video.key in found.frames]
    shape = ClipShape(8, 16, 16, 18, 24, 2)
    outcome = dict(found.unreadable)
    for seed in (0, 1):
        source = VideoSource(
            folder, videos, found.frames, catalog.class_names, shape, RandomSampler(seed, True)
        )
        weights = [w for _, _, weights in Batches(source, 16, workers=2) for w in weights]
        for video, weight in zip(videos, weights, strict=True):
            failed = source.failures.get(video.key)
            if bool(weight) == bool(failed):
                raise AssertionError(f"{video.key} weighs {weight} and failed with {failed}")
            outcome[video.key] = failed or outcome.get(video.key, "read")
    return outcome


def run_pack(folder: Path, paths: list[str], work: Path) -> dict[str, str]:
    """`ar3d pack`: frames, or a reason."""
    from ar3d_keras.progress import Reporter
    from ar3d_keras.videos.catalog import open_catalog
    from ar3d_keras.videos.pack_index import PackSettings
    from ar3d_keras.videos.packing import make_pack

    settings = PackSettings("raw", 18, 24)
    catalog = open_catalog(folder)
    pack = make_pack(catalog, work / "pack", settings, workers=2, reporter=Reporter())
    if damaged := pack.verify(workers=2):
        raise AssertionError(f"the pack is damaged: {damaged}")
    return {p.video.path: p.reason or f"{p.frames} frames" for p in pack.videos}


def run_predict(folder: Path, paths: list[str], work: Path) -> dict[str, str]:
    """`ar3d predict`, of whole videos and window by window: probabilities, or a reason."""
    import numpy as np

    from ar3d_keras.inference.classifier import Classifier
    from ar3d_keras.inference.predictor import predict_videos
    from ar3d_keras.progress import Reporter
    from ar3d_keras.videos.sampling import ClipShape
    from ar3d_keras.videos.unlabelled import find_videos

    class Network:
        def predict_on_batch(self, clips):
            return np.full((len(clips), 2), 0.5, np.float32)

    network = Classifier(Network(), ("a", "b"), ClipShape(8, 16, 16, 18, 24, 2), "stub")
    catalog = find_videos([folder / path for path in paths])
    outcome = {}
    for seconds in (None, 0.7):
        for found in predict_videos(
            network, catalog, window_seconds=seconds, workers=2, reporter=Reporter()
        ):
            name = os.path.relpath(found.path, folder)
            said = found.failure or "predicted"
            outcome[name] = f"{outcome[name]}; {said}" if name in outcome else said
    return outcome


def run_overlay(folder: Path, paths: list[str], work: Path) -> dict[str, str]:
    """`ar3d predict --overlay`: a video, or a reason."""
    import numpy as np

    from ar3d_keras.errors import UserError
    from ar3d_keras.inference.classifier import Classifier
    from ar3d_keras.inference.predictor import predict_videos
    from ar3d_keras.inference.saved_model import SavedModelNetwork
    from ar3d_keras.progress import Reporter
    from ar3d_keras.reports.overlay import write_overlay
    from ar3d_keras.videos.isolation import Isolation, Limits
    from ar3d_keras.videos.parts import part_of
    from ar3d_keras.videos.reader import ReadError, count_frames
    from ar3d_keras.videos.sampling import ClipShape
    from ar3d_keras.videos.unlabelled import find_videos

    class Network(SavedModelNetwork):
        def __init__(self):
            self.has_attention = True

        def predict_on_batch(self, clips):
            return np.full((len(clips), 2), 0.5, np.float32)

        def attention(self, clips):
            return clips[..., 0].astype(np.float32) / 255

    classifier = Classifier(Network(), ("a", "b"), ClipShape(8, 16, 16, 18, 24, 2), "stub")
    outcome = {}
    catalog = find_videos([folder / path for path in paths])
    predictions = predict_videos(classifier, catalog, workers=2, reporter=Reporter())
    with Isolation(Limits()) as isolation:
        for video, found in zip(catalog.videos, predictions, strict=True):
            name, file = os.path.relpath(found.path, folder), work / "overlay.mp4"
            if found.failure:
                outcome[name] = found.failure
                continue
            try:
                part = part_of(catalog.root, video, isolation=isolation)
                write_overlay(classifier, found, part, file, threads=2)
                outcome[name] = f"{count_frames(file)} frames"
            except (ReadError, UserError) as error:
                outcome[name] = str(error)
    return outcome


STAGES = {
    "check": run_check,
    "reader": run_reader,
    "pack": run_pack,
    "predict": run_predict,
    "overlay": run_overlay,
}


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def memory_mb() -> float:
    """Resident memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def stage(name: str, folder: Path, paths: list[str], work: Path) -> dict:
    """Runs a stage over the whole folder three times in parts, to see whether it leaks."""
    from ar3d_keras.videos import isolation

    parts = []
    outcome: dict[str, str] = {}
    for turn in range(3):
        part = paths[turn * len(paths) // 3 : (turn + 1) * len(paths) // 3]
        place = work / f"{name}-{turn}"
        data = place / "data"
        for path in (*part, "a/sound.mp4", "b/sound.mp4"):
            (data / path).parent.mkdir(parents=True, exist_ok=True)
            os.link(folder / path, data / path)
        outcome |= STAGES[name](data, [*part, "a/sound.mp4"], place)
        isolation._end()
        gc.collect()
        parts.append((open_files(), memory_mb()))
    problems = [f"{path}: not accounted for" for path in paths if path not in outcome]
    if parts[-1][0] > parts[0][0]:
        problems.append(f"{parts[-1][0] - parts[0][0]} files stay open")
    if parts[-1][1] > parts[0][1] + GROWTH_MB:
        problems.append(f"memory grows from {parts[0][1]:.0f} to {parts[-1][1]:.0f} MB")
    return {"outcome": outcome, "problems": problems, "parts": parts}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    parser.add_argument("--keep", type=Path, help="a folder for the mutants and the outcomes")
    parser.add_argument("--stage", nargs=2, metavar=("STAGE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        faulthandler.enable()
        name, work = options.stage[0], Path(options.stage[1])
        paths = json.loads((work / "paths.json").read_text())
        (work / f"{name}.json").write_text(json.dumps(stage(name, work / "mutants", paths, work)))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        work = options.keep or Path(temporary)
        paths = write_mutants(work / "mutants", options.count, options.seed)
        (work / "paths.json").write_text(json.dumps(paths))
        bad = 0
        for name in options.stages:
            bad += not _report(name, work, len(paths))
    return bad > 0


def _report(name: str, work: Path, count: int) -> bool:
    begun = time.monotonic()
    environment = {**os.environ, "XDG_CACHE_HOME": str(work / "cache")}
    command = [sys.executable, "-m", "tests.faults.mutants", "--stage", name, str(work)]
    try:
        done = subprocess.run(
            command,
            cwd=Path(__file__).parents[2],
            env=environment,
            timeout=60 + SECONDS_A_FILE * count,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired:
        print(f"{name}: HANGS")
        return False
    seconds = time.monotonic() - begun
    if done.returncode:
        print(f"{name}: exit code {done.returncode}\n{done.stderr[-3000:]}")
        return False
    found = json.loads((work / f"{name}.json").read_text())
    accounted = sum(
        path in found["outcome"] for path in json.loads((work / "paths.json").read_text())
    )
    files = ", ".join(str(files) for files, _ in found["parts"])
    memory = ", ".join(f"{megabytes:.0f}" for _, megabytes in found["parts"])
    print(
        f"{name}: {accounted} of {count} accounted for in {seconds:.0f} s; open files {files}; "
        f"memory {memory} MB",
        flush=True,
    )
    for problem in found["problems"]:
        print(f"  {problem}")
    return not found["problems"] and accounted == count


if __name__ == "__main__":
    sys.exit(main())
