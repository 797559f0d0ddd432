"""Computes the stored evaluations of a run again, and says what has changed since."""

import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras.console import Console
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.metrics import Evaluation, top_k
from ar3d_keras.experiments.evaluate import predict_split
from ar3d_keras.experiments.fingerprints import (
    PROTOCOL_VERSION,
    code_and_versions,
    predictions_digest,
)
from ar3d_keras.experiments.load import load_network
from ar3d_keras.experiments.setup import open_split
from ar3d_keras.inference.journal import weights_digest
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import RunFolder, find_run
from ar3d_keras.training import hardware
from ar3d_keras.videos.reader import decoding_threads

# Of a probability. On other hardware float32 sums come in another order, and decoders may round the
# color of a pixel in another way.
TOLERANCE = 1e-3
_FOLDER = re.compile(r"(train|val|test)(?:-(\d+)x(\d+))?(?:-(bfloat16))?")


def verify(
    run: str | os.PathLike[str] | RunFolder | None = None,
    *,
    data: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    runs_dir: str | os.PathLike[str] = "runs",
    reporter: Reporter | None = None,
) -> dict[str, dict[str, Any]]:
    """Predicts the videos of every report of a run again, and compares the predictions.

    On the same machine, with the same versions, they are equal bit for bit. Elsewhere every
    probability must agree within `TOLERANCE`.

    Args:
        run: a run, its folder, or its name under `runs_dir`; None: the run that was last begun.
        data: where the videos are now, if they were moved.
        workers: decoding threads; None: one per core.
        runs_dir: the folder of all runs.
        reporter: shows progress and logs the result; None: prints it.

    Returns:
        For each report (val, test, test-10x3): `equal` (every bit), `difference` (the largest of a
        probability), `videos`, and `changed`: what is not as it was: what -> (then, now).

    Raises:
        UserError: there is no such run or no report, its data is gone, or a report is not confirmed.
    """
    threads = decoding_threads(workers)
    found = find_run(run, Path(runs_dir), needs=["split.csv", "checkpoints/best.keras"])
    record, config = found.record(), found.config()
    root = found.data_root(Path(data) if data is not None else None)
    reporter = reporter or Console()
    reports = {
        file.parent.name: parts
        for file in sorted(found.folder.glob("evaluation/*/metrics.json"))
        if (parts := _FOLDER.fullmatch(file.parent.name))
    }
    if not reports:
        raise UserError(f"{found.folder} has no report to verify: evaluate it with `ar3d evaluate`")
    videos = found.split(root, record["split"]["scheme"])
    splits = sorted({parts[1] for parts in reports.values()})
    dataset = open_split(config, videos, reporter, splits=splits)
    network = load_network(found)
    now = {
        "data": dataset.fingerprint,
        "weights": weights_digest(network),
        "protocol version": PROTOCOL_VERSION,
        "backend": hardware.backend(),
        "device": hardware.device_name(),
        "versions": code_and_versions()["evaluated_with"],
        "code": code_and_versions()["evaluation_commit"],
    }
    results: dict[str, dict[str, Any]] = {}
    for name, parts in reports.items():
        evaluation, _ = predict_split(
            record,
            network.in_precision("bfloat16" if parts[4] else "float32"),
            dataset,
            parts[1],
            clips=int(parts[2] or 1),
            crops=int(parts[3] or 1),
            workers=threads,
            reporter=reporter,
        )
        results[name] = _compared(found.folder / "evaluation" / name, evaluation, record, now)
        _log(name, results[name], reporter)
    refused = [name for name, result in results.items() if not result["confirmed"]]
    if refused:
        raise UserError(
            f"{found.folder} is not confirmed ({', '.join(refused)}); what changed is named above"
        )
    return results


def _compared(
    folder: Path, evaluation: Evaluation, record: dict[str, Any], now: dict[str, Any]
) -> dict[str, Any]:
    """The predictions of a report against those of now."""
    stored = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    then = {
        "data": record["data"]["fingerprint"],
        "weights": stored.get("weights_digest"),
        "protocol version": stored.get("protocol_version"),
        "backend": stored.get("backend"),
        "device": stored.get("device"),
        "versions": stored.get("evaluated_with"),
        "code": stored.get("evaluation_commit"),
    }
    equal = stored.get("predictions_digest") == predictions_digest(evaluation)
    difference = _difference(folder / "predictions.csv", evaluation)
    return {
        "equal": equal,
        "difference": difference,
        "videos": len(evaluation.paths),
        # Reports of earlier versions do not say everything.
        "changed": {k: (then[k], now[k]) for k in now if then[k] is not None and then[k] != now[k]},
        "confirmed": equal or (difference is not None and difference <= TOLERANCE),
    }


def _difference(file: Path, evaluation: Evaluation) -> float | None:
    """The largest difference of a stored probability; None: other videos or other true classes."""
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        rows = list(csv.DictReader(lines))

    def written(name: str) -> str:  # as in predictions.csv
        return name.encode("utf-8", "backslashreplace").decode()

    names = list(map(written, evaluation.class_names))
    keys = [
        (written(p), names[c]) for p, c in zip(evaluation.paths, evaluation.labels, strict=True)
    ]
    if [(row["path"], row["label"]) for row in rows] != keys:
        return None
    worst = 0.0
    for row, shares in zip(rows, evaluation.probabilities, strict=True):
        for rank in range(1, top_k(shares[None], 5).shape[1] + 1):
            share = shares[names.index(row[f"top{rank}"])]
            worst = max(worst, abs(float(row[f"top{rank}_probability"]) - float(share)))
    return worst if np.isfinite(worst) else None


def _log(name: str, result: dict[str, Any], reporter: Reporter) -> None:
    videos, difference = result["videos"], result["difference"]
    if result["equal"]:
        outcome = f"{videos} predictions are equal, bit for bit"
    elif difference is None:
        outcome = "NOT CONFIRMED: the report is of other videos, or of other true classes"
    elif result["confirmed"]:
        outcome = f"{videos} predictions agree within {difference:.1g} (at most {TOLERANCE:g})"
    else:
        outcome = (
            f"NOT CONFIRMED: a probability differs by {difference:.2g} (at most {TOLERANCE:g})"
        )
    reporter.log(f"{name:<10} {outcome}")
    for what, (then, now) in result["changed"].items():
        reporter.log(f"{'':<10} {what} changed: {then} then, {now} now")
