"""Rebuilds the tables of docs/results.md from cross-validation runs.

    python -m benchmarks.results --runs DIR --page docs/results.md

DIR holds one folder for each `ar3d crossval`, as --runs-dir makes them. Runs of the same data, network
and options, whatever the seed, are one row. The page has the tables between `<!-- table NAME -->` and
`<!-- end -->`; only what is between them is replaced:

    accuracy   every row: data, network, top-1 of each seed, mean, interval over groups, time, command
    gate       rows that differ only by the gate, compared on the same videos
    wrong      the videos that most seeds get wrong
"""

import argparse
import itertools
import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras.atomic import write_text
from ar3d_keras.evaluation.metrics import top1_interval
from ar3d_keras.evaluation.results import SUMMARY, Result, find_result
from ar3d_keras.evaluation.significance import difference

# What the same videos give without this package: data -> reference. The sources are on the page.
REFERENCES = {
    "ut_interaction2": "0.70 (logistic regression on frame differences)",
    "utd_rgb5": "0.81 (logistic regression on frame differences)",
    "fight": "0.73 (logistic regression on frame differences)",
}
WANTED = {"ut_interaction2": 0.85, "utd_rgb5": 0.95, "fight": 0.80}
# The paper's one convolution has goals of its own, and none without its gate.
WANTED_OF = {"conv3d-attention": {"ut_interaction2": 0.77, "utd_rgb5": 0.91}, "conv3d": {}}


@dataclass(frozen=True)
class Row:
    """The cross-validations of one configuration, one for each seed.

    Attributes:
        data: the name of the data set.
        network: the network, with `-attention` if it is gated.
        results: by seed.
    """

    data: str
    network: str
    results: dict[int, Result]

    @property
    def seeds(self) -> list[int]:
        return sorted(self.results)

    @cached_property
    def videos(self) -> dict[str, tuple[str, str | None]]:
        """Path -> (label, group)."""
        first = self.results[self.seeds[0]]
        return dict(zip(first.paths, zip(first.labels, first.groups, strict=True), strict=True))

    def correct(self, seeds: Sequence[int]) -> np.ndarray:
        """Bool (seeds, videos), videos in the order of `videos`."""
        rows = []
        for seed in seeds:
            result = self.results[seed]
            right = dict(zip(result.paths, result.labels == result.predicted, strict=True))
            rows.append([right[path] for path in self.videos])
        return np.array(rows)

    @property
    def groups(self) -> tuple[str | None, ...]:
        return tuple(group for _, group in self.videos.values())

    @property
    def command(self) -> str:
        """How one of them was started, without what belongs to the machine."""
        summary = json.loads((self._folder(self.seeds[0]) / SUMMARY).read_text())
        words = shlex.split(summary["command"])
        for flag in ("--name", "--runs-dir", "--workers", "--seed"):
            while flag in words:
                place = words.index(flag)
                del words[place : place + 2]
        if "--data" in words:
            place = words.index("--data") + 1
            words[place] = f"DIR/{Path(words[place]).name}"
        return shlex.join([*words, "--seed", "SEED"])

    @property
    def seconds(self) -> float:
        """Of a fold, from its split to its last epoch: the median."""
        times = []
        for result in self.results.values():
            for run in result.runs:
                begin = (run.folder / "split.csv").stat().st_mtime
                end = run.history.stat().st_mtime
                times.append(end - begin)
        return float(np.median(times))

    def _folder(self, seed: int) -> Path:
        return self.results[seed].runs[0].folder.parent


def read_rows(folder: Path, clips: int | None) -> list[Row]:
    """The rows of all finished cross-validations in a folder, sorted."""
    found: dict[tuple[str, str, str], dict[int, Result]] = defaultdict(dict)
    for summary in sorted(folder.glob(f"*/{SUMMARY}")):
        result = find_result(summary.parent.name, folder, "test", clips)
        config = result.records[0]["config"]
        seed = config["recipe"]["seed"]
        data = re.sub(r"[-_]pack$", "", Path(config["data"]["data"]).name)
        gate = "-attention" if config["model"]["attention"] else ""
        rest = json.dumps([config["data"], config["model"], config["recipe"] | {"seed": 0}])
        rest = re.sub(r'"(workers|fold)": [^,}]+', "", rest)
        key = data, config["model"]["model"] + gate, rest
        if seed in found[key]:
            raise SystemExit(f"{summary.parent}: another run has the same options and seed {seed}")
        found[key][seed] = result
    return [Row(data, network, results) for (data, network, _), results in sorted(found.items())]


