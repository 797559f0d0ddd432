"""How long do `--help` and `import ar3d_keras` take?

python -m benchmarks.startup [--repeats 7]

Each value is the time of a whole process, from its start to its end. `python -c pass` is the share
of Python itself.
"""

import statistics
import subprocess
import sys

from benchmarks import bench

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import ar3d_keras": ["-c", "import ar3d_keras"],
    "ar3d --help": ["-m", "ar3d_keras", "--help"],
    "train.py --help": ["train.py", "--help"],
    "evaluate.py --help": ["evaluate.py", "--help"],
}


def process(arguments: list[str]) -> float:
    """The seconds of one Python process."""
    command = [sys.executable, *arguments]
    return bench.seconds(lambda: subprocess.run(command, check=True, capture_output=True))


def main() -> None:
    """Prints a Markdown table."""
    options = bench.parser(__doc__, repeats=7).parse_args()
    contenders = {name: lambda run=run: process(run) for name, run in COMMANDS.items()}
    for run in contenders.values():
        run()  # afterwards the files are in the page cache
    measured = bench.take_turns(contenders, options.repeats)
    rows = [[name, bench.spread(values, 3)] for name, values in measured.items()]
    ratios = {
        "startup.help_s": statistics.median(measured["train.py --help"]),
        "startup.import_s": statistics.median(measured["import ar3d_keras"]),
    }
    text = bench.table(["command", "seconds"], rows)
    bench.report(options, text, ratios, packages=["numpy", "tyro", "typeguard"])


if __name__ == "__main__":
    main()
