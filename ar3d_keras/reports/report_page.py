"""report.html: the metrics of one split, with pictures and tables."""

from collections.abc import Mapping

from ar3d_keras.evaluation.metrics import (
    Evaluation,
    format_interval,
    has_informative_top5,
    most_confused,
    per_class,
)
from ar3d_keras.reports import page
from ar3d_keras.reports.page import percent

OPTIONAL_PICTURES = "curves", "examples", "explanation", "reliability"
FEWEST_PAIRS, MOST_PAIRS = 10, 500  # rows of the table of confused classes


def build(
    evaluation: Evaluation,
    metrics: Mapping,
    about: Mapping[str, object],
    title: str,
    has_leakage: bool,
    pictures: Mapping[str, bytes],
    explanation_caption: str = "",
) -> str:
    """Builds the page.

    Args:
        evaluation: the predictions.
        metrics: their metrics, with leak and skipped_videos.
        about: where the numbers come from.
        title: the heading.
        has_leakage: whether the sentences of metrics["leak"] are a warning.
        pictures: confusion and, where there are such, OPTIONAL_PICTURES, as PNG.
        explanation_caption: how to read the maps of the explanation.
    """
    names = evaluation.class_names
    rows = [
        row | {"number": n, "interval": _recall_interval(row)}
        for n, row in enumerate(per_class(evaluation), start=1)
    ]
    return page.render(
        "report.html",
        title=title,
        tiles=_tiles(metrics),
        metrics=metrics,
        about=about,
        has_leakage=has_leakage,
        pictures=dict.fromkeys(OPTIONAL_PICTURES) | dict(pictures),
        explanation_caption=explanation_caption,
        class_names=names,
        confused=most_confused(evaluation, min(MOST_PAIRS, max(FEWEST_PAIRS, len(names)))),
        # The best F1 first, classes without videos last.
        classes=sorted(rows, key=lambda row: (not row["videos"], -row["f1"])),
    )


def _recall_interval(row: Mapping) -> str:
    if row["recall_low"] is None:
        return "–"
    return format_interval((row["recall_low"], row["recall_high"]), percent=True)


def _tiles(metrics: Mapping) -> list[tuple[str, str, str]]:
    skipped = metrics["skipped"]
    interval = page.interval_note(metrics["top1_interval"])
    tiles = [("top-1 accuracy", percent(metrics["top1"]), interval)]
    if has_informative_top5(metrics):
        top5 = percent(metrics["top5"])
        tiles.append((f"top-{metrics['top5_k']} accuracy", top5, "true class among them"))
    return [
        *tiles,
        ("mean class accuracy", percent(metrics["mean_class_accuracy"]), "every class alike"),
        ("loss", f"{metrics['loss']:.3f}", "cross-entropy, nats"),
        ("videos", f"{metrics['videos']:,}", f"{skipped:,} skipped" if skipped else "none skipped"),
    ]
