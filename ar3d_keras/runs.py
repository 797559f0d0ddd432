"""The run folder: one training, its files, and how it is found again."""

import contextlib
import csv
import datetime
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ar3d_keras import atomic
from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import Catalog, Video
from ar3d_keras.videos.splits import Split

# Of split.csv; further columns of the catalog follow.
_SPLIT_COLUMNS = "path", "label", "group", "split"


@dataclass(frozen=True)
class Run:
    """The folder of one training; see DESIGN "A run folder" in CONTRIBUTING.md."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def best(self) -> Path:
        """The network that was kept (`--keep`), float32, as a .keras file."""
        return self.folder / "checkpoints" / "best.keras"

    @property
    def state(self) -> Path:
        """Everything that an exact resume needs, after the last whole epoch."""
        return self.folder / "checkpoints" / "state.npz"

    @property
    def history(self) -> Path:
        """One line an epoch."""
        return self.folder / "history.csv"

    @property
    def curves(self) -> Path:
        """The paper's Figure 3."""
        return self.folder / "curves.png"

    @property
    def log_file(self) -> Path:
        """What the commands of this run printed."""
        return self.folder / "log.txt"

    @property
    def saved_model(self) -> Path:
        """The folder of versions that TF Serving loads."""
        return self.folder / "saved_model"

    def exported(self, name: str) -> Path:
        """The folder of another format: onnx, openvino, litert, litert-int8."""
        return self.folder / "export" / name

    def evaluation(self, split: str) -> Path:
        """The folder of the report on a split."""
        return self.folder / "evaluation" / split

    def write_record(self, record: dict[str, Any]) -> None:
        """Writes run.json."""
        atomic.write_json(self.folder / "run.json", record)

    def record(self) -> dict[str, Any]:
        """Reads run.json.

        Raises:
            UserError: the folder is no run, or its run.json is damaged.
        """
        file = self.folder / "run.json"
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            for key in ("begun", "config", "data", "split", "classes"):
                record[key]  # else it is a JSON file of something else
            return record
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"{self.folder} is not a run ({file.name}: {error})") from None

    def data_root(self, moved: Path | None) -> Path:
        """The folder of the run's videos: where it was, or the `--data` that it moved to.

        Raises:
            UserError: it is not there.
        """
        root = moved or Path(self.record()["data"]["root"])
        root = root.parent if root.is_file() else root
        if not root.is_dir():
            raise UserError(f"the data of {self.folder} is not at {root}: say where with --data")
        return root.resolve()

    def write_split(self, split: Split) -> None:
        """Writes split.csv: every column of the catalog, and the split of each video."""
        videos = split.catalog.videos
        extra = list(dict.fromkeys(name for video in videos for name in video.extra))
        rows = (
            (
                *(video.path, video.label, video.group or "", name or ""),
                *(video.extra.get(column, "") for column in extra),
            )
            for video, name in zip(videos, split.assigned, strict=True)
        )
        atomic.write_csv(self.folder / "split.csv", [*_SPLIT_COLUMNS, *extra], rows)

    def split(self, root: Path, scheme: str) -> Split:
        """Rebuilds the split from split.csv, with paths relative to `root`.

        Raises:
            UserError: split.csv is missing or damaged.
        """
        file = self.folder / "split.csv"
        try:
            with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
                header, *rows = csv.reader(lines, strict=True)
            if tuple(header[:4]) != _SPLIT_COLUMNS:
                raise ValueError(f"its first line is {','.join(header)}")
            videos, assigned = zip(
                *(
                    (
                        Video(
                            path,
                            label,
                            group or None,
                            None,
                            dict(zip(header[4:], extra, strict=True)),
                        ),
                        split or None,
                    )
                    for path, label, group, split, *extra in rows
                ),
                strict=True,
            )
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{file} cannot be read ({error}): the run is damaged") from None
        return Split(Catalog(root, videos), scheme, assigned)


def create_run(runs_dir: Path, name: str | None, model: str) -> Run:
    """Makes the folder of a new run.

    Args:
        runs_dir: where runs go.
        name: exactly this folder in it; None: date, time and `model`.
        model: the network's name, e.g. `conv3d-attention`.

    Raises:
        UserError: a name that exists or is none.
    """
    check_run_name(runs_dir, name)
    for candidate in [name] if name else _dated(model):
        folder = runs_dir / candidate
        try:
            folder.mkdir(parents=True)
            return Run(folder)
        except FileExistsError:
            check_run_name(runs_dir, name)
        except OSError as error:
            raise UserError(f"{folder} cannot be made: {error.strerror}") from None
    raise AssertionError("unreachable: dated names never end")


