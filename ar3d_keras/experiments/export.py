"""Exports the network that a run kept."""

from pathlib import Path

from ar3d_keras.experiments.load import describe_run
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import Run
from ar3d_keras.serving import warmup
from ar3d_keras.serving.export import export_saved_model


def export_run(
    run: Run,
    folder: Path | None = None,
    *,
    version: int | None = None,
    reporter: Reporter | None = None,
) -> Path:
    """Exports the network that a run kept; see `export_saved_model`.

    Args:
        run: with a best.keras.
        folder: of the versions; None: the run's own.
        version: None: the highest in `folder` plus 1.
        reporter: says where the version is, and what it lacks.
    """
    reporter = reporter or Reporter()
    target = export_saved_model(
        run.best, folder or run.saved_model, describe_run(run), version=version
    )
    reporter.log(f"SavedModel  {target}")
    if not warmup.can_write():
        reporter.log(
            "It has no warm-up requests, so the server's first answers are slow: "
            "`pip install ar3d-keras[serving]`, then `ar3d export`"
        )
    return target
