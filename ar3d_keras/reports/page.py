"""report.html: one page that needs nothing beside it, no script and no network.

`document` and the parts below it make the other pages too: crossval.html and compare.html.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from string import Template

from ar3d_keras.evaluation.metrics import Evaluation, most_confused, per_class
from ar3d_keras.reports import plots

# What the headline numbers depend on; the rest of `about` stands in the table at the end.
MEANING = ("dataset", "split", "split_scheme", "protocol", "backend", "precision", "seed")


def build(
    evaluation: Evaluation,
    figures: Mapping,
    about: Mapping[str, str],
    title: str,
    has_leakage: bool,
    pictures: Mapping[str, bytes],
    explained: str = "",
) -> str:
    """Puts the page together; every text from outside goes through `shown`.

    `explained` says how the maps of the explanation are read.
    """
    meaning = " · ".join(
        f"{shown(key.replace('_', ' '))} <b>{shown(about[key])}</b>"
        for key in MEANING
        if about.get(key)
    )
    sections = (
        box(figures["leak"], has_leakage),
        _skipped_box(figures),
        picture("Learning curves", pictures.get("curves"), "", "accuracy and loss by epoch"),
        picture(
            "Examples",
            pictures.get("examples"),
            "Down the columns: the surest right answers, then the surest wrong ones, spread over "
            "the classes. Green is the true class, red the first answer where it is wrong.",
            "frames of some videos with their five likeliest classes",
        ),
        picture(
            "Explanation",
            pictures.get("explanation"),
            explained,
            "the same videos with maps of where the network responds",
        ),
        picture(
            "Confusion matrix",
            pictures["confusion"],
            "Rows are true classes, columns what was predicted; blue is right, red is wrong, in "
            "shares of the true class's videos. Click to enlarge. Counts: confusion.csv.",
            "confusion matrix",
            wide=len(evaluation.class_names) > plots.DETAILED,
        ),
        _confused_table(evaluation),
        _class_table(evaluation),
        table("Provenance", "provenance", (), [(shown(k), shown(v)) for k, v in about.items()]),
    )
    footer = (
        f"Interval: {figures['interval_method']} Macro figures count every class alike. "
        "Every video's answer: predictions.csv."
    )
    return document(title, _tiles(figures), meaning, sections, footer)


def document(
    title: str,
    tiles: Iterable[tuple[str, str, str]],
    meaning: str,
    sections: Iterable[str],
    footer: str,
) -> str:
    """The page.

    Args:
        title: any text.
        tiles: (what, figure, note) of the headline figures; HTML.
        meaning: what they depend on; HTML.
        sections: HTML; empty ones are left out.
        footer: any text.
    """
    return PAGE.substitute(
        title=shown(title),
        tiles="\n".join(
            f'<div class="tile"><span>{name}</span><strong>{value}</strong><small>{note}</small></div>'
            for name, value, note in tiles
        ),
        meaning=meaning,
        sections="\n".join(filter(None, sections)),
        footer=shown(footer),
    )


def shown(text: object) -> str:
    """Escapes `text` for HTML; a line break or other unseen sign is shown as its escape."""
    seen = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return html.escape("".join(seen))


def percent(share: float) -> str:
    """A share as a percentage with one place."""
    return f"{100 * share:.1f} %"


def _tiles(figures: Mapping) -> list[tuple[str, str, str]]:
    low, high = (100 * share for share in figures["top1_interval"])
    skipped = figures["skipped"]
    return [
        ("top-1 accuracy", percent(figures["top1"]), f"95 % interval {low:.1f} to {high:.1f} %"),
        (f"top-{figures['top5_k']} accuracy", percent(figures["top5"]), "true class among them"),
        ("mean class accuracy", percent(figures["mean_class_accuracy"]), "every class alike"),
        ("loss", f"{figures['loss']:.3f}", "cross-entropy, nats"),
        ("videos", f"{figures['videos']:,}", f"{skipped:,} skipped" if skipped else "none skipped"),
    ]


def box(sentences: Sequence[str], loud: bool) -> str:
    """A box with a headline and more sentences, red where `loud`; nothing where there are none."""
    if not sentences:
        return ""
    rest = "".join(f"<p>{shown(sentence)}</p>" for sentence in sentences[1:])
    kind, role = ("loud", ' role="alert"') if loud else ("calm", "")
    return f'<div class="box {kind}"{role}><h3>{shown(sentences[0])}</h3>{rest}</div>'


def _skipped_box(figures: Mapping) -> str:
    """Names every video that is in no figure, and what top-1 would be with it."""
    skipped = figures["skipped_videos"]
    if not skipped:
        return ""
    videos = "1 video" if len(skipped) == 1 else f"{len(skipped):,} videos"
    items = "".join(
        f"<li><code>{shown(video['path'])}</code> {shown(video['reason'])}</li>"
        for video in skipped
    )
    return (
        f'<div class="box warn"><h3>{videos} could not be decoded and '
        f"{'is' if len(skipped) == 1 else 'are'} in no figure</h3>"
        f"<p>Counted as wrong, top-1 would be "
        f"<b>{percent(figures['top1_counting_skipped_as_wrong'])}</b> instead of "
        f"{percent(figures['top1'])}.</p><ul>{items}</ul></div>"
    )


def picture(
    heading: str, png: bytes | None, caption: str, alternative: str, wide: bool = False
) -> str:
    """A heading, a caption and a picture on a white card; a click shows it in full size."""
    if png is None:
        return ""
    data = base64.b64encode(png).decode()
    return (
        f"<section><h2>{heading}</h2>{caption and f'<p>{caption}</p>'}"
        f'<label class="card{" wide" * wide}"><input type="checkbox" aria-label="full size">'
        f'<img alt="{alternative}" src="data:image/png;base64,{data}"></label></section>'
    )


def table(
    heading: str, kind: str, header: Sequence[str], rows: Iterable[Sequence[str]], caption: str = ""
) -> str:
    """A section with a table; the cells are HTML already, the first of a row names the row."""
    head = "".join(f'<th scope="col">{name}</th>' for name in header)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>\n'
        for first, *cells in rows
    )
    head = head and f"<thead><tr>{head}</tr></thead>"
    return (
        f"<section><h2>{heading}</h2>{caption and f'<p>{caption}</p>'}"
        f'<table class="{kind}">{head}<tbody>{body}</tbody></table></section>'
    )


def _confused_table(evaluation: Evaluation) -> str:
    rows = [
        (shown(true), shown(predicted), f"{count:,}", bar(share))
        for true, predicted, count, share in most_confused(evaluation)
    ]
    if not rows:
        return ""
    header = ("true class", "taken for", "videos", "share of the class, %")
    return table("Most confused", "confused", header, rows)


def _class_table(evaluation: Evaluation) -> str:
    """Precision, recall and F1 of every class, the best F1 first; without videos last."""
    ordered = sorted(per_class(evaluation), key=lambda row: (not row["videos"], -row["f1"]))
    rows = [
        (
            shown(row["class"]),
            f"{row['videos']:,}",
            *(bar(row[key]) if row["videos"] else "–" for key in ("f1", "precision", "recall")),
        )
        for row in ordered
    ]
    header = ("class", "videos", "F1, %", "precision, %", "recall, %")
    return table("Every class", "classes", header, rows)


def bar(share: float) -> str:
    """A share as a bar with its percentage."""
    return f'<span class="bar"><i style="width:{100 * share:.1f}%"></i></span>{100 * share:.1f}'


PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { --ink:#1f2933; --pale:#5f6b7a; --line:#e1e6ec; --back:#f6f8fa; --card:#fff;
  --bar:#4b86c6; --track:#e8edf3; --bad:#b3261e; --bad-back:#fdeceb; --warn:#9a6200;
  --warn-back:#fff6e0; --calm:#2f6db3; --calm-back:#eaf2fb }
@media screen and (prefers-color-scheme: dark) { :root { --ink:#e4e9ef; --pale:#9aa7b5;
  --line:#2d3742; --back:#12171d; --card:#1b222a; --bar:#5b97d8; --track:#2a333d; --bad:#ff8a80;
  --bad-back:#3b1715; --warn:#f2bd57; --warn-back:#332711; --calm:#8cbcf0; --calm-back:#15283c } }
* { box-sizing:border-box }
body { margin:0 auto; padding:40px 24px 64px; max-width:1100px; background:var(--back);
  color:var(--ink); font:15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
  "Noto Sans CJK KR", "Apple SD Gothic Neo", "Malgun Gothic", sans-serif }
h1 { font-size:28px; line-height:1.2; margin:0 0 20px; letter-spacing:-.01em }
h2 { font-size:19px; margin:48px 0 10px }
h3 { font-size:16px; margin:0 0 4px }
p { margin:0 0 10px; color:var(--pale) }
h1, h3, th, td, code, li, .meaning { overflow-wrap:anywhere }
.tiles { display:grid; grid-template-columns:1.5fr repeat(4, 1fr); gap:12px }
.tile { background:var(--card); border:1px solid var(--line); border-radius:10px;
  padding:14px 16px; display:flex; flex-direction:column }
.tile span { color:var(--pale); font-size:13px }
.tile strong { font-size:30px; line-height:1.25; font-weight:650; letter-spacing:-.02em;
  font-variant-numeric:tabular-nums; white-space:nowrap }
.tile:first-child strong { color:var(--calm) }
.tile small { color:var(--pale); font-size:12px }
.meaning { margin:14px 0 0; font-size:13.5px }
.meaning b { color:var(--ink); font-weight:600 }
.box { border-left:5px solid var(--edge); border-radius:6px; padding:14px 18px; margin:20px 0 0;
  background:var(--fill) }
.box h3 { color:var(--edge) }
.box p, .box li { color:var(--ink); margin:4px 0 0 }
.box ul { margin:8px 0 0; padding-left:20px; max-height:260px; overflow:auto; font-size:13.5px }
.loud { --edge:var(--bad); --fill:var(--bad-back); border:2px solid var(--edge);
  border-left-width:8px }
.loud h3 { font-size:19px }
.warn { --edge:var(--warn); --fill:var(--warn-back) }
.calm { --edge:var(--calm); --fill:var(--calm-back) }
code { font:12.5px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, monospace; font-weight:600 }
.card { display:block; background:#fff; border:1px solid var(--line); border-radius:10px;
  padding:12px; overflow:auto; cursor:zoom-in }
.wide { margin-inline:calc((min(1100px, 100vw) - 48px - min(97vw, 1800px)) / 2) }
.card input { position:absolute; opacity:0 }
.card:focus-within { outline:2px solid var(--bar) }
.card img { display:block; max-width:100%; margin:0 auto }
.card input:checked + img { max-width:none; cursor:zoom-out }
table { width:100%; border-collapse:collapse; background:var(--card);
  border:1px solid var(--line); font-size:13.5px; font-variant-numeric:tabular-nums }
th, td { text-align:left; padding:5px 12px; border-bottom:1px solid var(--line);
  font-weight:400; vertical-align:top }
thead th { color:var(--pale); font-size:12.5px; background:var(--card); position:sticky; top:0 }
tbody th { font-weight:600 }
.confused, .classes { table-layout:fixed }
.confused :is(th, td):nth-child(3), .classes :is(th, td):nth-child(2) { width:80px }
.classes th:first-child { width:26% }
td:has(.bar) { white-space:nowrap }
.alarm, .results small.alarm { color:var(--bad); font-weight:700 }
tr.alarm td { background:var(--bad-back); border:2px solid var(--bad); font-size:15px }
.results :is(th, td) { overflow-wrap:normal }
.results td:nth-child(7) { white-space:nowrap }
.results small { color:var(--pale); font-weight:400 }
.provenance th { width:180px; color:var(--pale); font-weight:400 }
.bar { display:inline-block; width:calc(100% - 50px); height:9px; margin-right:9px;
  border-radius:3px; background:var(--track); overflow:hidden; print-color-adjust:exact;
  -webkit-print-color-adjust:exact }
.bar i { display:block; height:100%; background:var(--bar) }
footer { margin-top:32px; color:var(--pale); font-size:12.5px }
@media (max-width:800px) { .tiles { grid-template-columns:repeat(2, 1fr) } }
@media print { body { max-width:none; padding:0; background:#fff; font-size:12px }
  .tile, .box, .card, tr { break-inside:avoid } h2 { break-after:avoid }
  .wide { margin-inline:0 } .box ul { max-height:none } thead th { position:static } }
</style>
</head>
<body>
<h1>$title</h1>
<div class="tiles">
$tiles
</div>
<p class="meaning">$meaning</p>
$sections
<footer>$footer</footer>
</body>
</html>
""")
