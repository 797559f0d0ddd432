"""Ctrl-C at moments when Python would drop it, and SIGTERM."""

import os
import signal
import subprocess
import sys

import pytest

from ar3d_keras.cli import demo, main

PROGRAM = """
import contextlib, gc, os, signal, sys, time, weakref
from ar3d_keras.cli.interrupts import delivered_interrupts

# A shell that starts a job in the background has it ignore Ctrl-C, and so its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

def interrupt(*_):
    gc.callbacks.clear()
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000): pass  # a signal's handler runs between two steps of Python

class Thing:
    def __del__(self):
        if sys.argv[1] == "finalizer": interrupt()

with delivered_interrupts() if sys.argv[2] == "ours" else contextlib.nullcontext():
    thing = Thing()
    if sys.argv[1] == "callback": reference = weakref.ref(thing, interrupt)
    if sys.argv[1] == "collector": gc.callbacks.append(interrupt)
    if sys.argv[1] == "program": interrupt()
    del thing
    gc.collect()
    time.sleep(1)
    print("went on")
"""


def went_on(where, whose):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, where, whose], capture_output=True, text=True
    )
    return "went on" in done.stdout


@pytest.mark.parametrize("where", ["program", "finalizer", "callback", "collector"])
def test_it_arrives(where):
    assert not went_on(where, "ours")


@pytest.mark.parametrize("where", ["finalizer", "callback", "collector"])
def test_python_alone_drops_it(where):
    """Else `interrupts` is not needed any more."""
    assert went_on(where, "python's")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_exit_code_names_the_signal(number, code, monkeypatch, capsys):
    monkeypatch.setattr(demo, "main", lambda _: os.kill(os.getpid(), number))
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["demo"]) == code
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
