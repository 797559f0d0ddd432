"""What every benchmark shares: contenders that take turns, medians, Markdown and JSON.

A benchmark is a script with one question. Its contenders run in the same process family, in
turns, so that a slow minute of the machine falls on all of them; what it reports are medians and
ratios of medians, with the machine, the versions and the whole configuration beside them.
"""

import argparse
import importlib.metadata
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ar3d_keras.atomic import write_json
from ar3d_keras.training.hardware import cpu_model
from ar3d_keras.videos.reader import cores


def parser(doc: str, *, repeats: int) -> argparse.ArgumentParser:
    """With --repeats and --json; a benchmark adds options of its own."""
    options = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--repeats", type=int, default=repeats, help="rounds of all contenders")
    options.add_argument("--json", type=Path, help="also write ratios, machine, versions, config")
    return options


def seconds(function: Callable[[], object]) -> float:
    """How long one call takes."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def take_turns(
    contenders: Mapping[str, Callable[[], float]], repeats: int
) -> dict[str, list[float]]:
    """Asks every contender for a measurement in each round; every other round runs backwards.

    Args:
        contenders: name -> a function that measures once and returns the figure. It has been
            warmed up by its maker.
        repeats: rounds.

    Returns:
        name -> a figure for each round.
    """
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(repeats):
        names = list(contenders) if turn % 2 == 0 else list(contenders)[::-1]
        for name in names:
            figures[name].append(contenders[name]())
            print(f"round {turn + 1}/{repeats}: {name}: {figures[name][-1]:.4g}", file=sys.stderr)
    return figures


def ratio(figures: Mapping[str, Sequence[float]], one: str, other: str) -> float:
    """The median over rounds of one's figure over the other's."""
    pairs = zip(figures[one], figures[other], strict=True)
    return statistics.median(a / b for a, b in pairs)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median and range of several rounds."""
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
    """Prints the Markdown result and writes the JSON file where one is asked for.

    Args:
        options: what `parser` parsed.
        text: tables and sentences.
        ratios: the figures that the benchmark is there for, by name; None: not measured here.
        packages: distributions whose versions made the figures.
        config: what was measured, besides the options.
    """
    machine = {"cpu": cpu_model(), "cores": cores(), "python": sys.version.split()[0]}
    versions = {name: _version(name) for name in packages}
    arguments = {k: v for k, v in vars(options).items() if k != "json"}
    config = {**arguments, **(config or {})}
    print("\n" + text + "\n")
    print(table(["ratio", "value"], [[k, _short(v)] for k, v in ratios.items()]) + "\n")
    print(f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}; ", end="")
    print(", ".join(f"{name} {version}" for name, version in versions.items() if version) + ".")
    print("Medians (and ranges) of alternating rounds; " + json.dumps(config, default=str))
    if options.json:
        content = {"ratios": ratios, "machine": machine, "versions": versions, "config": config}
        write_json(options.json, json.loads(json.dumps(content, default=str)))


def _short(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3g}"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
