"""Serve a web page on which people drop videos: classes over time, an overlay, corrections.

ar3d app                                        with the latest run: http://127.0.0.1:8600/
ar3d app --run NAME --window-seconds 2 --hop-seconds 1
ar3d app --server http://localhost:8501/v1/models/ar3d      with TensorFlow Serving in place of a run
ar3d app --host 0.0.0.0                         for the whole network; there is no login

Corrections go into corrections/corrections.csv, which `ar3d train --data` takes. Other uploads are
deleted when the server ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ar3d_keras.cli.backend import start_backend
from ar3d_keras.cli.options import check_run, parse


@dataclass(frozen=True, kw_only=True)
class AppOptions:
    """The network, the address and the limits."""

    run: str | None = None
    """A run folder, a name under RUNS_DIR, or a .keras file. Default: the latest run that has weights."""
    server: str | None = None
    """The REST address of a model of TensorFlow Serving, to use in place of a run."""
    runs_dir: Path = Path("runs")
    """The folder of all runs."""
    host: str = "127.0.0.1"
    """The address to listen on. The default serves this machine only."""
    port: int = 8600
    """The port to listen on; 0: a free one."""
    window_seconds: float | None = None
    """Predict each window of this many seconds. Default: the length of a clip."""
    hop_seconds: float | None = None
    """Seconds from the start of one window to the start of the next. Default: WINDOW_SECONDS."""
    corrections: Path = Path("corrections")
    """A folder for corrections.csv and the corrected videos."""
    max_megabytes: float = 500.0
    """The largest video that is taken, in 10^6 bytes."""
    max_minutes: float = 10.0
    """The longest video that is taken."""
    workers: int | None = None
    """Decoding threads. Default: one per core."""


OPTIONS = AppOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for mistakes that the user can correct."""
    options = parse(AppOptions, arguments, verb="app", text=__doc__)
    from ar3d_keras.experiments.app.serve import check_packages, listening, serve_app

    check_packages()
    with listening(options.host, options.port):  # before Keras starts
        pass
    if options.server is None:
        check_run(options.run, options.runs_dir, needs=["checkpoints/best.keras"])
        start_backend()
    serve_app(**vars(options))
