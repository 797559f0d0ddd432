"""How epochs are ranked: for the network that is kept, for early stopping and for tuning."""

from collections.abc import Mapping

from ar3d_keras.config import Monitor


def rank(logs: Mapping[str, float], monitor: Monitor = "val_accuracy") -> tuple[float, float]:
    """A value that is larger for a better epoch.

    Args:
        logs: of an epoch, with the entries `monitor`, val_accuracy and val_loss.
        monitor: `val_accuracy` or `val_class_mean`, higher is better, equal ones by the lower
            val_loss; `val_loss`, lower is better, equal ones by val_accuracy.
    """
    if monitor == "val_loss":
        return -logs["val_loss"], logs["val_accuracy"]
    return logs[monitor], -logs["val_loss"]
