"""Starting Keras and its backend, which takes seconds, without the backend's start-up lines."""

import os
import tempfile

from ar3d_keras.errors import UserError

BACKENDS = ("tensorflow", "jax", "torch")  # Keras's other backends cannot train


def start_backend() -> None:
    """Imports Keras and its backend.

    TensorFlow writes start-up lines to file descriptor 2 before any log level applies. They are
    held back, and shown only if the import fails.

    Raises:
        UserError: the backend is not installed, or cannot train.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from ar3d_keras.videos.reader import silence_cv2

    silence_cv2()
    terminal = _duplicate_stderr()
    with tempfile.TemporaryFile() as held:
        if terminal is not None:
            os.dup2(held.fileno(), 2)
        try:
            import keras
        except ModuleNotFoundError as error:
            backend = os.environ.get("KERAS_BACKEND", "tensorflow")
            raise UserError(
                f"Keras cannot start with the backend {backend!r} ({error}): install it with "
                "`pip install ar3d-keras[tensorflow]`, [jax] or [torch], or name another one in "
                "KERAS_BACKEND"
            ) from None
        except ValueError as error:  # keras.json holds a value that Keras rejects
            raise UserError(
                f"Keras cannot start ({error}): check KERAS_BACKEND and the settings in "
                "~/.keras/keras.json"
            ) from None
        except BaseException:
            held.seek(0)
            if terminal is not None:
                os.write(terminal, held.read())
            raise
        finally:
            if terminal is not None:
                os.dup2(terminal, 2)
                os.close(terminal)
    if (backend := keras.backend.backend()) not in BACKENDS:
        raise UserError(
            f"Keras runs on {backend}, which cannot train: name one of {', '.join(BACKENDS)} in "
            "KERAS_BACKEND"
        )
    # No setting in a user's keras.json changes a result: networks set their own, but losses and
    # metrics read these.
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")


def _duplicate_stderr() -> int | None:
    try:
        return os.dup(2)
    except OSError:  # standard error is closed
        return None
