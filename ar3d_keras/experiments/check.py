"""The data report: decodes every video once, and says what the data set consists of."""

import dataclasses
import datetime
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ar3d_keras import atomic
from ar3d_keras.console import Console
from ar3d_keras.distributed.workers import check_on
from ar3d_keras.errors import UserError
from ar3d_keras.experiments.near_duplicates import near_duplicates
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.content import NearDuplicate
from ar3d_keras.videos.dataset import open_data, with_near_duplicates
from ar3d_keras.videos.isolation import Limits
from ar3d_keras.videos.leak import find_copies
from ar3d_keras.videos.pack_index import MEND, is_pack
from ar3d_keras.videos.packs import open_pack
from ar3d_keras.videos.reader import decoding_threads
from ar3d_keras.videos.scan import Scan, scan
from ar3d_keras.videos.splits import SPLITS, Split, make_split
from ar3d_keras.videos.status import (
    OK,
    STATES,
    VideoState,
    states,
    write_skip_list,
)
from ar3d_keras.videos.summary import class_summaries, distributions, seconds_of

_VIDEO_COLUMNS = (
    *("path", "label", "group", "split", "frames", "seconds", "rate", "width", "height"),
    *("codec", "rotation", "damage", "unreadable", "near_duplicates", "state", "frames_promised"),
)
_PAIR_COLUMNS = (
    *("one", "other", "kind", "score", "shift"),
    *("one_label", "other_label", "one_split", "other_split"),
)
SKIP_LIST = "skip.csv"
_LOGGED = 10  # pairs; the CSV file and the page have all


@dataclass(frozen=True)
class DataReport:
    """What `check` found.

    Attributes:
        catalog: the videos.
        scanned: their scan, with properties and descriptors.
        pairs: the near-duplicates; those across splits first, then by score.
        split: the split that was asked for, with its leak report; None: there is none.
        states: the state of every video.
    """

    catalog: Catalog
    scanned: Scan
    pairs: tuple[NearDuplicate, ...]
    split: Split | None
    states: tuple[VideoState, ...] = ()


def check(
    data: str | os.PathLike[str],
    *,
    html: str | os.PathLike[str] | None = None,
    split_scheme: str | None = None,
    group_by: str | None = None,
    split_by: str | None = None,
    split_lists: str | os.PathLike[str] | None = None,
    fold: int | None = None,
    folds: int | None = None,
    seed: int = 0,
    run: str | None = None,
    runs_dir: str | os.PathLike[str] = "runs",
    segments: Literal["strict", "clip"] = "strict",
    skip: str | os.PathLike[str] | None = None,
    allow_outside: bool = False,
    frames: int = 16,
    decode_seconds: float = Limits.seconds,
    decode_memory: float = Limits.gigabytes,
    workers: int | None = None,
    on: str | None = None,
    reporter: Reporter | None = None,
    command: str = "check()",
) -> DataReport | None:
    """Decodes every video, finds near-duplicates, and writes the report.

    Args:
        data: a folder of class folders, a CSV, a folder with a labels.csv in it, or a pack, whose
            checksums are compared instead.
        html: a folder, for report.html, videos.csv, duplicates.csv and skip.csv; or an .html file,
            beside which NAME-videos.csv and so on are written. None: writes nothing.
        split_scheme: the split to look for leaks in; None: the data's own split column, if any.
        group_by: see `grouping.group_videos`; with `parent`, videos in folders below a class folder
            are taken too.
        split_by: see `by` of `make_split`.
        split_lists: see `make_split`, and the next three.
        fold: which fold tests.
        folds: how many there are.
        seed: of the folds.
        run: a run whose split is looked at instead.
        runs_dir: the folder of all runs.
        segments: strict refuses segments that end beyond their file or overlap one of another
            class; clip cuts them.
        skip: a CSV of videos to leave out, such as skip.csv of an earlier report.
        allow_outside: whether a CSV may name videos outside its folder.
        frames: frames of a clip; a video with fewer counts as too short.
        decode_seconds: how long a decoder may take without a sign of life, see `isolation.Limits`.
        decode_memory: gigabytes that the decoding of one file may take.
        workers: processes that decode, or Ray actors with `on`; None: one per core.
        on: where the videos are decoded, see `pack`.
        reporter: shows progress and the result; None: prints it.
        command: for the record.

    Returns:
        What was found; None for a pack.

    Raises:
        UserError: a video cannot be decoded (after the report is written), or an option or the
            data cannot be used.
    """
    data, reporter, threads = Path(data), reporter or Console(), decoding_threads(workers)
    split_options = {
        "split_by": split_by, "fold": fold, "folds": folds, "split_lists": split_lists
    }  # fmt: skip
    _check_split_options(run, split_scheme, split_options)
    check_on(on)
    if is_pack(data):
        if on:
            raise UserError(f"`on` {on}: `data` {data} is a pack, which is checked in this process")
        if html or split_scheme or run or group_by:
            raise UserError(
                f"`data` {data} is a pack, whose checksums alone are compared: give the folder of "
                "its videos for a report"
            )
        _check_pack(data, threads, reporter)
        return None
    if frames < 1:
        raise UserError(f"`frames` must be at least 1, not {frames}")
    limits = Limits(decode_seconds, decode_memory)
    files = _report_files(Path(html)) if html else None
    clip = segments == "clip"
    catalog = open_data(data, group_by, clip_segments=clip, allow_outside=allow_outside, skip=skip)
    if run is not None:
        split = _split_of_run(run, Path(runs_dir), catalog)
    elif split_scheme is not None or all(video.split for video in catalog.videos):
        scheme, by = split_scheme or "csv", split_by
        split = make_split(
            catalog, scheme, seed=seed, lists=split_lists, fold=fold, folds=folds, by=by
        )
    else:
        split = None
    with reporter.bar("checking", len(catalog), "videos") as update:
        scanned = scan(
            catalog,
            workers=workers,
            progress=update,
            descriptors=True,
            clip_segments=clip,
            limits=limits,
            on=on,
            reporter=reporter,
        )
    pairs = near_duplicates(catalog, scanned, reporter)
    if split:
        videos = {name: split.videos(name) for name in SPLITS}
        split = dataclasses.replace(split, copies=find_copies(videos, scanned.hashes))
        split = with_near_duplicates(split, pairs)
    found = tuple(states(catalog, scanned, frames))
    report = DataReport(catalog, scanned, _ordered(pairs, _assigned(split)), split, found)
    _log(scanned, catalog, reporter)
    _log_states(found, reporter)
    _log_report(report, reporter)
    if files:
        _write(report, files, command)
        reporter.log(str(files[0]))
    if scanned.unreadable:
        raise UserError(
            f"{len(scanned.unreadable)} of {len(catalog)} videos in {catalog.root} cannot be "
            "decoded (named above): replace or remove them, or leave them out with `skip`, which "
            f"takes the file {SKIP_LIST} of a report (`html`)"
        )
    return report


