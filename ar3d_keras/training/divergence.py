"""The error of a training whose numbers became NaN or infinite."""

import keras

from ar3d_keras.errors import UserError


def diverged(what: str, model: keras.Model, kept: str = "") -> UserError:
    """Returns the error: what happened, the learning rate, and what is left.

    Args:
        what: what became NaN or infinite, and where.
        model: the compiled model.
        kept: the checkpoint that is left.
    """
    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    return UserError(
        f"{what}, at learning rate {rate:.3g}{kept and '; ' + kept}: lower `learning_rate`, or train "
        "with `precision` float32; no file was changed after that"
    )
