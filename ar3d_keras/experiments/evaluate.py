"""Evaluates a run on a split and writes its report: evaluate.py, and the end of train.py."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from ar3d_keras.config import Range, check_choice
from ar3d_keras.console import Console
from ar3d_keras.devices import number_of, using
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.calibration import check_reject_error
from ar3d_keras.evaluation.evaluator import evaluate
from ar3d_keras.evaluation.journal import count_evaluations, note_evaluation, split_digest
from ar3d_keras.evaluation.metrics import Evaluation, format_interval, has_informative_top5
from ar3d_keras.experiments.calibrate import calibrate_network, log_calibration
from ar3d_keras.experiments.fingerprints import (
    PROTOCOL_VERSION,
    check_same_classes,
    code_and_versions,
    predictions_digest,
)
from ar3d_keras.experiments.load import load_network
from ar3d_keras.experiments.setup import open_split
from ar3d_keras.experiments.tuning.results import count_trials
from ar3d_keras.inference.classifier import InferencePrecision
from ar3d_keras.inference.journal import weights_digest
from ar3d_keras.models.classifier import VideoClassifier
from ar3d_keras.progress import Reporter
from ar3d_keras.reports import examples
from ar3d_keras.reports.explanation_sheet import Explanations
from ar3d_keras.reports.explanations import explain_videos
from ar3d_keras.reports.report import write_report
from ar3d_keras.runs import RunFolder, columns, find_run, read_history
from ar3d_keras.training import hardware
from ar3d_keras.videos.dataset import Dataset
from ar3d_keras.videos.reader import decoding_threads
from ar3d_keras.videos.sampling import protocol
from ar3d_keras.videos.sources import ClipSource
from ar3d_keras.videos.splits import SPLITS


def evaluate_split(
    run: str | os.PathLike[str] | RunFolder | None,
    split: str = "test",
    *,
    clips: int = 1,
    crops: int = 1,
    precision: InferencePrecision = "float32",
    data: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    devices: int | Literal["all"] = 1,
    runs_dir: str | os.PathLike[str] = "runs",
    reporter: Reporter | None = None,
    command: str = "run.evaluate()",
) -> dict[str, Any]:
    """Opens a run's data and evaluates its network on a split; see `evaluate_run`.

    Args:
        run: a run folder, or a name under `runs_dir`; None: the run that was last begun.
        split: train, val or test.
        clips: clips per video, evenly spread; their probabilities are averaged.
        crops: crops per clip: 1 (center) or 3 (both ends of the longer side too).
        precision: what the network computes in. The report of bfloat16 has a folder of its own.
        data: where the videos are now, if they were moved.
        workers: decoding threads; None: one per core.
        devices: devices that predict, a number or all; the last bits depend on it.
        runs_dir: the folder of all runs.
        reporter: shows progress; None: prints it.
        command: for the record.

    Returns:
        The content of metrics.json.

    Raises:
        UserError: there is no such run or split, the run has no weights yet, or its data is gone.
    """
    check_choice("precision", precision, InferencePrecision)
    if split not in SPLITS:
        raise UserError(f"`split` {split!r} must be one of {', '.join(SPLITS)}")
    Range(1).check("clips", clips)
    if crops not in (1, 3):
        raise UserError(f"`crops` must be 1 or 3, not {crops}")
    number = number_of(devices)
    threads = decoding_threads(workers)
    found = find_run(run, Path(runs_dir), needs=["split.csv", "checkpoints/best.keras"])
    record, config = found.record(), found.config()
    root = found.data_root(Path(data) if data is not None else None)
    videos = found.split(root, record["split"]["scheme"])
    if not videos.sizes[split]:
        raise UserError(f"{found.folder} has no {split} videos: evaluate another `split`")
    reporter = reporter or Console()
    reporter.log_to(found.log_file)
    dataset = open_split(config, videos, reporter, splits=[split])
    metrics = evaluate_run(
        found,
        dataset,
        split,
        clips=clips,
        crops=crops,
        precision=precision,
        workers=threads,
        devices=number,
        command=command,
        reporter=reporter,
    )
    for sentence in record["split"]["leak"]:
        reporter.log(sentence)
    return metrics


def calibrate_run(
    run: str | os.PathLike[str] | RunFolder | None,
    reject_error: float | None = None,
    *,
    data: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    runs_dir: str | os.PathLike[str] = "runs",
    reporter: Reporter | None = None,
    command: str = "run.calibrate()",
) -> dict[str, Any]:
    """Fits the calibration of a finished run on val and writes its reports on val and test again.

    Args:
        run: as for `evaluate_split`.
        reject_error: the share of wrong predictions among the accepted val videos that is allowed,
            between 0 and 1; None: accept everything.
        data: as for `evaluate_split`.
        workers: as for `evaluate_split`.
        runs_dir: as for `evaluate_split`.
        reporter: as for `evaluate_split`.
        command: as for `evaluate_split`.

    Returns:
        The content of metrics.json for test.

    Raises:
        UserError: there is no such run, it has no weights yet, its data is gone, or the error is out
            of range or too small for the val split.
    """
    threads = decoding_threads(workers)
    found = find_run(run, Path(runs_dir), needs=["split.csv", "checkpoints/best.keras"])
    record, config = found.record(), found.config()
    if not record["split"]["sizes"]["val"]:
        raise UserError(
            f"{found.folder} has no val videos to calibrate on: train with `val_fold`, or with val "
            "videos"
        )
    check_reject_error(reject_error, record["split"]["sizes"]["val"])
    root = found.data_root(Path(data) if data is not None else None)
    reporter = reporter or Console()
    reporter.log_to(found.log_file)
    videos = found.split(root, record["split"]["scheme"])
    dataset = open_split(config, videos, reporter, splits=["val", "test"])
    metrics: dict[str, Any] = {}
    for split in ("val", "test"):
        metrics = evaluate_run(
            found,
            dataset,
            split,
            workers=threads,
            command=command,
            reporter=reporter,
            calibrate=split == "val",
            reject_error=reject_error,
        )
    reporter.log(f"`ar3d export --run {found.folder}` writes a SavedModel with this calibration")
    return metrics


def evaluate_run(
    run: RunFolder,
    dataset: Dataset,
    split: str,
    *,
    clips: int = 1,
    crops: int = 1,
    precision: InferencePrecision = "float32",
    workers: int,
    devices: int = 1,
    command: str,
    reporter: Reporter,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    calibrate: bool = False,
    reject_error: float | None = None,
    network: VideoClassifier | None = None,
) -> dict[str, Any]:
    """Evaluates the network that a run kept and writes its report.

    Args:
        run: a run with a best.keras.
        dataset: its videos, scanned.
        split: train, val or test.
        clips: clips per video.
        crops: crops per clip, 1 or 3.
        precision: what the network computes in. Explanations are of float32 in any case.
        workers: decoding threads.
        devices: devices that predict.
        command: for the record.
        reporter: shows progress and logs the result.
        callbacks: those with a method `on_report(split, metrics, folder)` receive the report.
        calibrate: whether a calibration is fitted on this split, which should be val, and stored in
            the run; else the report has that of the run.
        reject_error: see `RecipeConfig`; only with `calibrate`.
        network: that of the run, in float32, if it is loaded already.

    Returns:
        The content of metrics.json.
    """
    record = run.record()
    trained_on, fingerprint = record["data"]["fingerprint"], dataset.fingerprint
    warnings = record["split"]["leak"] + record["split"]["notes"]
    if fingerprint != trained_on:
        warnings.append(f"THE DATA CHANGED since training: {trained_on} then, {fingerprint} now.")
        reporter.log(warnings[-1])
    network = load_network(run) if network is None else network
    with using(devices):
        evaluation, source = predict_split(
            record,
            (network if devices == 1 else load_network(run)).in_precision(precision),
            dataset,
            split,
            clips=clips,
            crops=crops,
            workers=workers,
            reporter=reporter,
        )
        environment = hardware.environment_info()
    with hardware.disable_tf32():
        chosen = examples.choose_examples(evaluation)
        clips_shown = _clips(source, evaluation, chosen)
        explanations = _explanations(network, clips_shown, evaluation, chosen, reporter)
    if calibrate:
        calibrate_network(run, network, evaluation, reject_error, reporter)
    folder = run.evaluation(split, clips=clips, crops=crops, precision=precision)
    # The journal of evaluations counts another precision as another protocol.
    sampling = protocol(dataset.shape, clips=clips, crops=crops, precision=precision)
    digests = {
        "weights_digest": weights_digest(network),
        "predictions_digest": predictions_digest(evaluation),
    }
    looks = _note(run, record, dataset, split, sampling, digests["weights_digest"], reporter)
    metrics = write_report(
        folder,
        evaluation,
        title=f"{run.name} on {split}" + (f", {precision}" if precision != "float32" else ""),
        about=_about(run, record, dataset, split, sampling, network, precision)
        | {"command": command, **environment, **looks, **digests}
        | {"protocol_version": PROTOCOL_VERSION, **code_and_versions()},
        history=columns(read_history(run.history)),
        monitor=record["config"]["recipe"].get("monitor", "val_accuracy"),
        leak=warnings,
        has_leakage=record["split"]["has_leakage"] or fingerprint != trained_on,
        example_clips=(chosen, clips_shown),
        explanations=explanations,
        calibration=network.calibration,
    )
    for callback in callbacks:
        if hasattr(callback, "on_report"):
            callback.on_report(split, metrics, folder)
    if precision != "float32":
        reporter.log(f"computed in {precision}:")
    _log_metrics(split, metrics, reporter)
    log_calibration(metrics, reporter)
    reporter.log(f"      {folder / 'report.html'}")
    return metrics


def predict_split(
    record: dict[str, Any],
    network: keras.Model,
    dataset: Dataset,
    split: str,
    *,
    clips: int,
    crops: int,
    workers: int,
    reporter: Reporter,
) -> tuple[Evaluation, ClipSource]:
    """The predictions of a run's network for a split, and the clips that they were made from.

    Args:
        record: of the run.
        network: of the run.
        dataset: as for `evaluate_run`, like the arguments below.
        split: train, val or test.
        clips: clips per video.
        crops: crops per clip, 1 or 3.
        workers: decoding threads.
        reporter: shows progress.

    Raises:
        UserError: the data has other classes than the run.
    """
    check_same_classes(
        f"the data at {dataset.split.catalog.root} has other classes than the run: evaluate the run "
        "on its own data, or train on this",
        dataset.class_names,
        record["class_names"],
    )
    source = dataset.evaluation(split, clips=clips, crops=crops)
    with hardware.disable_tf32():
        evaluation = evaluate(
            network,
            source,
            dataset.class_names,
            batch_size=record["config"]["recipe"]["batch_size"],
            workers=workers,
            skipped=dataset.skipped(split),
            reporter=reporter,
            description=f"evaluating {split}",
        )
    return evaluation, source


def _note(
    run: RunFolder,
    record: dict[str, Any],
    dataset: Dataset,
    split: str,
    sampling: str,
    weights: str,
    reporter: Reporter,
) -> dict[str, str]:
    """Adds the evaluation to the journal; returns the report's entries about choices."""
    where = {"data": dataset.fingerprint, "split_digest": split_digest(dataset.split)}
    try:
        note_evaluation(run, **where, split=split, protocol=sampling, weights=weights)
        test = count_evaluations(run, **where, split="test")
        val = count_evaluations(run, **where, split="val")
    except OSError as error:
        reporter.log(f"the evaluation is not counted: {error}")
        return {}
    recipe, epochs = record["config"]["recipe"], len(read_history(run.history))
    chosen = recipe.get("keep") == "best" or recipe.get("early_stop")
    searched = count_trials(run.folder.parent, dataset.fingerprint)
    return {
        "chosen_on_val": f"one of {epochs} epochs of this run" if chosen else "no epoch",
        "configurations_on_val": f"{val['networks']} trained networks, {searched} trials of searches",
        "test_opened": f"evaluations: {test['evaluations']}, networks: {test['networks']}",
    }


