"""Commands of this project in processes that can be killed, without the seconds of an import each.

The processes are forked from a server that has imported TensorFlow and computed nothing.
"""

import contextlib
import errno
import multiprocessing
import os
import resource
import sys
import time

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["forked_imports"])  # tests/faults/forked_imports.py


def start(*arguments, log, limit=None, flushes=None):
    """Starts a command; its output is appended to the file `log`.

    Args:
        limit: bytes beyond which no file can grow; None: none.
        flushes: how many flushes to the disk succeed; None: all.
    """
    given = [str(a) for a in arguments], str(log), limit, flushes
    process = _CONTEXT.Process(target=_main, args=given)
    process.start()
    return process


def run(*arguments, log):
    """Runs a command and returns its exit code."""
    process = start(*arguments, log=log)
    process.join()
    return process.exitcode


def run_killed(*arguments, log, when, limit=600.0):
    """Runs a command and kills it with SIGKILL as soon as `when()`; returns whether it was killed."""
    process, begun = start(*arguments, log=log), time.monotonic()
    while process.is_alive():
        assert time.monotonic() - begun < limit
        if when():
            process.kill()
            process.join()
            return process.exitcode == -9
        time.sleep(0.002)
    process.join()
    assert process.exitcode == 0, log.read_text()
    return False


def _main(arguments, log, limit, flushes):
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1), os.dup2(file, 2)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
    import forked_imports

    if limit is not None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    if flushes is not None:
        _fail_after(flushes)
    code = 1
    with contextlib.suppress(BaseException):
        code = forked_imports.main(arguments)
    sys.stdout.flush()
    os._exit(code)


def _fail_after(flushes):
    fsync, left = os.fsync, [flushes]

    def failing(descriptor):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    os.fsync = failing
