"""compare.html: Table 1, the paired tests, the two figures and the conditions of each result."""

from collections.abc import Mapping, Sequence

from ar3d_keras.evaluation.metrics import format_interval, has_informative_top5
from ar3d_keras.evaluation.results import Result
from ar3d_keras.reports import page
from ar3d_keras.reports.page import percent, points

CONDITIONS = (
    "dataset", "split", "split_scheme", "protocol", "epochs", "seed", "trained_in", "trained_on",
    "command",
)  # fmt: skip


def build(results: Sequence[Result], written: Mapping, pictures: Mapping[str, bytes]) -> str:
    """Builds the page.

    Args:
        results: the rows of the table.
        written: the content of comparison.json.
        pictures: figure1 and, where there are curves, figure3, as PNG.
    """
    rows, different, pairs = written["table"], written["not_comparable"], written["pairs"]
    top5 = has_informative_top5(rows[0])
    return page.render(
        "compare.html",
        title=" · ".join(result.name for result in results),
        tiles=_tiles(rows, pairs),
        written=written,
        rows=rows,
        different=different,
        pairs=pairs,
        warnings=_warnings(rows, different),
        header=_header(rows[0], top5, different),
        top5=top5,
        pair_header=_pair_header(pairs),
        pair_methods=" ".join(dict.fromkeys(pair["interval_method"] for pair in pairs)),
        pictures={"figure3": None, **pictures},
        conditions=CONDITIONS,
    )


def _tiles(rows: Sequence[Mapping], pairs: Sequence[Mapping]) -> list[tuple[str, str, str]]:
    best = max(rows, key=lambda row: row["top1"])
    split = rows[0]["split"]
    return [
        (f"highest top-1 on {split}", percent(best["top1"]), best["name"]),
        *(
            (f"{pair['one']} − {pair['other']}", points(pair["difference"]), _note(pair))
            for pair in pairs[:3]
        ),
        ("videos", f"{max(row['videos'] for row in rows):,}", f"split {split}"),
    ]


def _note(pair: Mapping) -> str:
    interval = format_interval(pair["interval"], percent=True, signed=True)
    return interval if pair["interval"] is None else f"95 % {interval}"


def _warnings(rows: Sequence[Mapping], different: Sequence[str]) -> list[str]:
    warnings = ["NOT COMPARABLE: these results differ in more than the network.", *different]
    leaking = ", ".join(row["name"] for row in rows if row["has_leakage"])
    leak = f"LEAK: test videos share source recordings with training videos in {leaking}."
    return (warnings if different else []) + ([leak] if leaking else [])


def _header(row: Mapping, top5: bool, different: Sequence[str]) -> list[str]:
    return [
        "", "parameters", "GFLOPs a clip", "clips/s training", "clips/s inference", "top-1, %",
        "95 % interval", *([f"top-{row['top5_k']}, %"] if top5 else []), "videos",
        *(["split scheme"] if different else []),
    ]  # fmt: skip


def _pair_header(pairs: Sequence[Mapping]) -> list[str]:
    test = "McNemar p" + (" (Holm)" if len(pairs) > 1 else "")
    return ["top-1", "videos of both", "difference, points", "95 % interval", "right alone", test]
