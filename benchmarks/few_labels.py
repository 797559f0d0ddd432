"""What does pretraining without labels bring where few videos have labels?

python -m benchmarks.few_labels --data DIR [--labels 2 4 8] [--seeds 3] [--tasks instance order speed]

For each seed, a quarter of the groups tests. The other videos pretrain a network, without their
labels. Then so many videos of each class train it, from random weights and from those of each task:
the same videos, options and epochs. Prints the mean top-1 over the seeds, and its range. Videos in
training and test share no group. The preset is small-data with compact3d; the last epoch is evaluated.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

import ar3d_keras
from ar3d_keras import Reporter
from ar3d_keras.atomic import write_json
from ar3d_keras.config import Pretext
from ar3d_keras.videos.catalog import Catalog
from benchmarks import bench


def main() -> None:
    """Prints a Markdown table; the runs stay in --runs-dir."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--labels", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", default=list(Pretext.__args__))
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--flip", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs/few-labels"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    catalog = ar3d_keras.open_data(options.data)
    found: dict[tuple[int, str], list[float]] = {}
    for seed in range(options.seeds):
        for number in options.labels:
            table = _write_split(catalog, number, seed, options.runs_dir)
            for task in ("none", *options.tasks):
                top1 = _train(table, catalog, task, number, seed, options)
                found.setdefault((number, task), []).append(top1)
                print(f"seed {seed}, {number} a class, {task}: {top1:.3f}", flush=True)
    print("| labeled videos a class | " + " | ".join(("random", *options.tasks)) + " |")
    print("|---:" * (len(options.tasks) + 2) + "|")
    for number in options.labels:
        cells = [found[number, task] for task in ("none", *options.tasks)]
        shown = [f"{np.mean(c):.3f} ({min(c):.3f}-{max(c):.3f})" for c in cells]
        print(f"| {number} | " + " | ".join(shown) + " |")
    print(f"\n{bench.machine_line()}.")
    if options.json:
        write_json(
            options.json, [{"labels": n, "task": t, "top1": v} for (n, t), v in found.items()]
        )


def _write_split(catalog: Catalog, number: int, seed: int, folder: Path) -> Path:
    """A CSV: a quarter of the groups tests, `number` videos a class train, the rest is val."""
    draw = np.random.default_rng(seed)
    groups = sorted({video.group or video.key for video in catalog.videos})
    tests = set(draw.permutation(groups)[: max(1, len(groups) // 4)])
    taken = dict.fromkeys(catalog.class_names, 0)
    rows = []
    for place in draw.permutation(len(catalog.videos)):
        video = catalog.videos[place]
        if (video.group or video.key) in tests:
            split = "test"
        elif taken[video.label] < number:
            taken[video.label] += 1
            split = "train"
        else:
            split = "val"
        path = (catalog.root / video.path).resolve()
        rows.append((path, video.label, video.group or "", split))
    table = folder / f"seed{seed}-{number}.csv"
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "group", "split"), *rows])
    return table


def _train(
    table: Path, catalog: Catalog, task: str, number: int, seed: int, options: argparse.Namespace
) -> float:
    """Top-1 on test after a training from a task's weights, or from random ones."""
    common = {
        "preset": "small-data", "model": "compact3d", "seed": seed, "epochs": options.epochs, "reporter": Reporter(),
        "runs_dir": options.runs_dir, "flip": options.flip,
    }  # fmt: skip
    given = {}
    if task != "none":
        with table.open() as file:
            pool = [row["path"] for row in csv.DictReader(file) if row["split"] != "test"]
        ar3d_keras.pretrain(sorted(pool), task=task, name=f"{task}-{seed}", **common)
        given["init_from"] = f"{task}-{seed}"
    name = f"{task}-{seed}-{number}"
    run = ar3d_keras.train(
        data=table,
        split_scheme="csv",
        export=False,
        name=name,
        allow_outside=True,
        **common,
        **given,
    )
    return run.evaluate("test", reporter=Reporter())["top1"]


if __name__ == "__main__":
    main()
