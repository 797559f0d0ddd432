"""The whole campaign of mutated data files: CSVs, run.json, packs, .keras files, SavedModels.

    python -m tests.faults.data_mutants                  30 mutants of each of the files
    python -m tests.faults.data_mutants --run runs/NAME --data DATA

Every mutant must end in a UserError or in a result. Exit code 1: one ended in something else.
"""

import argparse
import contextlib
import io
import json
import random
import shutil
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    sys.path.insert(0, str(Path(__file__).parents[1]))

VALUES = (
    *(None, True, -1, 0, 7, 2**70, 1e308, float("nan"), float("inf"), "", "x", "\0", "../../x"),
    *("<script>", [], {}, [None], {"x": 1}, "$x_{1", "\ud800", [[1, 2], [3]]),
)


def mutate_bytes(content: bytes, draw: random.Random) -> bytes:
    data = bytearray(content)
    kind, begin = draw.choice("fftddi"), draw.randrange(max(1, len(data)))
    end = begin + draw.choice((1, 3, 40))
    if kind == "f":
        for _ in range(draw.choice((1, 2, 20))):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif kind == "t":
        del data[begin:]
    elif kind == "d":
        del data[begin:end]
    else:
        data[begin:begin] = draw.choice((b"\0", b"\xff\xfe", b'"', b",,,", b"\r", b"{", b"9" * 400))
    return bytes(data)


def mutate_value(value, draw: random.Random):
    """A JSON value with one entry, however deep, replaced, removed or added."""
    value = json.loads(json.dumps(value))
    parent, key, at = None, None, value
    while isinstance(at, dict | list) and at and (parent is None or draw.random() < 0.8):
        parent, key = at, draw.choice(list(at)) if isinstance(at, dict) else draw.randrange(len(at))
        at = parent[key]
    if parent is None:
        return draw.choice(VALUES)
    if draw.random() < 0.3:
        del parent[key]
    elif draw.random() < 0.15 and isinstance(parent, dict):
        parent["more"] = draw.choice(VALUES)
    else:
        parent[key] = draw.choice(VALUES)
    return value


