"""The command line: `python -m ar3d_keras VERB`, `ar3d VERB`, train.py and evaluate.py.

One file per verb. Each has a docstring with the commands that a user needs, a dataclass of its
options (`OPTIONS`), and `main(arguments) -> None`. Errors become exit codes here and nowhere else.
"""

import errno
import importlib
import os
import re
import signal
import sys
from collections.abc import Sequence
from types import ModuleType

import ar3d_keras
from ar3d_keras.cli.interrupts import delivered_interrupts
from ar3d_keras.cli.watched import is_watched
from ar3d_keras.errors import Terminated, UserError

VERBS = {
    "train": "train a network, evaluate it, export it",
    "evaluate": "evaluate a trained network on a split",
    "verify": "compute the evaluations of a run again and compare",
    "calibrate": "fit temperature and rejection thresholds of a finished run on val",
    "crossval": "train and evaluate every fold of a data set",
    "pretrain": "train a network on videos without labels",
    "compare": "compare runs on the same videos: table, paired tests, figures",
    "tune": "search sizes and training recipe by val accuracy",
    "predict": "predict the action in any video, from files or live",
    "app": "serve a web page that predicts the videos dropped on it",
    "next": "select the unlabeled videos to label next",
    "export": "write a SavedModel, or a file for ONNX Runtime, OpenVINO or LiteRT",
    "import": "make a CSV of labels from BORIS, Label Studio, VIA and other tools",
    "check": "decode every video of a data set and list those that fail",
    "show-clips": "draw the clips that training sees",
    "pack": "decode every video of a data set once, for fast training",
    "demo": "make the built-in motion data set",
}
# What the operating system says no to, and the user can correct.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
BROKEN = (errno.EIO, errno.ESTALE, errno.ENODEV) if hasattr(errno, "ESTALE") else (errno.EIO,)
NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb and returns the exit code of the process.

    0: done. 2: an error that the user can correct, in one line. 130: interrupted. 143: terminated
    by SIGTERM. A bug keeps its traceback.
    """
    code = _run(arguments)
    if code and is_watched():  # JAX would wait at exit for partners that are gone, and abort
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    """See `main`."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["--version"]:
        print(f"ar3d_keras {ar3d_keras.__version__}")
        return 0
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    if arguments[0] not in VERBS:
        return _fail(f"there is no verb {arguments[0]!r}: see `ar3d --help`", set())
    verb = verb_module(arguments[0])
    from ar3d_keras.cli.options import option_names

    names = option_names(verb.OPTIONS)
    try:
        with delivered_interrupts():
            verb.main(arguments[1:])
    except UserError as error:
        return _fail(str(error), names)
    except Terminated:
        _to_stderr("terminated")
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        _to_stderr("interrupted")
        return 128 + signal.SIGINT
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in (*NO_ROOM, *NO_ACCESS, *BROKEN):
            raise
        return _fail(_sentence(error), names)
    return 0


def verb_module(verb: str) -> ModuleType:
    """Imports the file of a verb."""
    name = "import_labels" if verb == "import" else verb.replace("-", "_")  # a Python keyword
    return importlib.import_module(f"ar3d_keras.cli.{name}")


def _sentence(error: OSError) -> str:
    file = error.filename or "a file"
    if error.errno in NO_ROOM:
        return (
            f"{file} could not be written ({error.strerror}); files that were written before are "
            "complete: make room and try again (`python train.py --resume` continues a training)"
        )
    if error.errno in BROKEN:
        return (
            f"{file} could not be read or written ({error.strerror}): check the disk or the mount "
            "that it is on; files that were written before are complete"
        )
    return f"{file} cannot be accessed ({error.strerror}): check its permissions and its name"


def _fail(sentence: str, names: set[str]) -> int:
    """Prints an error on standard error and returns the exit code."""
    _to_stderr("error: " + with_flags(sentence, names))
    return 2


def with_flags(sentence: str, names: set[str]) -> str:
    """Returns a sentence with the flag in place of each option that it names in backticks."""

    def flag(found: re.Match[str]) -> str:
        name = found.group(1)
        return "--" + name.replace("_", "-") if name in names else name

    return re.sub(r"`([a-z][a-z0-9_]*)`", flag, sentence)


def _to_stderr(line: str) -> None:
    # Standard error may be closed, or of an encoding that lacks a character.
    if sys.stderr is None or sys.stderr.closed:
        return
    encoding = sys.stderr.encoding or "utf-8"
    try:
        print(line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)
    except OSError:
        return


def _usage() -> str:
    lines = [f"  {verb:<10} {what}" for verb, what in VERBS.items()]
    return "\n".join(
        ["usage: ar3d VERB [options]   (ar3d VERB --help; ar3d --version)", "", *lines]
    )
