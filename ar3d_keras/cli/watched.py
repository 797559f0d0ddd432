"""A command that runs in a child process, because JAX aborts a process whose partner is gone."""

import os
import signal
import subprocess
import sys
import threading
from types import FrameType

from ar3d_keras.errors import Terminated, UserError
from ar3d_keras.hosts import ENDED

MARK = "AR3D_WATCHED"  # set in the child


def is_watched() -> bool:
    """Whether this process is the child."""
    return MARK in os.environ


def watch() -> None:
    """Runs this process's command line in a child and ends as that does.

    Raises:
        UserError: the child was aborted or killed.
        SystemExit: the child's exit code, if it is not 0.
    """
    child = subprocess.Popen(
        [sys.executable, *sys.orig_argv[1:]], env={**os.environ, MARK: str(os.getpid())}
    )

    def forward(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    # Ctrl-C reaches the child too: it is in the terminal's group of processes.
    for number, handler in ((signal.SIGTERM, forward), (signal.SIGINT, signal.SIG_IGN)):
        if threading.current_thread() is threading.main_thread():
            signal.signal(number, handler)
    code = child.wait()
    if code == 128 + signal.SIGTERM:
        raise Terminated
    if code == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    if code < 0:
        raise UserError(ENDED)
    if code:
        raise SystemExit(code)