def check_run_name(runs_dir: Path, name: str | None) -> None:
    """Refuses a `--name` that is none, or that a run has already."""
    if name is None:
        return
    check_plain_name(name)
    if (runs_dir / name).exists():
        raise UserError(
            f"{runs_dir / name} exists: choose another --name, or continue it with --resume {name}"
        )


def check_plain_name(name: str) -> None:
    """Refuses a `--name` that is no plain name of a folder."""
    if name != Path(name).name or name in ("", ".", ".."):
        raise UserError(f"--name {name!r} must be a plain name; --runs-dir says where runs go")


def check_disk_space(runs_dir: Path, parameters: int) -> None:
    """Refuses a training whose weights would not fit, before hours of work.

    A run keeps float32 weights three times over in its state (Adam's two moments), once in
    best.keras and once in the SavedModel; each is written beside the old one before it replaces
    it.

    Raises:
        UserError: the disk of `runs_dir` has no room for that.
    """
    there = next(path for path in (runs_dir, *runs_dir.absolute().parents) if path.exists())
    free, need = shutil.disk_usage(there).free, parameters * 4 * 9
    if free < need:
        raise UserError(
            f"{runs_dir} has {free / 1e6:.0f} MB free and this run needs about "
            f"{need / 1e6:.0f} MB: make room, or choose another --runs-dir"
        )


def _dated(model: str) -> Iterator[str]:
    base = f"{datetime.datetime.now():%Y%m%d-%H%M}-{model}"
    yield base
    number = 2
    while True:  # two runs within a minute
        yield f"{base}-{number}"
        number += 1


def find_run(run: str | None, runs_dir: Path, *, needs: Sequence[str] = ()) -> Run:
    """The run that `--run` names.

    Args:
        run: a path, or a name under `runs_dir`; None: the one that was last begun.
        runs_dir: where runs are.
        needs: names of files in the run folder that must be there.

    Raises:
        UserError: there is no such run, or one of `needs` is missing.
    """
    if run is None:
        # A run that was stopped early must not hide an older one that can be used.
        found = latest(runs_dir, needs) or latest(runs_dir)
        if found is None:
            raise UserError(
                f"no run in {runs_dir}: train one first with `python train.py --attention`"
            )
    else:
        found = next(
            (Run(path) for path in (Path(run), runs_dir / run) if (path / "run.json").is_file()),
            None,
        )
        if found is None:
            raise UserError(
                f"no run at {run} or {runs_dir / run} (no run.json there): "
                f"--run takes a run folder or a name under {runs_dir}"
            )
    for name in needs:
        if not (found.folder / name).exists():
            raise UserError(
                f"{found.folder} has no {name}: its training ended before the first epoch did; "
                f"continue it with --resume {found.name}"
            )
    return found


def latest(runs_dir: Path, needs: Sequence[str] = ()) -> Run | None:
    """The run that was last begun of those that have the files `needs`, None where there is none."""
    begun: dict[Path, datetime.datetime] = {}
    for file in runs_dir.glob("*/run.json"):
        if not all((file.parent / name).exists() for name in needs):
            continue
        # A run that was damaged must not hide the others.
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            when = json.loads(file.read_text(encoding="utf-8"))["begun"]
            begun[file.parent] = datetime.datetime.fromisoformat(when).astimezone()
    return Run(max(begun, key=begun.__getitem__)) if begun else None


def read_history(file: Path, epochs: int | None = None) -> list[dict[str, float]]:
    """The lines of a history.csv, as numbers; empty where there is no file.

    Args:
        file: written by HistoryCSV.
        epochs: no more lines than these.
    """
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [{k: float(v or "nan") for k, v in row.items()} for row in csv.DictReader(lines)]
    return [{**row, "epoch": int(row["epoch"])} for row in rows[:epochs]]


def columns(rows: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    """Lines of a history as one list a column, NaN where a line says nothing."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name, float("nan")) for row in rows] for name in names}