def _check_split_options(
    run: str | None, split_scheme: str | None, options: Mapping[str, object]
) -> None:
    given = [name for name, value in options.items() if value is not None]
    if run is not None and (split_scheme or given):
        raise UserError("`run` has its own split: leave out `split_scheme` and its options")
    if split_scheme is None and given:
        raise UserError(f"`{given[0]}` needs `split_scheme`")


def _split_of_run(name: str, runs_dir: Path, catalog: Catalog) -> Split:
    """The split of a run, for the videos of `catalog`; those that the run has not are left out."""
    from ar3d_keras.runs import find_run

    found = find_run(name, runs_dir, needs=["split.csv"])
    written = found.split(catalog.root, found.record()["split"]["scheme"])
    assigned = {
        video.key: split
        for video, split in zip(written.catalog.videos, written.assigned, strict=True)
    }
    if not any(assigned.get(video.key) for video in catalog.videos):
        raise UserError(f"`run` {name} was not trained on the videos of {catalog.root}")
    return Split(
        catalog, written.scheme, tuple(assigned.get(video.key) for video in catalog.videos)
    )


def _assigned(split: Split | None) -> dict[str, str | None]:
    if split is None:
        return {}
    videos = split.catalog.videos
    return {v.key: name for v, name in zip(videos, split.assigned, strict=True)}


def _ordered(
    pairs: Sequence[NearDuplicate], assigned: Mapping[str, str | None]
) -> tuple[NearDuplicate, ...]:
    def across(pair: NearDuplicate) -> bool:
        one, other = assigned.get(pair.one), assigned.get(pair.other)
        return one is not None and other is not None and one != other

    return tuple(sorted(pairs, key=lambda pair: (not across(pair), -pair.score)))


def _log_report(report: DataReport, reporter: Reporter) -> None:
    assigned = _assigned(report.split)
    properties = report.scanned.properties.values()
    for name, values in distributions(properties).items():
        shown = ", ".join(f"{value} ({count})" for value, count in values[:4])
        more = f", {len(values) - 4} more" if len(values) > 4 else ""
        reporter.log(f"{name}: {shown}{more}")
    pairs = report.pairs
    reporter.log(f"near-duplicates by content: {len(pairs)} pairs")
    for pair in pairs[:_LOGGED]:
        names = [
            f"{key!r}" + (f" ({assigned[key]})" if assigned.get(key) else "")
            for key in (pair.one, pair.other)
        ]
        reporter.log(f"  {pair.kind} {pair.score:.3f}: {' = '.join(names)}")
    if len(pairs) > _LOGGED:
        reporter.log(f"  and {len(pairs) - _LOGGED} more")
    if report.split:
        reporter.log(
            f"split scheme {report.split.scheme}. " + " ".join(report.split.leak.sentences())
        )


