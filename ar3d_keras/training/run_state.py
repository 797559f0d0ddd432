"""Exact resume: a run that was killed and continued ends as one that was not, bit for bit.

One file holds every variable of the network (the dropout's seed generators among them) and of
the optimizer after the last whole epoch. Clips need no state: they are functions of (seed,
epoch, index). Keras's BackupAndRestore restores neither seed generators nor data order, and
its write is not atomic.
"""

import zipfile
from pathlib import Path

import keras
import numpy as np

from ar3d_keras import atomic
from ar3d_keras.errors import UserError


class RunState(keras.callbacks.Callback):
    """Writes the state after every epoch; put it last, after all that writes about the epoch.

    Args:
        file: the .npz to write, whole or not at all.
    """

    def __init__(self, file: str | Path):
        super().__init__()
        self.file = Path(file)

    def on_epoch_end(self, epoch, logs=None):
        arrays = {name: keras.ops.convert_to_numpy(v) for name, v in _variables(self.model)}
        with atomic.replacing(self.file) as temporary:
            np.savez(temporary, epochs=np.int64(epoch + 1), **arrays)


def restore(file: Path, model: keras.Model) -> int:
    """Puts a compiled model back to where it was, and returns the number of whole epochs.

    Returns 0, and changes nothing, where there is no file: no epoch had ended.

    Raises:
        UserError: the file is damaged or of another network.
    """
    if not file.exists():
        return 0
    model.optimizer.build(model.trainable_variables)
    variables = dict(_variables(model))
    try:
        with file.open("rb") as handle, np.load(handle) as saved:
            arrays = {name: saved[name] for name in saved.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{file} is damaged ({error}): train again under another `name`") from None
    epochs = int(arrays.pop("epochs"))
    if {n: a.shape for n, a in arrays.items()} != {n: tuple(v.shape) for n, v in variables.items()}:
        raise UserError(f"{file} holds another network: resume with the options of the run")
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return epochs


def _variables(model: keras.Model):
    """(name, variable) of everything that training changes."""
    for kind, variables in (("model", model.variables), ("optimizer", model.optimizer.variables)):
        for number, variable in enumerate(variables):
            yield f"{kind}.{number}", variable
