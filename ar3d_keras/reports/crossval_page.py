"""crossval.html: all folds of a cross-validation on one page."""

from collections.abc import Mapping, Sequence

from ar3d_keras.evaluation.metrics import has_informative_top5
from ar3d_keras.reports import page, plots
from ar3d_keras.reports.page import percent


def build(
    metrics: Mapping,
    about: Mapping[str, object],
    class_names: Sequence[str],
    pictures: Mapping[str, bytes],
) -> str:
    """Builds the page.

    Args:
        metrics: the metrics of crossval.json.
        about: where the numbers come from.
        class_names: the class names, in the order of the confusion matrix.
        pictures: confusion and, where there are such, curves, as PNG.
    """
    top5 = has_informative_top5(metrics)
    skipped = f"{metrics['skipped']:,} skipped" if metrics["skipped"] else "none skipped"
    tiles = [
        (
            "top-1, all videos",
            percent(metrics["top1"]),
            page.interval_note(metrics["top1_interval"], "groups"),
        ),
        (
            "mean of the folds",
            percent(metrics["top1_mean"]),
            page.interval_note(metrics["top1_mean_interval"], "folds"),
        ),
    ]
    if top5:
        name = f"top-{metrics['top5_k']}"
        tiles.append((name, percent(metrics["top5"]), "true class among them"))
    folds = len(metrics["folds"])
    tiles += [
        ("loss", f"{metrics['loss']:.3f}", "cross-entropy, nats"),
        ("videos", f"{metrics['videos']:,}", f"{folds} folds, {skipped}"),
    ]
    header = ["fold", "videos", "top-1, %", "95 % interval", "loss", "epoch kept"]
    if top5:
        header.insert(4, f"top-{metrics['top5_k']}, %")
    return page.render(
        "crossval.html",
        title=metrics["name"],
        tiles=tiles,
        metrics=metrics,
        about=about,
        class_names=class_names,
        header=header,
        top5=top5,
        pictures={"curves": None, **pictures},
        curves_caption="One column per fold." if folds <= plots.MANY else "One line per fold.",
    )
