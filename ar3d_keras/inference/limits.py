"""Checks the options of a prediction before a network is loaded."""

from ar3d_keras.errors import UserError

SHORTEST, LONGEST = 0.01, 1e6  # seconds of a window, or from one to the next


def check_options(
    *,
    clips: int = 1,
    crops: int = 1,
    batch_size: int | None = None,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    live: bool = False,
) -> None:
    """Raises if an option of a prediction is out of range; None stands for a default.

    Args:
        clips: clips of a video or window.
        crops: crops of a clip.
        batch_size: clips a step.
        window_seconds: length of a window.
        hop_seconds: seconds from the start of one window to the start of the next.
        live: whether the video is a camera, whose windows have a default length.

    Raises:
        UserError: names the option.
    """
    for option, count in (("clips", clips), ("batch_size", batch_size)):
        if count is not None and count < 1:
            raise UserError(f"`{option}` must be at least 1, not {count}")
    if crops not in (1, 3):
        raise UserError(f"`crops` must be 1 or 3, not {crops}")
    for option, seconds in (("window_seconds", window_seconds), ("hop_seconds", hop_seconds)):
        if seconds is not None and not SHORTEST <= seconds <= LONGEST:
            raise UserError(
                f"`{option}` must be at least {SHORTEST} and at most {LONGEST:g}, not {seconds:g}"
            )
    if hop_seconds and not window_seconds and not live:
        raise UserError(
            "`hop_seconds` needs `window_seconds`: it is the time from one window to the next"
        )