def mutate_json(content: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.25:
        return mutate_bytes(content, draw)
    return json.dumps(mutate_value(json.loads(content), draw)).encode()


def mutate_index(content: bytes, draw: random.Random) -> bytes:
    """pack.json by somebody who signs it."""
    from ar3d_keras.videos.pack_index import digest

    if draw.random() < 0.2:
        return mutate_bytes(content, draw)
    value = mutate_value(json.loads(content), draw)
    if isinstance(value, dict):
        value["sha256"] = digest(value)
    return json.dumps(value).encode()


def mutate_csv(content: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.5:
        return mutate_bytes(content, draw)
    lines = content.decode().split("\n")
    place = draw.randrange(len(lines))
    cells = lines[place].split(",")
    cell = draw.randrange(len(cells))
    word = draw.choice(
        (
            "",
            "1e999",
            "nan",
            "-1",
            "..",
            "/etc/passwd",
            "../../x.avi",
            "a\0b",
            '"',
            "=1+1",
            "9" * 200,
        )
    )
    cells[cell : cell + 1] = draw.choice(([], [word], [word, word]))
    lines[place : place + 1] = draw.choice(([",".join(cells)], [",".join(cells)] * 2))
    return "\n".join(lines).encode()


def mutate_archive(content: bytes, draw: random.Random) -> bytes:
    """A .keras file: bytes, or its config, or a part of it left out."""
    if draw.random() < 0.4:
        return mutate_bytes(content, draw)
    out = io.BytesIO()
    victim = draw.choice(("config.json", "config.json", "metadata.json", "model.weights.h5"))
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            if name == victim:
                if draw.random() < 0.1:
                    continue
                part = (
                    mutate_json(part, draw) if name.endswith("json") else mutate_bytes(part, draw)
                )
            new.writestr(name, part)
    return out.getvalue()


class Targets:
    """The files, each with its mutator and a function that uses it."""

    def __init__(self, run: Path, data: Path, work: Path):
        from ar3d_keras.progress import Reporter
        from ar3d_keras.runs import RunFolder
        from ar3d_keras.videos.dataset import open_data
        from ar3d_keras.videos.pack_index import PackSettings
        from ar3d_keras.videos.packing import make_pack

        self.work, self.data = work, data
        self.runs = work / "runs"
        shutil.copytree(run, self.runs / "r", ignore=shutil.ignore_patterns("saved_model"))
        self.run = RunFolder(self.runs / "r")
        shutil.copytree(run / "saved_model/1/assets.extra", work / "saved/assets.extra")
        catalog = open_data(data)
        self.labels = data / "labels-mutant.csv"
        rows = "".join(f"{v.path},{v.label},{v.group or ''},1.5\n" for v in catalog.videos)
        self.labels.write_text("path,label,group,weight\n" + rows)
        self.segments = data / "segments-mutant.csv"
        rows = "".join(
            f"{v.path},{v.label},0,{0.3 + 0.1 * (n % 3)}\n" for n, v in enumerate(catalog.videos)
        )
        self.segments.write_text("path,label,start,end\n" + rows)
        self.skip = work / "skip.csv"
        self.skip.write_text(f"path,state\n{catalog.videos[0].path},crashed\n")
        self.catalog = catalog
        settings = PackSettings("raw", 18, 24)
        self.pack = make_pack(catalog, work / "pack", settings, workers=2, reporter=Reporter()).root

    def all(self) -> dict[str, tuple[Path, Callable, Callable]]:
        return {
            "labels.csv": (self.labels, mutate_csv, self.use_labels),
            "segments.csv": (self.segments, mutate_csv, self.use_segments),
            "skip.csv": (self.skip, mutate_csv, self.use_skip),
            "split.csv": (self.run.folder / "split.csv", mutate_csv, self.use_split),
            "run.json": (self.run.folder / "run.json", mutate_json, self.use_record),
            "config": (self.run.folder / "run.json", mutate_json, self.use_config),
            "history.csv": (self.run.history, mutate_csv, self.use_history),
            "pack.json": (self.pack / "pack.json", mutate_index, self.use_pack),
            "predictions.csv": (
                self.run.evaluation("val") / "predictions.csv", mutate_csv, self.use_result,
            ),
            "metrics.json": (
                self.run.evaluation("val") / "metrics.json", mutate_json, self.use_result,
            ),
            "best.keras": (self.run.best, mutate_archive, self.use_network),
            "preprocessor.json": (
                self.work / "saved/assets.extra/preprocessor.json", mutate_json, self.use_description,
            ),
        }  # fmt: skip

    def use_labels(self):
        from ar3d_keras.videos.catalog import open_catalog
        from ar3d_keras.videos.splits import make_split

        catalog = open_catalog(self.labels)
        assert catalog.fingerprint and catalog.notes is not None
        assert make_split(catalog, "group").leak.sentences()

    def use_segments(self):
        from ar3d_keras.videos.catalog import open_catalog
        from ar3d_keras.videos.scan import scan

        catalog = open_catalog(self.segments)
        found = scan(catalog, workers=2)
        assert len(found.frames) + len(found.unreadable) == len(catalog)

    def use_skip(self):
        from ar3d_keras.videos.status import skip_videos

        skip_videos(self.catalog, self.skip)

    def use_split(self):
        split = self.run.split(self.data, "group")
        assert split.catalog.fingerprint and split.sizes and split.leak.sentences()

    def use_record(self):
        import ar3d_keras.experiments.train as training
        from ar3d_keras.experiments.load import describe_run
        from ar3d_keras.progress import Reporter
        from ar3d_keras.runs import find_run

        find_run(None, self.runs)
        describe_run(self.run)
        complete, training._complete = training._complete, lambda *_, **__: None
        try:
            training.resume(self.run.folder, epochs=9, data=self.data, reporter=Reporter())
        finally:
            training._complete = complete

    def use_config(self):
        from ar3d_keras.config import TrainConfig, from_json
        from ar3d_keras.experiments.configure import read_config

        from_json(read_config(self.run.folder / "run.json"), TrainConfig()).validate()

    def use_history(self):
        from ar3d_keras.runs import columns, read_history

        columns(read_history(self.run.history))

    def use_pack(self):
        import numpy as np

        from ar3d_keras.videos.packs import open_pack
        from ar3d_keras.videos.reader import ReadError
        from ar3d_keras.videos.sampling import ClipShape, ClipSpec

        pack = open_pack(self.pack)
        shape = ClipShape(4, 16, 16, 18, 24, 2)
        pack.require(shape)
        found = pack.scan(pack.catalog.videos)
        pack.verify(workers=1)
        pack.changed()
        for key in list(found.frames)[:3]:
            with contextlib.suppress(ReadError):
                pack.read(key, ClipSpec(np.arange(4), 0, 0, False), shape)

    def use_result(self):
        from ar3d_keras.evaluation.results import find_result

        result = find_result(str(self.run.folder), self.runs, "val")
        assert result.top1 >= 0 and result.loss is not None and result.history and result.scheme

    def use_network(self):
        from ar3d_keras import load_model

        load_model(self.run.best)

    def use_description(self):
        from ar3d_keras.inference.classifier import read_description

        read_description(self.work / "saved")


def campaign(targets: Targets, count: int, seed: int, only=()) -> list[str]:
    """Mutates each file `count` times; returns what was neither an error nor a result."""
    from ar3d_keras.errors import UserError

    bad = []
    for name, (file, mutate, use) in targets.all().items():
        if only and name not in only:
            continue
        sound, outcomes = file.read_bytes(), {"result": 0, "error": 0}
        others = {p: p.read_bytes() for p in (targets.run.folder / "run.json",)}
        use()
        for number in range(count):
            for other, content in others.items():
                other.write_bytes(content)
            file.write_bytes(mutate(sound, random.Random(f"{seed} {name} {number}")))
            try:
                use()
                outcomes["result"] += 1
            except UserError as error:
                outcomes["error"] += 1
                if "\n" in str(error).strip():
                    bad.append(f"{name} {number}: an error of several lines: {error}")
            except Exception:
                bad.append(f"{name} {number}: {traceback.format_exc()}")
        for other, content in others.items():
            other.write_bytes(content)
        file.write_bytes(sound)
        print(f"{name}: {outcomes['error']} errors, {outcomes['result']} results", flush=True)
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--run", type=Path, help="a finished run; default: trains one on the demo set"
    )
    parser.add_argument("--data", type=Path, help="its videos")
    parser.add_argument("--only", nargs="+", default=())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        if options.run is None:
            from processes import TINY, flags, python

            from ar3d_keras.videos.demo import make_demo

            options.data = make_demo(work / "demo", groups=12, clips=1)
            options.run = work / "trained/tiny"
            given = {"data": options.data, "name": "tiny", "runs_dir": work / "trained", **TINY}
            done = python("train.py", "--attention", *flags(**given))
            assert done.returncode == 0, done.stderr
        data = work / "data"
        shutil.copytree(options.data, data)
        bad = campaign(Targets(options.run, data, work), options.count, options.seed, options.only)
    for problem in bad:
        print(problem)
    print(f"{len(bad)} mutants ended in neither an error nor a result")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
