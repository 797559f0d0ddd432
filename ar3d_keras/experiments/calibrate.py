"""Fits the calibration of a run on val and stores it in the run's network and record."""

import keras

from ar3d_keras import atomic
from ar3d_keras.evaluation.calibration import fit_calibration
from ar3d_keras.evaluation.metrics import Evaluation, format_interval
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import RunFolder


def calibrate_network(
    run: RunFolder,
    network: keras.Model,
    evaluation: Evaluation,
    reject_error: float | None,
    reporter: Reporter,
) -> None:
    """Fits a calibration, sets it in `network`, and writes best.keras and run.json.

    Args:
        run: whose network it is.
        network: from the run's best.keras; its weights do not change.
        evaluation: of val.
        reject_error: see `RecipeConfig`.
        reporter: logs what val could not support.

    Raises:
        UserError: there is no video, or a probability is NaN or infinite.
    """
    calibration, notes = fit_calibration(evaluation, reject_error)
    network.calibration = calibration
    with atomic.replacing(run.best) as temporary:
        network.save(temporary)
    run.update_record(calibration=calibration.as_json())
    for note in notes:
        reporter.log(note)


def log_calibration(metrics: dict, reporter: Reporter) -> None:
    """Logs calibration and rejection of a report.

    Args:
        metrics: the content of metrics.json.
        reporter: logs them.
    """
    if calibrated := metrics.get("calibrated"):
        reporter.log(
            f"      calibration error {metrics['expected_calibration_error']:.3f}, with temperature "
            f"{calibrated['temperature']:.3f} {calibrated['expected_calibration_error']:.3f}"
        )
    if rejection := metrics.get("rejection"):
        error = "no error" if rejection["error"] is None else f"error {rejection['error']:.3f}"
        reporter.log(
            f"      accepted {rejection['accepted']:.3f} "
            f"{format_interval(rejection['accepted_interval'])}, {error} of these "
            f"{format_interval(rejection['error_interval'])} (wanted {rejection['reject_error']:g})"
        )
