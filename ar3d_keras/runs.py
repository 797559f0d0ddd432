"""The run folder: one training, its files, and how it is found again."""

import contextlib
import csv
import datetime
import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ar3d_keras import atomic
from ar3d_keras.config import Scheme, TrainConfig, from_json
from ar3d_keras.errors import UserError
from ar3d_keras.locking import LockedError, is_locked, locked
from ar3d_keras.videos import remote
from ar3d_keras.videos.catalog import Catalog, Video
from ar3d_keras.videos.pack_index import is_pack
from ar3d_keras.videos.region import COLUMNS as REGION
from ar3d_keras.videos.region import parse_region
from ar3d_keras.videos.splits import Split
from ar3d_keras.videos.video import format_seconds, leads_out

# Of split.csv; further columns of the catalog follow.
_SPLIT_COLUMNS = "path", "label", "group", "split"
# Behind them, if the catalog has segments.
_SEGMENT_COLUMNS = "start", "end"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one training run; CONTRIBUTING.md lists its files."""

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
        """Everything that an exact resume needs."""
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

    def evaluation(
        self,
        split: str,
        *,
        clips: int | None = None,
        crops: int = 1,
        precision: str = "float32",
    ) -> Path:
        """The folder of the report on a split; a protocol of several clips has its own folder.

        Args:
            split: train, val or test.
            clips: clips of each video; None: those of the report that training writes.
            crops: crops of each clip.
            precision: what the network computes in; another one than float32 has its own folder.
        """
        if clips is None:
            clips = self.test_clips if split == "test" else 1
        protocol = "" if clips * crops == 1 else f"-{clips}x{crops}"
        rough = "" if precision == "float32" else f"-{precision}"
        return self.folder / "evaluation" / f"{split}{protocol}{rough}"

    @property
    def lock_file(self) -> Path:
        """See `locked`."""
        return self.folder / ".lock"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other trainings out of the folder, and removes what a killed one left half written.

        Raises:
            UserError: another process trains the run.
        """
        try:
            with locked(self.lock_file):
                atomic.remove_parts(self.folder)
                atomic.remove_parts(self.best.parent)
                yield
        except LockedError as error:
            raise UserError(
                f"{self.folder} is being trained by {error}: wait until that ends, or stop it"
            ) from None

    def write_record(self, record: dict[str, Any]) -> None:
        """Writes run.json."""
        atomic.write_json(self.folder / "run.json", record)

    def update_record(self, **changes: Any) -> None:
        """Writes run.json with some entries replaced."""
        self.write_record({**self.record(), **changes})

    @property
    def test_clips(self) -> int:
        """Clips of each video in the test report of the training; see RecipeConfig."""
        file = self.folder / "run.json"
        return self.record()["config"]["recipe"].get("test_clips", 1) if file.exists() else 1

    def record(self) -> dict[str, Any]:
        """Reads run.json.

        Raises:
            UserError: the folder is not a run, or its run.json is damaged.
        """
        file = self.folder / "run.json"
        if self.folder.is_dir() and not file.exists():
            raise UserError(
                f"{self.folder} has no run.json: the run was stopped before it began; start it "
                f"again with `python train.py --name {self.name}` and its options"
            )
        try:
            where = f"{self.folder} is not a run ({file.name}"
            content = json.loads(
                file.read_text(encoding="utf-8"),
                object_pairs_hook=lambda p: _Entries(where, p),
                parse_float=_finite,
                parse_constant=_finite,
            )
            record = _upgraded(content)
            _check_types(record, _RECORD)
            return record
        except UserError:
            raise
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{self.folder} is not a run ({file.name}: {error})") from None

    def config(self) -> TrainConfig:
        """The options of the run, with every default of its data section filled in.

        Raises:
            UserError: run.json is missing or damaged, or the run is a pretraining.
        """
        record = self.record()
        if "pretext" in record:
            raise UserError(
                f"{self.folder} is a pretraining, which predicts no classes: start a training from "
                "its weights with `init_from`"
            )
        config = from_json(record["config"], TrainConfig(), str(self.folder / "run.json"))
        # Runs of earlier versions recorded None where a default held.
        scheme = (record["split"]["scheme"].split() or [""])[0]  # "kfold 1 of 5"
        if scheme not in get_args(Scheme):
            raise UserError(f"{self.folder / 'run.json'}: there is no split scheme {scheme!r}")
        flow = config.data.flow
        flows = () if flow in (None, "none") else (flow,)
        return config.resolved(split_scheme=scheme, flows=flows)

    def data_root(self, moved: Path | None) -> Path:
        """The folder of the run's videos.

        Args:
            moved: where the data is now; None: where it was when the run began.

        Raises:
            UserError: the folder does not exist.
        """
        root = moved or Path(self.record()["data"]["root"])
        if remote.is_remote(root):
            root = remote.plain(root)
            return root.parent if root.suffix.lower() == ".csv" else root
        root = root.parent if root.is_file() else root
        if not root.is_dir():
            raise UserError(
                f"the data of {self.folder} is not at {root}: give its new place as `data`"
            )
        return root.resolve()

    def write_split(self, split: Split) -> None:
        """Writes split.csv: every column of the catalog, and the split of each video."""
        videos = split.catalog.videos
        extra = list(dict.fromkeys(name for video in videos for name in video.extra))
        segments = _SEGMENT_COLUMNS if any(video.is_segment for video in videos) else ()
        region = REGION if any(video.roi for video in videos) else ()
        rows = (
            (
                *(video.path, video.label, video.group or "", name or ""),
                *(_time(getattr(video, column)) for column in segments),
                *(map(format_seconds, video.roi) if video.roi else [""] * len(region)),
                *(video.extra.get(column, "") for column in extra),
            )
            for video, name in zip(videos, split.assigned, strict=True)
        )
        atomic.write_csv(
            self.folder / "split.csv", [*_SPLIT_COLUMNS, *segments, *region, *extra], rows
        )

    def split(self, root: Path, scheme: str) -> Split:
        """Rebuilds the split from split.csv, with paths relative to `root`.

        Raises:
            UserError: split.csv is missing or damaged, or a path in it leads out of `root` and the
                run was trained without `allow_outside`.
        """
        file = self.folder / "split.csv"
        try:
            with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
                header, *rows = csv.reader(lines, strict=True)
            if tuple(header[:4]) != _SPLIT_COLUMNS:
                raise ValueError(f"its first line is {','.join(header)}")
            videos, assigned = zip(*(_split_row(header, row) for row in rows), strict=True)
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{file} cannot be read ({error}): the run is damaged") from None
        outside = next((video.path for video in videos if leads_out(video.path)), None)
        # The frames of a pack are in the pack, whatever their videos were called.
        if outside and not is_pack(root) and not self.config().data.allow_outside:
            raise UserError(
                f"{file} names {outside!r}, which lies outside {root}, but the run was trained "
                "without `allow_outside`: restore the file"
            )
        return Split(Catalog(root, videos), scheme, assigned)


