"""Runs the benchmarks and prints each ratio with the value that is wanted.

python -m benchmarks.ratios [--only feed step ...] [--folder FOLDER]

Each benchmark is a process of its own, one after the other, with its own default size. `--folder`
keeps their JSON files; one that is there already is not run again, so a stopped measurement goes on.
"""

import argparse
import json
import operator
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import bench

AT_LEAST, AT_MOST = ">=", "<="
# Ratio -> bound, with AMX and without.
WANTED: dict[str, tuple[str, float, float]] = {
    "step.vs_best_torch": (AT_LEAST, 1.5, 1.3),
    "feed.pack_vs_videos": (AT_LEAST, 15, 15),
    "feed.pack_vs_copy": (AT_LEAST, 0.5, 0.5),
    "feed.pack_vs_torch_decord": (AT_LEAST, 40, 40),
    "decode.vs_best_peer": (AT_LEAST, 1.3, 1.3),
    "epoch.videos_over_compute": (AT_MOST, 1.08, 1.08),
    "predict.short_over_best_loop": (AT_LEAST, 1.5, 1.5),
    "predict.long_over_best_loop": (AT_LEAST, 1.5, 1.5),
    "predict.short_growth": (AT_MOST, 1.05, 1.05),
    "latency.SavedModel_over_fastest": (AT_MOST, 1.2, 1.2),
    "latency.SavedModel, bfloat16_over_fastest": (AT_MOST, 1.2, 1.2),
    "memory.last_fold_vs_third": (AT_MOST, 1.05, 1.05),
    "memory.csv_100,000_s": (AT_MOST, 3, 3),
    "memory.csv_1,000,000_s": (AT_MOST, 30, 30),
    "startup.import_s": (AT_MOST, 0.02, 0.02),
    "startup.help_s": (AT_MOST, 0.3, 0.3),
    "phases.around_the_epochs_cpu_s": (AT_MOST, 11, 11),
}
HOLDS: dict[str, Callable[[float, float], bool]] = {AT_LEAST: operator.ge, AT_MOST: operator.le}


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = list(dict.fromkeys(name.partition(".")[0] for name in WANTED))
    parser.add_argument("--only", nargs="*", choices=names, default=names)
    parser.add_argument("--folder", type=Path, help="of the JSON files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = {name: measured(name, folder) for name in options.only}
    print("\n" + table(found))


def measured(name: str, folder: Path) -> dict:
    """The JSON of a benchmark; empty if it failed, which is said."""
    file = folder / f"{name}.json"
    if not file.exists():
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(file)]
        if code := subprocess.run(command).returncode:
            print(f"benchmarks.{name} ended with exit code {code}", file=sys.stderr)
    return json.loads(file.read_text()) if file.exists() else {}


def table(found: dict[str, dict]) -> str:
    """Each wanted ratio, its value, the bound, and whether it holds; and the machine."""
    machine = next((each["machine"] for each in found.values() if each), None)
    if machine is None:
        return "nothing was measured"
    has_amx = "amx_bf16" in machine["flags"]
    rows = []
    for name, (sign, with_amx, without) in WANTED.items():
        if name.partition(".")[0] not in found:
            continue
        bound = with_amx if has_amx else without
        value = found[name.partition(".")[0]].get("ratios", {}).get(name)
        holds = "" if value is None else "yes" if HOLDS[sign](value, bound) else "NO"
        shown = "not measured" if value is None else f"{value:.3g}"
        rows.append([name, shown, f"{sign} {bound:g}", holds])
    text = bench.table(["ratio", "here", "wanted", "holds"], rows)
    return f"{text}\n\n{machine['cpu']}, {machine['cores']} cores ({' '.join(machine['flags'])})"


if __name__ == "__main__":
    main()
