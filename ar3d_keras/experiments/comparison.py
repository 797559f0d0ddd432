"""Several results side by side: Table 1, paired tests, Figures 1 and 3, on one page."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras.atomic import write_json, write_text
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.results import Result
from ar3d_keras.evaluation.significance import difference, holm, mcnemar
from ar3d_keras.models.costs import gflops
from ar3d_keras.models.loading import load_model
from ar3d_keras.progress import Reporter
from ar3d_keras.reports import architecture, compare_page, drawing, network_blocks, plots

TIMED_BATCH = 8


@dataclass(frozen=True)
class Network:
    """What a result's network is and costs.

    Attributes:
        name: of the network, e.g. conv3d_attention.
        parameters: in all.
        gflops: of one clip, forward.
        inference_rate: clips a second, measured just now on this machine, float32.
        blocks: its drawing.
    """

    name: str
    parameters: int
    gflops: float
    inference_rate: float
    blocks: tuple[network_blocks.Block, ...]


def measure(result: Result, known: Sequence[Network] = ()) -> Network:
    """Loads the network of a result (of its first fold) and measures it.

    Args:
        result: of a run, or of folds.
        known: networks that were measured before. One that is drawn alike is as fast: measured
            again, two rows of the table would differ by the machine's mood.

    Raises:
        UserError: there is no network, or none that can be loaded.
    """
    network = load_model(result.runs[0].best)
    blocks = tuple(network_blocks.blocks(network))
    for other in known:
        if (other.name, other.blocks) == (network.name, blocks):
            return other
    return Network(
        network.name, network.count_params(), gflops(network), inference_rate(network), blocks
    )


def inference_rate(network: Any, batch: int = TIMED_BATCH, seconds: float = 1.0) -> float:
    """Clips a second of `predict_on_batch` on black clips: the median of at least three batches."""
    clips = np.zeros((batch, *network.input_shape[1:]), np.uint8)
    network.predict_on_batch(clips)  # compiles
    took: list[float] = []
    while len(took) < 3 or (sum(took) < seconds and len(took) < 100):
        begun = time.perf_counter()
        network.predict_on_batch(clips)
        took.append(time.perf_counter() - begun)
    return batch / float(np.median(took))


def differences(results: Sequence[Result]) -> list[str]:
    """Sentences on what makes the results no fair comparison; none where they are one."""
    found = []
    for what, read in (
        ("split", lambda result: result.scheme),
        ("protocol", lambda result: result.protocol),
        ("data", lambda result: result.records[0]["data"]["fingerprint"]),
    ):
        names: dict[str, list[str]] = {}
        for result in results:
            names.setdefault(read(result), []).append(result.name)
        if len(names) > 1:
            values = "; ".join(f"{', '.join(runs)}: {value}" for value, runs in names.items())
            found.append(f"They differ in {what} ({values}).")
    first = results[0]
    for other in results[1:]:
        if set(other.paths) != set(first.paths):
            shared = len(set(other.paths) & set(first.paths))
            found.append(
                f"{first.name} was evaluated on {len(first.paths)} videos, {other.name} on "
                f"{len(other.paths)}; {shared} are the same."
            )
        elif other.assignment != first.assignment and other.scheme == first.scheme:
            found.append(f"{first.name} and {other.name} were trained on different videos.")
    return found


def check_comparable(results: Sequence[Result]) -> None:
    """Refuses results that do not belong into one table.

    Raises:
        UserError: says what differs.
    """
    if found := differences(results):
        raise UserError(
            f"these results cannot be compared: {found[0].rstrip('.')}; evaluate them alike, or "
            "use `allow_different`, which the page then states"
        )


def paired(results: Sequence[Result]) -> list[dict]:
    """Compares every two results on the videos that both evaluated.

    Returns:
        One dict a pair: one, other, videos, only_one, only_other (videos that only it had
        right), p (McNemar's exact), p_holm (corrected for the number of pairs), difference
        (of top-1, -1..1), interval and interval_method (resampling groups). Pairs without a
        video in common are left out.
    """
    pairs: list[dict[str, Any]] = []
    for one, other in combinations(results, 2):
        known = dict(zip(other.paths, other.correct, strict=True))
        both = [place for place, path in enumerate(one.paths) if path in known]
        if not both:
            continue
        first = one.correct[both]
        second = np.array([known[one.paths[place]] for place in both])
        only_one, only_other, p = mcnemar(first, second)
        gap, interval, method = difference(first, second, tuple(one.groups[p] for p in both))
        pairs.append(
            {
                "one": one.name, "other": other.name, "videos": len(both),
                "only_one": only_one, "only_other": only_other, "p": p,
                "difference": gap, "interval": interval, "interval_method": method,
            }
        )  # fmt: skip
    for pair, corrected in zip(pairs, holm([pair["p"] for pair in pairs]), strict=True):
        pair["p_holm"] = corrected
    return pairs


def write_comparison(
    folder: Path, results: Sequence[Result], about: Mapping[str, object], reporter: Reporter
) -> dict:
    """Writes figure1.png, figure3.png, compare.html and, last, comparison.json into `folder`.

    Args:
        folder: made if it is missing; an older comparison in it is replaced.
        results: at least two, of one split, whose names differ.
        about: what this process is (command, backend, device), for the record.
        reporter: draws the bar.

    Returns:
        The content of comparison.json: not_comparable (what differs), table, pairs, about.
    """
    networks: list[Network] = []
    with reporter.bar("measuring", len(results), "networks") as update:
        for done, result in enumerate(results, start=1):
            networks.append(measure(result, known=networks))
            update(done)
    table = [_row(result, network) for result, network in zip(results, networks, strict=True)]
    written = {
        "not_comparable": differences(results),
        "table": table,
        "pairs": paired(results),
        **about,
    }
    drawn: dict[tuple, list[str]] = {}
    for result, network in zip(results, networks, strict=True):
        drawn.setdefault((network.name, network.blocks), []).append(result.name)
    titles = {f"{name} ({', '.join(runs)})": found for (name, found), runs in drawn.items()}
    pictures = {"figure1": architecture.draw(titles)}
    histories = {
        result.name
        + ("" if len(result.runs) == 1 else f" (mean of {len(result.runs)})"): result.history
        for result in results
    }
    if any(map(plots.drawable, histories.values())):
        single = all(len(result.runs) == 1 for result in results)
        pictures["figure3"] = plots.curves(histories, mark_best=single)
    pngs = {name: drawing.png_bytes(figure) for name, figure in pictures.items()}
    write_text(folder / "compare.html", compare_page.build(results, written, pngs))
    for name, figure in pictures.items():
        drawing.save(figure, folder / f"{name}.png")
    write_json(folder / "comparison.json", written)
    return written


def _row(result: Result, network: Network) -> dict:
    record = result.records[0]
    return {
        "name": result.name,
        "network": network.name,
        "parameters": network.parameters,
        "gflops": network.gflops,
        "training_clips_per_s": result.training_rate,
        "inference_clips_per_s": network.inference_rate,
        "top1": result.top1,
        "top1_interval": result.interval[0],
        "interval_method": result.interval[1],
        "top5": result.top5,
        "top5_k": result.top5_k,
        "num_classes": result.num_classes,
        "loss": result.loss,
        "videos": len(result.paths),
        "skipped": result.skipped,
        "folds": len(result.runs),
        "split": result.split,
        "split_scheme": result.scheme,
        "has_leakage": any(record["split"]["has_leakage"] for record in result.records),
        "dataset": result.metrics[0]["dataset"],
        "protocol": result.protocol,
        "trained_in": record["precision"],
        "trained_on": f"{record['backend']}, {record['device']}",
        "epochs": record["config"]["recipe"]["epochs"],
        "seed": record["config"]["recipe"]["seed"],
        "command": record["command"],
    }
