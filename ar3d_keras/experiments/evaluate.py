"""Judges a run on a split and writes its report: what evaluate.py does, and train.py at its end."""

from collections.abc import Mapping

import keras
import numpy as np

from ar3d_keras.evaluation.evaluator import evaluate
from ar3d_keras.evaluation.metrics import Evaluation, format_interval, has_informative_top5
from ar3d_keras.models.loading import load_model
from ar3d_keras.progress import Reporter
from ar3d_keras.reports import examples
from ar3d_keras.reports.explanation_sheet import Explanations
from ar3d_keras.reports.explanations import explain_videos
from ar3d_keras.reports.report import write_report
from ar3d_keras.runs import Run, columns, read_history
from ar3d_keras.videos.dataset import Dataset
from ar3d_keras.videos.sampling import protocol
from ar3d_keras.videos.sources import ClipSource


def judge(
    run: Run,
    dataset: Dataset,
    split: str,
    *,
    clips: int = 1,
    crops: int = 1,
    workers: int,
    about: Mapping[str, str],
    reporter: Reporter,
) -> dict:
    """Writes evaluation/SPLIT of a run: the best network, in float32, on a fixed grid of views.

    Args:
        run: a run with a best.keras.
        dataset: its videos.
        split: train, val or test.
        clips: windows a video.
        crops: crops a window, 1 or 3.
        workers: threads that decode.
        about: what this process is (command, backend, device), for the record.
        reporter: draws the bar and says the result.

    Returns:
        The content of metrics.json.
    """
    record = run.record()
    trained_on, fingerprint = record["data"]["fingerprint"], dataset.fingerprint
    warnings = record["split"]["leak"] + record["split"]["notes"]
    if fingerprint != trained_on:
        warnings.append(f"THE DATA CHANGED since training: {trained_on} then, {fingerprint} now.")
        reporter.log(warnings[-1])
    network = load_model(run.best)
    source = dataset.evaluation(split, clips=clips, crops=crops)
    evaluation = evaluate(
        network,
        source,
        dataset.class_names,
        batch_size=record["config"]["recipe"]["batch_size"],
        workers=workers,
        skipped=dataset.skipped(split),
        reporter=reporter,
        description=f"judging {split}",
    )
    chosen = examples.choose_examples(evaluation)
    clips_shown = _clips(source, evaluation, chosen)
    folder = run.evaluation(split)
    figures = write_report(
        folder,
        evaluation,
        title=f"{run.name} on {split}",
        about=_about(
            run, record, dataset, split, protocol(dataset.shape, clips=clips, crops=crops), network
        )
        | dict(about),
        history=columns(read_history(run.history)),
        leak=warnings,
        has_leakage=record["split"]["has_leakage"] or fingerprint != trained_on,
        example_clips=(chosen, clips_shown),
        explanations=_explanations(network, clips_shown, evaluation, chosen, reporter),
    )
    top5 = f"top-{figures['top5_k']} {figures['top5']:.3f}   " * has_informative_top5(figures)
    left_out = f", {figures['skipped']} skipped" if figures["skipped"] else ""
    reporter.log(
        f"{split:<5} top-1 {figures['top1']:.3f} {format_interval(figures['top1_interval'])}   "
        f"{top5}class mean {figures['mean_class_accuracy']:.3f}   loss {figures['loss']:.3f}   "
        f"{figures['videos']} videos{left_out}"
    )
    reporter.log(f"      {folder / 'report.html'}")
    return figures


def _about(
    run: Run, record: dict, dataset: Dataset, split: str, looked: str, network: keras.Model
) -> dict:
    """What the figures stand for: shown beside them, and kept in metrics.json."""
    return {
        "dataset": f"{dataset.split.catalog.root} ({dataset.fingerprint})"
        + (f", a pack: {dataset.pack.settings}" if dataset.pack else ""),
        "split": split,
        "split_scheme": record["split"]["scheme"],
        "protocol": looked,
        "precision": f"float32 (trained in {record['precision']})",
        "seed": record["config"]["recipe"]["seed"],
        "run": run.folder,
        "network": f"{network.name}, {network.count_params():,} parameters"
        + (f", sees optical flow ({dataset.shape.flow})" if dataset.shape.flow else ""),
        "training_command": record["command"],
        "versions": ", ".join(f"{k} {v}" for k, v in record["versions"].items()),
        "git_commit": record["git_commit"],
    }


def _clips(source: ClipSource, evaluation: Evaluation, chosen: np.ndarray) -> np.ndarray:
    """The clip that stands for each chosen video: its middle view, uint8 (n, T, H, W, C)."""
    place = {video.path: number for number, video in enumerate(source.videos)}
    views = source.clips_per_video
    return np.array([source[place[evaluation.paths[i]] * views + views // 2, 0] for i in chosen])


def _explanations(
    network: keras.Model,
    clips: np.ndarray,
    evaluation: Evaluation,
    chosen: np.ndarray,
    reporter: Reporter,
) -> Explanations | None:
    """What explains the answers to the chosen videos; without it the report is as true."""
    if not len(chosen):
        return None
    answers = evaluation.probabilities[chosen].argmax(axis=1)
    try:
        return explain_videos(network, clips, answers, evaluation.class_names)
    except Exception as error:  # whatever it is, memory that ran out included
        reason = " ".join(str(error).split())[:200]
        reporter.log(f"the report has no explanation: {type(error).__name__}: {reason}")
        return None