def accuracy(rows: Sequence[Row]) -> Iterator[str]:
    yield "| data | network | seeds | top-1 of each seed | mean | 95 % over groups | reached | reference | time a fold |"  # fmt: skip
    yield "|---|---|---|---|---:|---|---|---|---:|"
    for row in rows:
        correct = row.correct(row.seeds)
        shares = correct.mean(1)
        pooled = correct.ravel()
        interval, _ = top1_interval(pooled, row.groups * len(row.seeds))
        wanted = WANTED_OF.get(row.network, WANTED).get(row.data)
        reached = ""
        if wanted:
            reached = f"{'yes' if shares.mean() >= wanted else 'no'} ({wanted:.2f})"
        yield (
            "| "
            + " | ".join(
                (
                    row.data,
                    row.network,
                    " ".join(map(str, row.seeds)),
                    " ".join(f"{share:.3f}" for share in shares),
                    f"**{shares.mean():.3f}**",
                    "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}",
                    reached,
                    REFERENCES.get(row.data, ""),
                    f"{row.seconds:.0f} s",
                )
            )
            + " |"
        )
    yield ""
    for row in rows:
        yield f"    {row.command}"


def gate(rows: Sequence[Row]) -> Iterator[str]:
    yield "| data | network | seeds | with gate | without | difference | 95 % over groups | p |"
    yield "|---|---|---:|---:|---:|---:|---|---:|"
    for row, other in itertools.permutations(rows, 2):
        if row.data != other.data or row.network != f"{other.network}-attention":
            continue
        seeds = sorted(set(row.seeds) & set(other.seeds))
        if not seeds or row.videos.keys() != other.videos.keys():
            continue
        one = row.correct(seeds)
        places = [list(other.videos).index(path) for path in row.videos]
        two = other.correct(seeds)[:, places]
        groups = row.groups * len(seeds)
        mean, interval, _ = difference(one.ravel(), two.ravel(), groups)
        shown = "" if interval is None else f"{interval[0]:+.3f} to {interval[1]:+.3f}"
        p = sign_test(one.mean(0) - two.mean(0), row.groups)
        yield (
            f"| {row.data} | {other.network} | {len(seeds)} | {one.mean():.3f} | {two.mean():.3f} "
            f"| {mean:+.3f} | {shown} | {p:.2f} |"
        )


def sign_test(differences: np.ndarray, groups: Sequence[str | None]) -> float:
    """The p-value of a paired permutation test that swaps both networks in whole groups.

    Args:
        differences: (videos,) the difference of both accuracies, averaged over the seeds.
        groups: (videos,) their groups.
    """
    from scipy.stats import permutation_test

    sums: dict[Any, float] = defaultdict(float)
    for number, (group, value) in enumerate(zip(groups, differences, strict=True)):
        sums[number if group is None else group] += float(value)
    result = permutation_test(
        (np.array(list(sums.values())),),
        lambda values, axis: np.mean(values, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=99_999,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def wrong(rows: Sequence[Row]) -> Iterator[str]:
    yield "| data | network | wrong in most seeds | of these, label -> prediction |"
    yield "|---|---|---:|---|"
    for row in rows:
        often = row.correct(row.seeds).mean(0) < 0.5
        pairs: dict[tuple[str, str], int] = defaultdict(int)
        result = row.results[row.seeds[0]]
        predicted = dict(zip(result.paths, result.predicted, strict=True))
        for (path, (label, _)), is_wrong in zip(row.videos.items(), often, strict=True):
            if is_wrong and predicted[path] != label:
                pairs[label, predicted[path]] += 1
        ranked = sorted(pairs.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{a} -> {b} {count}" for (a, b), count in ranked[:6])
        yield f"| {row.data} | {row.network} | {often.sum()} of {often.size} | {shown} |"


TABLES = {"accuracy": accuracy, "gate": gate, "wrong": wrong}


def rebuilt(page: str, rows: Sequence[Row]) -> str:
    """The page with all its tables made anew."""
    for name, table in TABLES.items():
        begin, end = f"<!-- table {name} -->", "<!-- end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        text = "\n".join((begin, "", *table(rows), "", end))
        page, count = pattern.subn(lambda _, text=text: text, page)
        if not count:
            raise SystemExit(f"the page has no place for the table {name}: {begin}")
    return page


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--runs", type=Path, required=True, help="the folder of all runs")
    options.add_argument("--page", type=Path, help="the page to change; without it, print")
    options.add_argument(
        "--clips",
        type=int,
        help="read the reports with so many clips a video (evaluate.py --clips)",
    )
    given = options.parse_args()
    rows = read_rows(given.runs, given.clips)
    if not rows:
        raise SystemExit(f"{given.runs} holds no finished cross-validation")
    if given.page:
        write_text(given.page, rebuilt(given.page.read_text(encoding="utf-8"), rows))
    else:
        for table in TABLES.values():
            print("\n".join(table(rows)) + "\n")


if __name__ == "__main__":
    main()