def _split_row(header: Sequence[str], row: Sequence[str]) -> tuple[Video, str | None]:
    """A row of split.csv: the video, and its split.

    Raises:
        ValueError: it has another number of cells than the header, or no time where one belongs.
    """
    cells = dict(zip(header, row, strict=True))
    path, label, group, split = (cells.pop(name) for name in _SPLIT_COLUMNS)
    times = []
    if tuple(header[4:6]) == _SEGMENT_COLUMNS:
        times = [float(t) if t else None for t in map(cells.pop, _SEGMENT_COLUMNS)]
    start, end = times or (None, None)
    roi = None
    if all(name in cells for name in REGION):
        roi = parse_region([cells.pop(name) for name in REGION])
    return Video(path, label, group or None, None, cells, start, end, roi), split or None


def _time(seconds: float | None) -> str:
    return "" if seconds is None else format_seconds(seconds)


class _Entries(dict[str, Any]):
    """An object of run.json; an entry that it lacks is an error of the file."""

    def __init__(self, where: str, pairs: Sequence[tuple[str, Any]]):
        super().__init__(pairs)
        self._where = where

    def __missing__(self, key: str) -> Any:
        raise UserError(f"{self._where} has no {key!r})")


def _finite(text: str) -> float:
    """A number of run.json, whose writer has no others."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


# The types of entries of run.json. The entries that this package reads in every run are needed.
_RECORD: dict[str, Any] = {
    "begun": str,
    "class_names": [str],
    "config": {},
    "data": {"root?": str, "fingerprint?": str},
    "split": {"scheme?": str, "leak?": [str], "notes?": [str], "sizes?": {}, "has_leakage?": bool},
    "command?": str,
    "backend?": str,
    "precision?": str,
    "device?": str,
    "versions?": {},
    "parameters?": int,
    "skipped?": [{"path": str}],
    "unreadable?": [{"path": str}],
    "export?": bool,
    "finished_epochs?": int,
}


def _check_types(value: Any, expected: Any, name: str = "") -> None:
    """Raises ValueError if a value of run.json does not have the type in `expected`."""
    if isinstance(expected, dict):
        kind: type = dict
        if isinstance(value, dict):
            for key, inner in expected.items():
                plain = key.removesuffix("?")
                if plain in value or plain == key:
                    _check_types(value[plain], inner, f"{name}.{plain}".lstrip("."))
    elif isinstance(expected, list):
        kind = list
        for item in value if isinstance(value, list) else ():
            _check_types(item, expected[0], f"{name}[]")
    else:
        kind = expected
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{name} is no {kind.__name__}")


def _upgraded(record: dict[str, Any]) -> dict[str, Any]:
    """A record with today's names of entries that earlier versions named otherwise."""
    if "classes" in record:
        record["class_names"] = record.pop("classes")
    split = record.get("split", {})
    if "leak_is_loud" in split:
        split["has_leakage"] = split.pop("leak_is_loud")
    return record