def _report_files(html: Path) -> tuple[Path, Path, Path, Path]:
    """The page, the CSV of videos, the CSV of pairs, and the list of videos to skip."""
    if html.suffix.lower() in (".html", ".htm"):
        parent, page, prefix = html.parent, html, f"{html.stem}-"
    else:
        parent, page, prefix = html, html / "report.html", ""
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"`html` {html} cannot be made: {error.strerror}") from None
    names = "videos.csv", "duplicates.csv", SKIP_LIST
    videos, pairs, skip = (parent / f"{prefix}{name}" for name in names)
    return page, videos, pairs, skip


def _write(report: DataReport, files: tuple[Path, Path, Path, Path], command: str) -> None:
    from ar3d_keras.reports import data_page

    catalog, split = report.catalog, report.split
    assigned = _assigned(split)
    duplicated = {key for pair in report.pairs for key in (pair.one, pair.other)}
    about: dict[str, Any] = {
        "data": catalog.root,
        "fingerprint": catalog.fingerprint,
        "split_scheme": split.scheme if split else "",
        "written": f"{datetime.datetime.now():%Y-%m-%d %H:%M}",
        "command": command,
    }
    leak = split.leak if split else None
    page = data_page.build(
        catalog,
        report.scanned,
        class_summaries(catalog, report.scanned, duplicated),
        report.pairs,
        report.states,
        assigned,
        leak.sentences() if leak else [],
        leak.has_leakage if leak else False,
        about,
    )
    atomic.write_text(files[0], page)
    atomic.write_csv(files[1], _VIDEO_COLUMNS, _video_rows(report, assigned))
    labels = {video.key: video.label for video in catalog.videos}
    atomic.write_csv(
        files[2],
        _PAIR_COLUMNS,
        (
            (
                *dataclasses.astuple(pair),
                *(labels[key] for key in (pair.one, pair.other)),
                *(assigned.get(key) or "" for key in (pair.one, pair.other)),
            )
            for pair in report.pairs
        ),
    )
    write_skip_list(files[3], report.states)


def _video_rows(report: DataReport, assigned: Mapping[str, str | None]) -> list[list[Any]]:
    scanned, counts = report.scanned, dict.fromkeys(report.scanned.frames, 0)
    for pair in report.pairs:
        counts[pair.one] += 1
        counts[pair.other] += 1
    rows = []
    for video, state in zip(report.catalog.videos, report.states, strict=True):
        key, p = video.key, scanned.properties.get(video.path)
        known = [p.rate, p.width, p.height, p.codec, p.rotation] if p else [None] * 5
        row = [
            *(key, video.label, video.group, assigned.get(key) or video.split),
            *(scanned.frames.get(key), seconds_of(video, scanned), *known),
            *(scanned.damaged.get(key), scanned.unreadable.get(key), counts.get(key)),
            *(state.state, state.promised),
        ]
        rows.append(["" if value is None else value for value in row])
    return rows


def _check_pack(folder: Path, workers: int, reporter: Reporter) -> None:
    pack = open_pack(folder)
    with reporter.bar("checking", len(pack.videos), "videos") as update:
        damaged = pack.verify(workers=workers, progress=update)
    for path, reason in damaged.items():
        reporter.log(f"{path!r}: {reason}")
    scanned = pack.scan(pack.catalog.videos)
    _log(scanned, pack.catalog, reporter)
    _log_states(states(pack.catalog, scanned, 1), reporter)
    if damaged:
        raise UserError(
            f"{len(damaged)} of {len(pack.videos)} videos in the pack {pack.root} are damaged "
            f"(named above): copy it again from an intact copy, or {MEND}"
        )
    pack.check_unchanged()


def _log_states(found: Sequence[VideoState], reporter: Reporter) -> None:
    """A table of how many videos are in each state, and of those that are not ok."""
    bad = sorted((s for s in found if s.state != OK), key=lambda s: STATES.index(s.state))
    for state in bad:
        promised = state.promised if state.promised is not None else "?"
        frames = f"{state.frames}/{promised}"
        reporter.log(f"{state.state:<10} {frames:>11}  {state.path!r}: {state.reason}")
    counts = Counter(state.state for state in found)
    reporter.log(
        "frames are those found and those that the header promises; "
        + ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    )


def _log(scanned: Scan, catalog: Catalog, reporter: Reporter) -> None:
    for note in catalog.notes:
        reporter.log(note)
    lengths = sorted(scanned.frames.values())
    if lengths:
        reporter.log(
            f"{len(lengths)} videos, {len(catalog.class_names)} classes; frames: shortest "
            f"{lengths[0]}, median {lengths[len(lengths) // 2]}, longest {lengths[-1]}"
        )
