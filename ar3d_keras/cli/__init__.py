"""The command line: `python -m ar3d_keras VERB`, `ar3d VERB`, train.py and evaluate.py.

One file a verb; each has a docstring with the commands that a user needs, and
`main(arguments) -> None`. Errors become exit codes here and nowhere else.
"""

import errno
import importlib
import os
import sys
from collections.abc import Sequence

from ar3d_keras.cli.interrupts import delivered_interrupts
from ar3d_keras.errors import UserError

VERBS = {
    "train": "train a network, judge it, export it",
    "evaluate": "judge a trained network on a split",
    "crossval": "train and judge every fold of a data set, and sum them up",
    "compare": "one page of several runs on the same videos: figures, table, paired tests",
    "tune": "look for good sizes and a good recipe, judged on val",
    "predict": "name the action in any video, live or on file",
    "export": "write a run's SavedModel, or its network for ONNX Runtime, OpenVINO, LiteRT",
    "check": "decode every video of a data set once and name what cannot be",
    "show-clips": "draw what the network is fed",
    "pack": "decode every video of a data set once, for fast training",
    "demo": "make the built-in motion data set",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb and returns the process's exit code.

    0: done. 2: the user can put it right; one sentence says how. 130: interrupted. A bug keeps
    its traceback.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    if arguments[0] not in VERBS:
        print(f"error: no verb {arguments[0]!r}\n{_usage()}", file=sys.stderr)
        return 2
    verb = importlib.import_module(f"ar3d_keras.cli.{arguments[0].replace('-', '_')}")
    try:
        with delivered_interrupts():
            verb.main(arguments[1:])
    except UserError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EFBIG,
            errno.EROFS,
            errno.EACCES,
            errno.ENAMETOOLONG,
        ):
            raise
        return _fail(
            f"{error.filename or 'a file'} could not be written ({error.strerror}); everything "
            "that was written before is whole: make room and try again (a training continues "
            "with --resume)"
        )
    return 0


def _fail(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return 2


def _usage() -> str:
    lines = [f"  {verb:<10} {what}" for verb, what in VERBS.items()]
    return "\n".join(["usage: ar3d VERB [options]   (ar3d VERB --help)", "", *lines])