def create_run(runs_dir: Path, name: str | None, model: str) -> RunFolder:
    """Makes the folder of a new run.

    Args:
        runs_dir: the folder of all runs.
        name: the folder's name in it; None: date, time and `model`.
        model: the network's name, e.g. `conv3d-attention`.

    Raises:
        UserError: the name is taken or invalid.
    """
    check_run_name(runs_dir, name)
    for candidate in [name] if name else _dated(model):
        folder = runs_dir / candidate
        try:
            folder.mkdir(parents=True)
            return RunFolder(folder)
        except FileExistsError:
            if name:
                check_run_name(runs_dir, name)
                return RunFolder(folder)  # left by a run that was killed before it wrote its record
        except OSError as error:
            raise UserError(f"{folder} cannot be made: {error.strerror}") from None
    raise AssertionError("unreachable: dated names never end")


def check_run_name(runs_dir: Path, name: str | None) -> None:
    """Checks a name for a new run.

    A folder that a run left when it was killed before it wrote run.json may be used again.

    Raises:
        UserError: the name is taken or invalid.
    """
    if name is None:
        return
    check_plain_name(name)
    folder = runs_dir / name
    if (folder / "run.json").exists():
        raise UserError(
            f"{folder} exists: choose another `name`, or continue that run with "
            f"`python train.py --resume {name}`"
        )
    if folder.exists() and not (folder.is_dir() and _only_beginnings(folder)):
        raise UserError(f"{folder} exists and is not a run: choose another `name`")


def _only_beginnings(folder: Path) -> bool:
    """Whether a folder holds nothing but what a run writes before run.json."""
    return all(
        path.name in ("split.csv", "log.txt") or path.name.startswith(".")
        for path in folder.iterdir()
    )


def check_plain_name(name: str) -> None:
    """Raises UserError if a name for a run is not the plain name of a folder."""
    if name != Path(name).name or name in ("", ".", ".."):
        raise UserError(f"`name` {name!r} must be a plain name; `runs_dir` says where runs go")


def check_disk_space(runs_dir: Path, parameters: int) -> None:
    """Checks that the weights of a training will fit, before hours of work.

    A run keeps float32 weights three times in its state (Adam has two moments), once in best.keras
    and once in the SavedModel. Each file is written beside the old one before it replaces it.

    Raises:
        UserError: the disk of `runs_dir` has too little room.
    """
    there = next(path for path in (runs_dir, *runs_dir.absolute().parents) if path.exists())
    free, need = shutil.disk_usage(there).free, parameters * 4 * 9
    if free < need:
        raise UserError(
            f"{runs_dir} has {free / 1e6:.0f} MB free and this run needs about "
            f"{need / 1e6:.0f} MB: make room, or choose another `runs_dir`"
        )


