"""Turns the errors of exporters that cannot write a file into one clear error."""

import contextlib
from collections.abc import Iterator

from ar3d_keras.errors import UserError


@contextlib.contextmanager
def writing(what: str) -> Iterator[None]:
    """Raises UserError if the block cannot write its files, for example because the disk is full.

    Args:
        what: the block writes, for the message.

    Raises:
        UserError: with the reason.
    """
    import tensorflow as tf

    try:
        yield
        return
    except OSError as error:
        reason = error.strerror or str(error)
    except (tf.errors.ResourceExhaustedError, tf.errors.OutOfRangeError) as error:
        # TensorFlow puts the reason between the name of an operation and a path, and a name.
        reason = error.message.split(";")[-1].split("[")[0].strip()
    except RuntimeError as error:
        if "iostream error" not in str(error):  # OpenVINO does not say more
            raise
        reason = "the disk is full or not writable"
    raise UserError(
        f"{what} could not be written ({reason}), and nothing of it was kept: free some space, or "
        "choose another folder with `to`"
    )
