"""A learning curve of data: one cross-validation for each share of the training videos."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ar3d_keras.atomic import write_json
from ar3d_keras.config import Preset, Range, TrainConfig
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.data_curve import data_curve as fit
from ar3d_keras.evaluation.results import read_result
from ar3d_keras.experiments import setup
from ar3d_keras.experiments.configure import configure
from ar3d_keras.experiments.crossval import crossval, fold_configs, with_folds
from ar3d_keras.progress import Reporter
from ar3d_keras.reports import drawing
from ar3d_keras.reports.data_curve import data_curve as draw
from ar3d_keras.runs import RunFolder, check_plain_name


def data_curve(
    shares: Sequence[float],
    config: TrainConfig | str | os.PathLike[str] | None = None,
    *,
    preset: Preset | None = None,
    name: str = "shares",
    runs_dir: str | os.PathLike[str] = "runs",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint_minutes: float = 10.0,
    reporter: Reporter | None = None,
    command: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Cross-validates with parts of the training videos, to estimate what more videos would bring.

    The cross-validations are `runs_dir`/`name`/share-0.25 and so on; the same call continues a
    stopped one. Writes data_curve.json and data_curve.png.

    Args:
        shares: of the training videos of each fold, above 0 and at most 1. Shares are nested, drawn
            by `seed`, and made of whole groups.
        config: as for `train`.
        preset: as for `train`.
        name: of the folder.
        runs_dir: the folder of all runs.
        callbacks: as for `train`; used for every fold.
        checkpoint_minutes: as for `train`.
        reporter: receives progress and log lines. Default: prints them.
        command: the command to record.
        options: as for `crossval`.

    Returns:
        The content of data_curve.json: the fields of `evaluation.data_curve.DataCurve`, and the
        shares.

    Raises:
        UserError: as `crossval`; a share is out of range, occurs twice, or leaves a class without
            training videos.
        KeyboardInterrupt: the same call continues.
    """
    reporter = reporter or Console()
    if "train_share" in options:
        raise UserError("`train_share` is one share: give several as `shares`")
    configured = with_folds(configure(config, preset=preset, reporter=reporter, **options))
    check_plain_name(name)
    Range(0).check("checkpoint_minutes", checkpoint_minutes)
    shares = _checked(shares)
    catalog = setup.open_catalog(configured, reporter)
    parts = {
        share: dataclasses.replace(
            configured, data=dataclasses.replace(configured.data, train_share=share)
        )
        for share in shares
    }
    sizes: dict[float, float] = {}
    for share, part in parts.items():
        try:
            folds = fold_configs(part, catalog).values()
        except UserError as error:
            raise UserError(f"`shares` {share:g}: {error}") from None
        trained = [setup.split_videos(fold, catalog).sizes["train"] for fold in folds]
        sizes[share] = sum(trained) / len(trained)
    folder = Path(runs_dir) / name
    command = command or f"ar3d_keras.data_curve({list(shares)}, name={name!r})"
    results = []
    for share, part in parts.items():
        reporter.log(f"{name}: share {share:g}, {sizes[share]:.0f} training videos a fold")
        inside = f"share-{share:g}"
        summary = crossval(
            part,
            name=inside,
            runs_dir=folder,
            callbacks=callbacks,
            checkpoint_minutes=checkpoint_minutes,
            reporter=reporter.fresh(),
            command=command,
        )
        runs = [RunFolder(folder / inside / fold["run"]) for fold in summary["folds"]]
        results.append(read_result(inside, runs, "test"))
    order = sorted(results[0].paths)
    correct = np.stack(
        [[dict(zip(r.paths, r.correct, strict=True))[p] for p in order] for r in results]
    ).astype(bool)
    groups = dict(zip(results[0].paths, results[0].groups, strict=True))
    curve = fit(list(sizes.values()), correct, [groups[path] for path in order])
    written = {"shares": list(shares), **dataclasses.asdict(curve), "command": command}
    drawing.save(draw(curve, f"{configured.model.full_name} · {name}"), folder / "data_curve.png")
    write_json(folder / "data_curve.json", written)
    reporter.log(curve.sentence)
    return written


def _checked(shares: Sequence[float]) -> tuple[float, ...]:
    """The shares, rising."""
    if not shares or any(not 0 < share <= 1 for share in shares):
        raise UserError(
            f"`shares` must be above 0 and at most 1, not {' '.join(f'{s:g}' for s in shares)}"
        )
    if len(set(shares)) < len(shares):
        raise UserError("`shares` has a share twice: give each once")
    return tuple(sorted(shares))
