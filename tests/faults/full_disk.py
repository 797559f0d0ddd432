"""Whole commands whose disk is full, or fails: one line, exit code 2, and nothing is lost.

    python -m tests.faults.full_disk                     every command at every size of a file
    python -m tests.faults.full_disk --only export-onnx

Each command runs once undisturbed. Then it runs in other processes: files cannot grow beyond a size
below that of one that it wrote (EFBIG from the system, whoever writes), and the flush of one of its
files fails (EIO). Afterwards the same command must succeed. Exit code 1: something else happened.
"""

import argparse
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    HERE = Path(__file__).parent
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    os.environ["PYTHONPATH"] = os.pathsep.join([*sys.path[:2], str(HERE.parents[1])])

import forked  # tests/faults/forked.py
from processes import TINY_FLAGS, python  # tests/processes.py


def commands(work: Path, data: Path, run: Path) -> dict[str, list]:
    """name -> the arguments of a command that writes into `work`/out."""
    out, video = work / "out", next((data / "Grow").iterdir())
    place = ["--run", run, "--runs-dir", work]
    own = [*place, "--data", data]
    return {
        "train": ["train", "--attention", "--data", data, "--runs-dir", out, "--name", "run",
                  *TINY_FLAGS],
        "evaluate": ["evaluate", *own, "--clips", 2],
        "export": ["export", *place, "--to", out],
        **{f"export-{form}": ["export", *place, "--format", form, "--to", out]
           for form in ("onnx", "openvino", "litert")},
        "export-int8": ["export", *place, "--format", "litert", "--int8", "--to", out],
        "pack": ["pack", "--data", data, "--out", out / "pack", "--resize", 18, 24],
        "pack-jpeg": ["pack", "--data", data, "--out", out / "pack", "--codec", "jpeg"],
        "predict": ["predict", data / "Grow", *place, "--journal", out / "journal"],
        "overlay": ["predict", video, *place, "--overlay", out / "overlay.mp4"],
    }  # fmt: skip


def files_in(*folders: Path) -> dict[str, bytes]:
    """The content of all files that are kept; logs grow, and locks come and go."""
    return {
        str(file): file.read_bytes()
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file() and file.name not in ("log.txt", ".lock", "evaluations.csv")
    }


class Campaign:
    """Runs of commands in a folder.

    Args:
        folder: for everything that is written.
        data: videos.
        trained: a finished run on them.
    """

    def __init__(self, folder: Path, data: Path, trained: Path):
        self.folder, self.data, self.trained = folder, data, trained

    def problems(self, name: str) -> Iterator[str]:
        """Runs a command with every fault, and yields what is wrong."""
        before, code, error = self._run(name)
        if code:
            yield f"{name}: exit code {code} on a sound disk: {error}"
            return
        written = files_in(self.folder / "out", self.folder / "run")
        sizes = sorted({len(c) for f, c in written.items() if before.get(f) != c})
        limits = {0, sizes[len(sizes) // 2] - 1, sizes[-1] - 1}
        for limit in sorted(limits):
            yield from self._fault(name, limit, None)
        for flushes in (0, 2):
            yield from self._fault(name, None, flushes)

    def _fault(self, name: str, limit: int | None, flushes: int | None) -> Iterator[str]:
        what = (
            f"{name}, {'flush' if limit is None else 'limit'} {flushes if limit is None else limit}"
        )
        before, code, error = self._run(name, limit, flushes)
        lines = [line for line in error.splitlines() if line.startswith("error: ")]
        if code == 0 and flushes:  # it flushed fewer files
            return
        if code != 2 or len(lines) != 1 or "Traceback" in error:
            yield f"{what}: exit code {code}: {error[-3000:]}"
        after = files_in(self.folder / "run")
        if lost := [f for f, c in before.items() if f not in after or not after[f]]:
            yield f"{what}: lost {lost}"
        parts = [p for p in self.folder.rglob(".*.part*") if name not in ("pack", "pack-jpeg")]
        if parts:
            yield f"{what}: left {parts}"
        command = self._again(name)
        _, code, error = self._run(name, keep=True, command=command)
        print(f"{what}: {lines[0] if lines else error[-200:]}; then exit code {code}", flush=True)
        if code:
            yield f"{what}: the same command then: exit code {code}: {error[-3000:]}"

    def _again(self, name: str) -> list:
        """The command that continues."""
        run = self.folder / "out/run"
        if name == "train" and (run / "run.json").exists():
            return ["train", "--resume", "--runs-dir", run.parent]
        return commands(self.folder, self.data, self.folder / "run")[name]

    def _run(
        self,
        name: str,
        limit: int | None = None,
        flushes: int | None = None,
        *,
        keep: bool = False,
        command: list | None = None,
    ) -> tuple[dict[str, bytes], int, str]:
        """The run's files before, and exit code and standard error of the command."""
        if not keep:
            shutil.rmtree(self.folder / "out", ignore_errors=True)
            shutil.rmtree(self.folder / "run", ignore_errors=True)
            shutil.copytree(self.trained, self.folder / "run")
            (self.folder / "out").mkdir()
            if name == "export":
                (self.folder / "out").rmdir()
            if name.startswith("export-"):
                (self.folder / "out").rmdir()
        before = files_in(self.folder / "run")
        arguments = command or commands(self.folder, self.data, self.folder / "run")[name]
        with _Output(self.folder / "output") as output:
            process = forked.start(*arguments, log=output.file, limit=limit, flushes=flushes)
            process.join()
        return before, process.exitcode, output.text


class _Output:
    """A pipe with a name, which no limit on files concerns, and what arrives there."""

    def __init__(self, file: Path):
        self.file, self.text = file, ""
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        self.text = self.file.read_text(errors="replace")

    def __enter__(self) -> "_Output":
        self.file.unlink(missing_ok=True)
        os.mkfifo(self.file)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=())
    options = parser.parse_args()
    from ar3d_keras.videos.demo import make_demo

    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        data = make_demo(work / "demo", groups=12, clips=1)
        train = ["train.py", "--attention", "--data", data, "--runs-dir", work, "--name", "trained"]
        done = python(*train, *TINY_FLAGS)
        assert done.returncode == 0, done.stderr
        campaign = Campaign(work / "work", data, work / "trained")
        campaign.folder.mkdir()
        bad = []
        for name in options.only or commands(campaign.folder, data, campaign.folder / "run"):
            bad += campaign.problems(name)
    print("\n".join(bad))
    print(f"{len(bad)} problems")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
