"""Shared by all benchmarks: alternating measurements, medians, Markdown and JSON.

A benchmark is a script that answers one question. Its contenders take turns, so that a slow minute
of the machine affects all of them. It reports medians and ratios with the machine, the versions and
the configuration.
"""

import argparse
import contextlib
import importlib.metadata
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ar3d_keras.atomic import write_json
from ar3d_keras.training.hardware import cpu_flags, cpu_model
from ar3d_keras.videos.reader import cores


def parser(doc: str, *, repeats: int) -> argparse.ArgumentParser:
    """A parser with --repeats and --json; a benchmark adds its own options."""
    options = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--repeats", type=int, default=repeats, help="number of rounds")
    options.add_argument(
        "--json", type=Path, help="also write ratios, machine, versions and configuration"
    )
    return options


def seconds(function: Callable[[], object]) -> float:
    """The seconds that one call takes."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def take_turns(
    contenders: Mapping[str, Callable[[], float]], repeats: int
) -> dict[str, list[float]]:
    """Measures every contender once per round; every second round runs in reverse order.

    Args:
        contenders: name -> a function that measures once and returns the value. The caller has
            warmed it up.
        repeats: the number of rounds.

    Returns:
        name -> a value for each round.
    """
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(repeats):
        names = list(contenders) if turn % 2 == 0 else list(contenders)[::-1]
        for name in names:
            values[name].append(contenders[name]())
            print(f"round {turn + 1}/{repeats}: {name}: {values[name][-1]:.4g}", file=sys.stderr)
    return values


def ratio(values: Mapping[str, Sequence[float]], one: str, other: str) -> float:
    """The median over all rounds of the value of `one` divided by that of `other`."""
    pairs = zip(values[one], values[other], strict=True)
    return statistics.median(a / b for a, b in pairs)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table with text in the first column and numbers in the others."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median and the range of several rounds."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def report(
    options: argparse.Namespace,
    text: str,
    ratios: Mapping[str, float | None],
    *,
    packages: Sequence[str] = (),
    config: Mapping[str, object] | None = None,
) -> None:
    """Prints the result as Markdown, and writes the JSON file if --json is given.

    Args:
        options: the parsed options.
        text: tables and sentences.
        ratios: the results of the benchmark by name; None: not measured on this machine.
        packages: the distributions whose versions are reported.
        config: the measured configuration, besides the options.
    """
    versions = {name: _version(name) for name in packages}
    arguments = {k: v for k, v in vars(options).items() if k != "json"}
    config = {**arguments, **(config or {})}
    print("\n" + text + "\n")
    print(table(["ratio", "value"], [[k, _short(v)] for k, v in ratios.items()]) + "\n")
    installed = (f"{name} {version}" for name, version in versions.items() if version)
    print(f"{machine_line()}; {', '.join(installed)}.")
    print("Medians (and ranges) of alternating rounds; " + json.dumps(config, default=str))
    if options.json:
        content = {"ratios": ratios, "machine": machine(), "versions": versions, "config": config}
        write_json(options.json, json.loads(json.dumps(content, default=str)))


def machine() -> dict[str, object]:
    """What the numbers depend on: CPU, its flags, cores, GPU and Python."""
    return {
        "cpu": cpu_model(), "flags": cpu_flags(), "cores": cores(), "gpu": gpu(),
        "python": sys.version.split()[0],
    }  # fmt: skip


def gpu() -> str | None:
    """The name of the first NVIDIA GPU; None if there is none."""
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        names = subprocess.run(query, capture_output=True, text=True, check=True).stdout
        return names.partition("\n")[0] or None
    return None


def machine_line() -> str:
    """The machine in words."""
    found = machine()
    gpu = f"{found['gpu']}, " if found["gpu"] else ""
    cpu = f"{found['cpu']}, {found['cores']} cores ({' '.join(cpu_flags())})"
    return f"{gpu}{cpu}, Python {found['python']}"


def _short(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3g}"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
