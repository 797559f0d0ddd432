"""Labels that look wrong, and videos to label next."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ar3d_keras import atomic
from ar3d_keras.config import Range
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.suspects import Suspect, rank_suspects
from ar3d_keras.experiments.load import open_classifier
from ar3d_keras.experiments.setup import open_split
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.forward import predict_clips
from ar3d_keras.inference.predictor import Prediction
from ar3d_keras.inference.selection import select_batch
from ar3d_keras.models.features import FeatureNetwork
from ar3d_keras.progress import Reporter
from ar3d_keras.reports import label_page
from ar3d_keras.runs import RunFolder
from ar3d_keras.training import hardware
from ar3d_keras.videos.reader import decoding_threads
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.sources import ClipSource, UniformSampler, VideoSource
from ar3d_keras.videos.unlabelled import find_videos

SHOWN = 50  # videos on a page; the CSV has all


def write_suspects(folder: Path, runs: Sequence[RunFolder], reporter: Reporter) -> list[Suspect]:
    """Writes suspects.csv and suspects.html of a cross-validation.

    Every video is tested by the network of one fold and validates another; neither was trained on
    it. Their mean prediction is compared with the label.

    Args:
        folder: of the cross-validation.
        runs: its folds, evaluated on val and test.
        reporter: shows progress and logs the result.

    Returns:
        All videos, the most doubtful label first.
    """
    suspects = rank_suspects(
        prediction for run in runs for split in ("val", "test") for prediction in _read(run, split)
    )
    header = ["path", "label", "proposed", "label_probability", "proposed_probability", "networks"]
    atomic.write_csv(
        folder / "suspects.csv",
        header,
        (
            (s.path, s.label, s.proposed, own, other, s.networks)
            for s in suspects
            for own, other in [(f"{s.label_probability:.6f}", f"{s.proposed_probability:.6f}")]
        ),
    )
    contradicted = [suspect for suspect in suspects if suspect.is_contradicted]
    clips = _clips_of_folds(runs, {s.path for s in contradicted[:SHOWN]}, reporter)
    items = [
        label_page.Item(
            suspect.path,
            file,
            clip,
            {
                "label": suspect.label,
                "proposed": suspect.proposed,
                "probability of the label": f"{suspect.label_probability:.3f}",
                "of the proposed class": f"{suspect.proposed_probability:.3f}",
            },
        )
        for suspect in contradicted[:SHOWN]
        if suspect.path in clips
        for file, clip in [clips[suspect.path]]
    ]
    explanation = [
        f"Networks that were not trained on them contradict {len(contradicted)} of "
        f"{len(suspects)} labels.",
        "Look at each: the label may be wrong, or the video may be hard. suspects.csv has all.",
    ]
    page = label_page.build(f"Suspects of {folder.name}", explanation, items, {"folds": len(runs)})
    atomic.write_text(folder / "suspects.html", page)
    reporter.log(f"{explanation[0]} {folder / 'suspects.html'}")
    return suspects


def _read(run: RunFolder, split: str) -> Iterator[tuple[str, str, Mapping[str, float]]]:
    """Path, label and the probabilities of the top classes from a report."""
    file = run.evaluation(split) / "predictions.csv"
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines, strict=True):
                ranks = [k for k in range(1, 6) if row.get(f"top{k}")]
                yield (
                    row["path"],
                    row["label"],
                    {row[f"top{k}"]: float(row[f"top{k}_probability"]) for k in ranks},
                )
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise UserError(f"{file} cannot be read ({error}): evaluate {run.folder} again") from None


def _clips_of_folds(
    runs: Sequence[RunFolder], paths: set[str], reporter: Reporter
) -> dict[str, tuple[Path | None, np.ndarray]]:
    """The file and the center clip of each path, from the fold that tests it."""
    found: dict[str, tuple[Path | None, np.ndarray]] = {}
    for run in runs:
        record = run.record()
        split = run.split(run.data_root(None), record["split"]["scheme"])
        if not paths & {video.key for video in split.videos("test")}:
            continue
        dataset = open_split(run.config(), split, Reporter(), splits=["test"])
        source = dataset.evaluation("test")
        root = None if dataset.pack else split.catalog.root
        for index, video in enumerate(source.videos):
            if video.key in paths and (clip := source[index, 0]) is not None:
                found[video.key] = (root and root / video.path, clip[..., :3])
    return found


def next_to_label(
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    run: str | os.PathLike[str] | None = None,
    runs_dir: str | os.PathLike[str] = "runs",
    count: int = 20,
    out: str | os.PathLike[str] = "next.csv",
    seed: int = 0,
    workers: int | None = None,
    reporter: Reporter | None = None,
) -> list[Prediction]:
    """Selects the unlabeled videos whose labels would teach a network most.

    The selection prefers videos that the network is uncertain about and that differ from each other;
    see `inference.selection.select_batch`.

    Args:
        data: folders or files of unlabeled videos.
        run: the network: a run, its name, or a .keras file. Default: the run that was last begun.
        runs_dir: the folder of all runs.
        count: how many videos to select.
        out: a CSV file (rank,path,predicted,probability); a page with the same name and the suffix
            .html is written beside it.
        seed: of the selection.
        workers: decoding threads. Default: one per core.
        reporter: shows progress. Default: prints it.

    Returns:
        The predictions of the selected videos, the first one to label first.

    Raises:
        UserError: there are no such videos or run, no video can be decoded, or `count` is below 1.
    """
    Range(1).check("count", count)
    reporter = reporter or Console()
    paths = [data] if isinstance(data, str | os.PathLike) else list(data)
    catalog = find_videos(paths)
    classifier = open_classifier(run, None, Path(runs_dir))
    threads = decoding_threads(workers)
    with reporter.bar("checking", len(catalog), "videos") as update:
        scanned = scan(
            catalog,
            workers=threads,
            progress=update,
            clip_segments=True,
            fps=classifier.shape.fps,
        )
    for path, reason in scanned.unreadable.items():
        reporter.log(f"skipped: {path!r}: {reason}")
    videos = [video for video in catalog.videos if video.key in scanned.frames]
    if not videos:
        raise UserError(f"`data`: none of the {len(catalog)} videos can be decoded")
    source = VideoSource(
        catalog.root,
        videos,
        scanned.frames,
        classifier.class_names,
        classifier.shape,
        UniformSampler(),
        numbers=scanned.numbers,
    )
    selected = _select(classifier, source, count, seed, threads, reporter)
    _write_next(Path(out), selected, source, classifier)
    reporter.log(f"{len(selected)} of {len(videos)} videos to label next: {out}")
    return [prediction for _, prediction in selected]


def _select(
    classifier: Classifier,
    source: ClipSource,
    count: int,
    seed: int,
    workers: int,
    reporter: Reporter,
) -> list[tuple[int, Prediction]]:
    """Index in the source and prediction of each selected video."""
    network = FeatureNetwork(classifier.network)
    with hardware.disable_tf32():
        outputs = predict_clips(
            network, source, batch_size=classifier.batch_size, workers=workers, reporter=reporter
        )
    places = np.flatnonzero(outputs.readable)
    values = outputs.probabilities[places]
    probabilities, features = np.split(values, [network.num_classes], axis=1)
    chosen = select_batch(probabilities, features, count, seed=seed)
    return [
        (
            int(places[place]),
            Prediction(
                source.videos[places[place]].key, classifier.class_names, probabilities[place]
            ),
        )
        for place in chosen
    ]


def _write_next(
    file: Path,
    selected: Sequence[tuple[int, Prediction]],
    source: VideoSource,
    classifier: Classifier,
) -> None:
    rows, items = [], []
    for rank, (index, prediction) in enumerate(selected, start=1):
        [(name, probability)] = prediction.top(1)
        rows.append((rank, prediction.path, name, f"{probability:.6f}"))
        clip = source[index, 0] if rank <= SHOWN else None
        if clip is not None:
            facts = {"predicted": name, "probability": f"{probability:.3f}"}
            path = source.root / prediction.path
            items.append(label_page.Item(prediction.path, path, clip[..., :3], facts))
    atomic.write_csv(file, ["rank", "path", "predicted", "probability"], rows)
    explanation = [
        "Label these videos next.",
        "The network is uncertain about them, and they differ from each other.",
    ]
    about = {"network": classifier.origin}
    page = label_page.build("Videos to label next", explanation, items, about)
    atomic.write_text(file.with_suffix(".html"), page)
