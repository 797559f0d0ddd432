"""Exact resume: a run that was stopped and resumed ends with the same weights, bit for bit.

One file holds every variable of the network, including the seed generators of dropout, and of the
optimizer after the last complete epoch. Clips need no state, because they are functions of (seed,
epoch, index). Keras's BackupAndRestore restores neither seed generators nor the order of the data,
and does not write atomically.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ar3d_keras import atomic
from ar3d_keras.errors import UserError


class RunState(keras.callbacks.Callback):
    """Writes the state after every epoch.

    It must be the last callback: an epoch is complete when the others have written their files.

    Args:
        file: the .npz file, written atomically.
    """

    def __init__(self, file: str | Path) -> None:
        super().__init__()
        self.file = Path(file)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        arrays = {name: keras.ops.convert_to_numpy(v) for name, v in _variables(self.model)}
        with atomic.replacing(self.file) as temporary:
            np.savez(temporary, epochs=np.int64(epoch + 1), **arrays)


def restore(file: Path, model: keras.Model) -> int:
    """Restores the variables of a compiled model and its optimizer.

    Args:
        file: the .npz file that `RunState` wrote.
        model: the network that it belongs to; unchanged if an error is raised.

    Returns:
        The number of complete epochs; 0 without a file, that is, before the end of the first epoch.

    Raises:
        UserError: the file is damaged, or belongs to another network.
    """
    if not file.exists():
        return 0
    model.optimizer.build(model.trainable_variables)
    variables = dict(_variables(model))
    arrays, epochs = _read(file)
    if {n: a.shape for n, a in arrays.items()} != {n: tuple(v.shape) for n, v in variables.items()}:
        raise UserError(f"{file} belongs to another network: resume with the options of the run")
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return epochs


def completed_epochs(file: Path) -> int:
    """The number of complete epochs in a file that `RunState` wrote; 0 without a file.

    Raises:
        UserError: the file is damaged.
    """
    return _read(file, only_epochs=True)[1] if file.exists() else 0


def _read(file: Path, *, only_epochs: bool = False) -> tuple[dict[str, np.ndarray], int]:
    """The variables by name, and the number of complete epochs."""
    try:
        with file.open("rb") as handle, np.load(handle) as saved:
            arrays = {n: saved[n] for n in saved.files if n == "epochs" or not only_epochs}
        return arrays, int(arrays.pop("epochs"))
    except Exception as error:  # zipfile and NumPy raise a dozen types for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{file} cannot be read ({reason}): restore it, or train again under another `name`"
        ) from None


def _variables(model: keras.Model) -> Iterator[tuple[str, keras.Variable]]:
    """(name, variable) of everything that training changes."""
    for kind, variables in (("model", model.variables), ("optimizer", model.optimizer.variables)):
        for number, variable in enumerate(variables):
            yield f"{kind}.{number}", variable
