"""What the numbers of a report depend on, as short digests: to verify them later."""

import hashlib
from collections.abc import Sequence
from typing import Any

from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.metrics import Evaluation
from ar3d_keras.experiments.record import git_commit
from ar3d_keras.training import hardware
from ar3d_keras.version import __version__

# Changes whenever a number of a report could: sampling, resizing, averaging, or a metric.
PROTOCOL_VERSION = 1


def predictions_digest(evaluation: Evaluation) -> str:
    """16 hex digits over every bit of the predictions, with their videos and true classes."""
    digest = hashlib.sha256(
        repr((evaluation.paths, evaluation.class_names)).encode("utf-8", "replace")
    )
    digest.update(evaluation.labels.tobytes())
    digest.update(evaluation.probabilities.tobytes())
    return digest.hexdigest()[:16]


def code_and_versions() -> dict[str, Any]:
    """The code of this process, and the versions of what it uses, for a report."""
    versions = {"ar3d_keras": __version__, **hardware.versions()}
    return {
        "evaluated_with": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "evaluation_commit": git_commit(),
    }


def check_same_classes(what: str, names: Sequence[str], expected: Sequence[str]) -> None:
    """Checks that two lists of class names are equal.

    Args:
        what: a sentence on whose names these are, without its end.
        names: the first list.
        expected: the second list.

    Raises:
        UserError: they differ; the message names the differences.
    """
    if list(names) == list(expected):
        return
    more = [name for name in names if name not in expected]
    less = [name for name in expected if name not in names]
    parts = [f"additional: {_first(more)}"] * bool(more) + [f"missing: {_first(less)}"] * bool(less)
    raise UserError(f"{what} ({'; '.join(parts) or 'the same names in another order'})")


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (
        f" and {len(names) - 5} more" if len(names) > 5 else ""
    )
