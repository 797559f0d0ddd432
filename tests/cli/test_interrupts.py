"""Ctrl-C at moments when Python would drop it."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, time, weakref
from ar3d_keras.cli.interrupts import deliver_interrupts

def interrupt(*_):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000): pass  # a signal's handler runs between two steps of Python

class Thing:
    def __del__(self):
        if sys.argv[1] == "finalizer": interrupt()

if sys.argv[2] == "ours": deliver_interrupts()
thing = Thing()
if sys.argv[1] == "callback":
    known = weakref.WeakValueDictionary(thing=thing)
    sys.setprofile(lambda frame, event, _: interrupt()
                   if event == "return" and frame.f_code.co_filename == weakref.__file__ else None)
if sys.argv[1] == "program": interrupt()
del thing
sys.setprofile(None)
time.sleep(3)
print("went on")
"""


def went_on(where, whose):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, where, whose], capture_output=True, text=True
    )
    return "went on" in done.stdout


@pytest.mark.parametrize("where", ["program", "finalizer", "callback"])
def test_it_arrives(where):
    assert not went_on(where, "ours")


@pytest.mark.parametrize("where", ["finalizer", "callback"])
def test_python_alone_drops_it(where):
    """Else `interrupts` is not needed any more."""
    assert went_on(where, "python's")
