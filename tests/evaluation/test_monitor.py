import pytest

from ar3d_keras.evaluation.monitor import rank

ROWS = [
    {"val_accuracy": 0.9, "val_class_mean": 0.5, "val_loss": 1.0},
    {"val_accuracy": 0.8, "val_class_mean": 0.7, "val_loss": 0.9},
    {"val_accuracy": 0.9, "val_class_mean": 0.6, "val_loss": 0.8},
    {"val_accuracy": 0.7, "val_class_mean": 0.7, "val_loss": 0.5},
    {"val_accuracy": 0.6, "val_class_mean": 0.4, "val_loss": 0.5},
]


@pytest.mark.parametrize(
    ("monitor", "best"), [("val_accuracy", 2), ("val_class_mean", 3), ("val_loss", 3)]
)
def test_the_best_epoch(monitor, best):
    ranks = [rank(row, monitor) for row in ROWS]
    assert ranks.index(max(ranks)) == best


def test_the_default_needs_no_class_mean():
    assert rank({"val_accuracy": 0.5, "val_loss": 2.0}) == (0.5, -2.0)