def _dated(model: str) -> Iterator[str]:
    base = f"{datetime.datetime.now():%Y%m%d-%H%M}-{model}"
    yield base
    number = 2
    while True:  # two runs within a minute
        yield f"{base}-{number}"
        number += 1


def find_run(
    run: str | os.PathLike[str] | RunFolder | None, runs_dir: Path, *, needs: Sequence[str] = ()
) -> RunFolder:
    """Finds a run.

    Args:
        run: a run, its path, or its name under `runs_dir`; None: the run that was last begun.
        runs_dir: the folder of all runs.
        needs: names of files in the run folder that must exist.

    Raises:
        UserError: there is no such run, or one of `needs` is missing.
    """
    if run is None:
        # A run that was stopped early must not hide an older one that can be used.
        found = latest(runs_dir, needs) or latest(runs_dir)
        if found is None:
            raise UserError(
                f"there is no run in {runs_dir}: train one first with `python train.py --attention`"
            )
    else:
        run = run.folder if isinstance(run, RunFolder) else run
        places = Path(run), runs_dir / run
        found = next((RunFolder(path) for path in places if (path / "run.json").is_file()), None)
        if found is None:
            for path in places:
                if path.is_dir() and path.name and (path / "split.csv").exists():
                    RunFolder(path).record()  # raises: it was stopped before it began
            raise UserError(
                f"there is no run at {run} or {runs_dir / run} (no run.json there): `run` takes a "
                f"run folder, or a name under {runs_dir}"
            )
    for name in needs:
        if not (found.folder / name).exists():
            raise UserError(
                f"{found.folder} has no {name}: its training ended before the first epoch did; "
                f"continue it with `python train.py --resume {found.folder}`"
            )
    return found


def latest(runs_dir: Path, needs: Sequence[str] = ()) -> RunFolder | None:
    """The run that was last begun among those that have the files `needs`; None: there is none."""
    return next(
        (run for run in _newest(runs_dir) if all((run.folder / name).exists() for name in needs)),
        None,
    )


def unfinished_run(runs_dir: Path) -> RunFolder | None:
    """The run that was last begun, is not finished, and is not being trained; None: there is none."""
    for run in _newest(runs_dir):
        try:
            finished = run.record().get("finished_epochs") == run.config().recipe.epochs
        except UserError:  # a damaged run must not hide the others
            continue
        if not finished and not is_locked(run.lock_file):
            return run
    return None


def _newest(runs_dir: Path) -> list[RunFolder]:
    """All runs, the one that was last begun first."""
    begun: dict[Path, datetime.datetime] = {}
    for file in runs_dir.glob("*/run.json"):
        # A damaged run must not hide the others.
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            record = json.loads(file.read_text(encoding="utf-8"))
            if "pretext" not in record:  # a pretrained network predicts no classes
                when = datetime.datetime.fromisoformat(record["begun"])
                begun[file.parent] = when.astimezone()
    return [RunFolder(folder) for folder in sorted(begun, key=begun.__getitem__, reverse=True)]


def read_history(file: Path, epochs: int | None = None) -> list[dict[str, float]]:
    """The lines of a history.csv, as numbers; empty where there is no file.

    Args:
        file: written by HistoryCSV.
        epochs: no more lines than these.

    Raises:
        UserError: a line is damaged.
    """
    if not file.exists():
        return []
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = [
                {k: float(v or "nan") for k, v in row.items()}
                for row in csv.DictReader(lines, strict=True)
            ]
        return [{**row, "epoch": int(row["epoch"])} for row in rows[:epochs]]
    except (OSError, ValueError, TypeError, KeyError, OverflowError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{file} cannot be read ({reason}): the run is damaged") from None


def columns(rows: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    """Lines of a history as one list a column, NaN where a line says nothing."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name, float("nan")) for row in rows] for name in names}
