"""Takes away what Windows and macOS lack, from this Python and the ones it starts.

Python imports a module of this name as it starts, where PYTHONPATH names this folder. What Python's
own modules need is imported first, so that only later code feels it.
"""

import builtins
import io
import multiprocessing.util  # noqa: F401
import os
import signal
import subprocess  # noqa: F401
import sys
import tempfile  # noqa: F401

MODULES = ("fcntl", "grp", "pwd", "resource", "syslog", "termios", "tty", "pty")
FUNCTIONS = (
    "chown", "fork", "forkpty", "geteuid", "getuid", "getpgid", "killpg", "mkfifo", "pipe2",
    "posix_fadvise", "posix_fallocate", "pread", "pwrite", "register_at_fork", "sched_getaffinity",
    "sched_setaffinity", "sendfile", "setsid", "statvfs", "wait3", "wait4",
)  # fmt: skip
SIGNALS = ("SIGALRM", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGXCPU", "alarm", "setitimer")

for name in MODULES:
    sys.modules[name] = None
for name in FUNCTIONS:
    if hasattr(os, name):
        delattr(os, name)
for name in SIGNALS:
    if hasattr(signal, name):
        delattr(signal, name)

_open = open


def _without_proc(file, *arguments, **options):
    mode = arguments[0] if arguments else options.get("mode", "r")
    if "b" not in mode and len(arguments) < 3 and options.get("encoding") is None:
        options["encoding"] = io.text_encoding(None, 2)  # warns about the caller
    if isinstance(file, str | os.PathLike) and os.fspath(file).startswith("/proc/"):
        raise FileNotFoundError(2, "No such file or directory", os.fspath(file))
    return _open(file, *arguments, **options)


builtins.open = io.open = _without_proc