def _log_metrics(split: str, metrics: dict[str, Any], reporter: Reporter) -> None:
    top5 = f"top-{metrics['top5_k']} {metrics['top5']:.3f}   "
    skipped = f", {metrics['skipped']} skipped" if metrics["skipped"] else ""
    reporter.log(
        f"{split:<5} top-1 {metrics['top1']:.3f} {format_interval(metrics['top1_interval'])}   "
        f"{top5 if has_informative_top5(metrics) else ''}"
        f"class mean {metrics['mean_class_accuracy']:.3f}   loss {metrics['loss']:.3f}   "
        f"{metrics['videos']} videos{skipped}"
    )


def _about(
    run: RunFolder,
    record: dict,
    dataset: Dataset,
    split: str,
    sampling: str,
    network: keras.Model,
    precision: str,
) -> dict[str, Any]:
    """Where the metrics come from: shown beside them, and kept in metrics.json."""
    return {
        "dataset": f"{dataset.split.catalog.root} ({dataset.fingerprint})"
        + (f", a pack: {dataset.pack.settings}" if dataset.pack else ""),
        "split": split,
        "split_scheme": record["split"]["scheme"],
        "protocol": sampling,
        "precision": f"{precision} (trained in {record['precision']})",
        "seed": record["config"]["recipe"]["seed"],
        "run": run.folder,
        "network": f"{network.name}, {network.count_params():,} parameters"
        + (f", sees optical flow ({dataset.shape.flow})" if dataset.shape.flow else ""),
        "training_command": record["command"],
        "versions": ", ".join(f"{k} {v}" for k, v in record["versions"].items()),
        "git_commit": record["git_commit"],
    }


def _clips(source: ClipSource, evaluation: Evaluation, chosen: np.ndarray) -> np.ndarray:
    """The middle clip of each chosen video: uint8 (n, T, H, W, C)."""
    place = {video.key: number for number, video in enumerate(source.videos)}
    clips = source.clips_per_video
    return np.array([source[place[evaluation.paths[i]] * clips + clips // 2, 0] for i in chosen])


def _explanations(
    network: keras.Model,
    clips: np.ndarray,
    evaluation: Evaluation,
    chosen: np.ndarray,
    reporter: Reporter,
) -> Explanations | None:
    """Explains the predictions of the chosen videos; a report is valid without it."""
    if not len(chosen):
        return None
    predicted = evaluation.probabilities[chosen].argmax(axis=1)
    try:
        return explain_videos(network, clips, predicted, evaluation.class_names)
    except Exception as error:  # out of memory, for example
        reason = " ".join(str(error).split())[:200]
        reporter.log(f"the report has no explanation: {type(error).__name__}: {reason}")
        return None
