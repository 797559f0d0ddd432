"""What prediction may be asked for: refused before any network is loaded."""

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
    """Refuses numbers that cannot be meant; None stands for a default.

    Args:
        clips: a video or window.
        crops: a clip.
        batch_size: clips a step.
        window_seconds: of a window.
        hop_seconds: from one to the next.
        live: whether it is of a camera, whose windows have a length of their own.

    Raises:
        UserError: says which.
    """
    for flag, count in (("clips", clips), ("batch-size", batch_size)):
        if count is not None and count < 1:
            raise UserError(f"--{flag} {count} must be at least 1")
    if crops not in (1, 3):
        raise UserError(f"--crops {crops} must be 1 or 3")
    for flag, seconds in (("window", window_seconds), ("hop", hop_seconds)):
        if seconds is not None and not SHORTEST <= seconds <= LONGEST:
            raise UserError(
                f"--{flag}-seconds {seconds:g} must be at least {SHORTEST}, and at most {LONGEST:g}"
            )
    if hop_seconds and not window_seconds and not live:
        raise UserError("--hop-seconds needs --window-seconds: from one window to the next")
