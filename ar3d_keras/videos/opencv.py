"""Importing OpenCV: quiet, single-threaded, and with a helpful error."""

import functools
import os

from ar3d_keras.errors import UserError


def silence_cv2() -> None:
    """Keeps OpenCV and FFmpeg from writing to the terminal; call it before OpenCV is imported.

    Their complaints about damaged streams would break the progress bar. What cannot be decoded is
    reported by name instead.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")


@functools.cache
def load_cv2():
    """Imports OpenCV, quiet and with one thread a call: the pipeline runs calls in parallel.

    Raises:
        UserError: OpenCV is installed but a system library that it needs is not.
    """
    silence_cv2()
    try:
        import cv2
    except ImportError as error:
        if "cannot open shared object file" in str(error):
            raise UserError(
                f"OpenCV cannot load ({error}): run `apt-get install -y libgl1`, or "
                "`pip uninstall opencv-python && pip install opencv-python-headless`"
            ) from None
        raise
    cv2.setNumThreads(1)
    return cv2
