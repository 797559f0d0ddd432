"""compare.html: Table 1, the paired tests and the two figures."""

from collections.abc import Mapping, Sequence

from ar3d_keras.evaluation.results import Result
from ar3d_keras.reports import page
from ar3d_keras.reports.page import percent, shown

CONDITIONS = (
    "dataset", "split", "split_scheme", "protocol", "epochs", "seed", "trained_in", "trained_on",
    "command",
)  # fmt: skip


def build(results: Sequence[Result], written: Mapping, pictures: Mapping[str, bytes]) -> str:
    """Puts the page together.

    Args:
        results: the rows of the table.
        written: the content of comparison.json.
        pictures: figure1 and, where there are curves, figure3, as PNG.
    """
    rows, different = written["table"], written["not_comparable"]
    leaking = [row["name"] for row in rows if row["has_leakage"]]
    best = max(rows, key=lambda row: row["top1"])
    split = rows[0]["split"]
    title = " · ".join(result.name for result in results)
    tiles = [
        (f"highest top-1 on {split}", percent(best["top1"]), shown(best["name"])),
        *(
            (f"{shown(pair['one'])} − {shown(pair['other'])}", _points(pair["difference"]),
             f"95 % {_points(pair['interval'][0])} to {_points(pair['interval'][1])}")
            for pair in written["pairs"][:3]
        ),
        ("videos", f"{max(row['videos'] for row in rows):,}", f"split {shown(split)}"),
    ]  # fmt: skip
    loud = (
        ["NOT COMPARABLE: these rows do not stand on the same ground.", *different]
        if different
        else []
    )
    if leaking:
        loud.append(
            f"LEAK: of {', '.join(leaking)}, test videos share source recordings with training videos."
        )
    sections = (
        page.box(loud, True),
        _table(rows, different),
        _pairs(written["pairs"]),
        page.picture(
            "Figure 3: learning curves", pictures.get("figure3"),
            "A column a result; a quantity has one scale. Training is measured while the network "
            "learns, with dropout; val and test after each epoch.",
            "accuracy and loss by epoch", wide=len(results) > 2,
        ),
        page.picture(
            "Figure 1: the networks", pictures["figure1"],
            "Drawn from the loaded networks: a layer's name, the shape of its output (time × height "
            "× width × channels), what it does, its parameters.",
            "the networks' layers", wide=True,
        ),
        _conditions(rows),
    )  # fmt: skip
    meaning = f"split <b>{shown(split)}</b> · protocol <b>{shown(rows[0]['protocol'])}</b>"
    footer = (
        "Intervals of top-1: "
        + " ".join(f"{row['name']}: {row['interval_method']}" for row in rows)
        + " Training clips/s: the median epoch of the run after its first, where it was trained. "
        f"Inference clips/s: measured for this page on {written['device']} ({written['backend']}), "
        "float32, batches of 8 clips, decoding not counted. GFLOPs: two a multiply-add, one clip, "
        f"forward. {written['command']}"
    )
    return page.document(title, tiles, meaning, sections, footer)


def _points(share: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.1f}".replace("-", "−")


def _table(rows: Sequence[Mapping], different: Sequence[str]) -> str:
    header = [
        "", "parameters", "GFLOPs a clip", "clips/s training", "clips/s inference", "top-1, %",
        "95 % interval", f"top-{rows[0]['top5_k']}, %", "videos",
    ]  # fmt: skip
    if different:
        header.append("split scheme")
    cells = []
    for row in rows:
        low, high = (100 * share for share in row["top1_interval"])
        rate = row["training_clips_per_s"]
        folds = f", {row['folds']} folds" if row["folds"] > 1 else ""
        leaks = '<br><small class="alarm">leaks</small>' if row["has_leakage"] else ""
        cells.append(
            [
                f"{shown(row['name'])}<br><small>{shown(row['network'])}{folds}</small>{leaks}",
                f"{row['parameters']:,}", f"{row['gflops']:.3g}", f"{rate:.1f}" if rate else "–",
                f"{row['inference_clips_per_s']:.1f}", f"<b>{100 * row['top1']:.1f}</b>",
                f"{low:.1f} to {high:.1f}", f"{100 * row['top5']:.1f}", f"{row['videos']:,}",
            ]
        )  # fmt: skip
        if different:
            cells[-1].append(shown(row["split_scheme"]))
    made = page.table("Table 1", "results", header, cells)
    if different:
        warning = f'<tr class="alarm"><td colspan="{len(header)}">NOT COMPARABLE: {shown(" ".join(different))}</td></tr>'
        made = made.replace("<tbody>", f"<tbody>{warning}", 1)
    return made


def _pairs(pairs: Sequence[Mapping]) -> str:
    if not pairs:
        return page.box(["No paired test: no two results judged a video in common."], False)
    rows = [
        (
            f"{shown(pair['one'])} − {shown(pair['other'])}",
            f"{pair['videos']:,}",
            f"<b>{_points(pair['difference'])}</b>",
            f"{_points(pair['interval'][0])} to {_points(pair['interval'][1])}",
            f"{pair['only_one']:,} : {pair['only_other']:,}",
            _p(pair["p"]) + (f" ({_p(pair['p_holm'])})" if len(pairs) > 1 else ""),
        )
        for pair in pairs
    ]
    test = "McNemar p" + (" (Holm)" if len(pairs) > 1 else "")
    header = ("top-1", "videos of both", "difference, points", "95 % interval", "right alone", test)
    methods = " ".join(dict.fromkeys(shown(pair["interval_method"]) for pair in pairs))
    caption = (
        f"On the videos that both judged. Interval: {methods} McNemar's exact test takes videos as "
        "independent; videos of one recording are not, so where the two differ believe the interval."
    )
    return page.table("Paired tests", "pairs", header, rows, caption)


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def _conditions(rows: Sequence[Mapping]) -> str:
    """What each result stands for; what is not the same in all stands out."""
    cells = []
    for key in CONDITIONS:
        values = [str(row[key]) for row in rows]
        mark = "<b>{}</b>" if len(set(values)) > 1 else "{}"
        cells.append([key.replace("_", " "), *(mark.format(shown(value)) for value in values)])
    header = ["", *(shown(row["name"]) for row in rows)]
    return page.table("Conditions", "provenance", header, cells)
