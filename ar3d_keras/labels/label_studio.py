"""Label Studio: exported annotations of video timelines, and predictions to import there.

Format: https://labelstud.io/tags/timelinelabels and https://labelstud.io/guide/predictions.
Frames count from 1 and a range contains its end, as in HumanSignal/label-studio-ml-backend
(`utils/converter.py` of its TimelineLabels example): frames 1 to 25 at 25 frames a second are the
first second.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

from ar3d_keras.errors import UserError
from ar3d_keras.labels.label import Label, Media, chosen, listed, parse_stretch
from ar3d_keras.labels.source import Source, entry, optional
from ar3d_keras.videos.video_files import VIDEO_SUFFIXES

FROM_NAME = "videoLabels"
LOCAL = "/data/local-files/?d="
_RATES = ("fps", "frame_rate", "frameRate", "framerate")
_KINDS = ("timelinelabels", "labels", "videorectangle")


class _Region(NamedTuple):
    where: str
    media: str
    annotator: str
    label_set: str
    labels: list[str]
    value: dict
    rate: float | None


def recognizes(source: Source) -> bool:
    """Whether the file is an export in the form JSON or JSON-MIN."""
    task = next(iter(_tasks(source)), None)
    if not isinstance(task, dict):
        return False
    return ("data" in task and ("annotations" in task or "predictions" in task)) or bool(
        _short_results(task)
    )


def _tasks(source: Source) -> list:
    return source.document if isinstance(source.document, list) else [source.document]


def read(source: Source) -> list[Label]:
    """Reads the ranges of TimelineLabels and Labels, and the lifespans of VideoRectangle.

    Raises:
        UserError: several tags or annotators have labels and none was chosen, the frame rate is
            unknown, or an entry is damaged.
    """
    regions: list[_Region] = []
    unlabelled = []
    for number, task in enumerate(_tasks(source)):
        where = source.at(number)
        found = list(_short_regions(where, task) or _regions(where, task))
        regions += found
        if not found:
            unlabelled.append(number)
    if unlabelled:
        source.notes.append(
            f"{source.file}: {len(unlabelled)} tasks have no annotated stretch (numbers "
            f"{listed(unlabelled)}); predictions that nobody accepted are not imported"
        )
    options = source.options
    sets = chosen(
        (each.label_set for each in regions),
        options.label_set,
        option="label_set",
        what="tag",
        where=source.file,
    )
    regions = [each for each in regions if each.label_set in sets]
    annotators: dict[str, dict[str, None]] = {}
    for each in regions:
        annotators.setdefault(each.media, {})[each.annotator] = None
    # Two people may label different videos, but one video has one truth.
    if options.subject or any(len(people) > 1 for people in annotators.values()):
        people = chosen(
            (each.annotator for each in regions),
            options.subject,
            option="subject",
            what="annotator",
            where=source.file,
        )
        regions = [each for each in regions if each.annotator in people]
    return [label for region in regions for label in _labels(source, region)]


def _short_regions(where: str, task: Any) -> list[_Region]:
    """The regions of a task in the form JSON-MIN; [] if it has another form."""
    return [
        _region(
            f"{where}.{name}[{number}]",
            _media(task, where),
            str(task.get("annotator", "")),
            name,
            next(kind for kind in _KINDS if kind in value),
            value,
            _rate(task, values),
        )
        for name, values in _short_results(task).items()
        for number, value in enumerate(values)
    ]


def _regions(where: str, task: Any) -> Iterator[_Region]:
    """The regions of a task in the form JSON."""
    data = entry(task, "data", dict, where)
    for number, annotation in enumerate(optional(task, "annotations", list, where)):
        place = f"{where}.annotations[{number}]"
        results = entry(annotation, "result", list, place)
        if annotation.get("was_cancelled"):
            continue
        by = annotation.get("completed_by", "")
        person = str(by.get("email", by.get("id", "")) if isinstance(by, dict) else by)
        rate = _rate(data, [each.get("value") for each in results if isinstance(each, dict)])
        for index, result in enumerate(results):
            inner = f"{place}.result[{index}]"
            kind = entry(result, "type", str, inner)
            if kind in _KINDS:
                value = entry(result, "value", dict, inner)
                name = entry(result, "from_name", str, inner)
                yield _region(inner, _media(data, where), person, name, kind, value, rate)


def _region(
    where: str, media: str, person: str, name: str, kind: str, value: dict, rate: float | None
) -> _Region:
    labels = value.get(kind if kind == "timelinelabels" else "labels") or []
    if not isinstance(labels, list) or len(labels) > 1:
        raise UserError(f"{where} has the labels {labels}: one is needed")
    return _Region(where, media, person, name, [str(each) for each in labels], value, rate)


def _short_results(task: Any) -> dict[str, list[dict]]:
    """The results of a task in the form JSON-MIN, by the name of their tag."""
    if not isinstance(task, dict) or "data" in task:
        return {}
    return {
        name: values
        for name, values in task.items()
        if isinstance(values, list)
        and values
        and all(isinstance(each, dict) and any(k in each for k in _KINDS) for each in values)
    }


def _media(data: dict, where: str) -> str:
    """The path of the video, without what Label Studio puts around it."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    found = [text for text in texts.values() if _path(text).lower().endswith(tuple(VIDEO_SUFFIXES))]
    address = texts.get("video") or (found[0] if len(found) == 1 else "")
    if not address:
        raise UserError(f"{where} names no video, or several, in its data ({listed(data)})")
    return _path(address)


def _path(address: str) -> str:
    """The path of a video in an address of Label Studio."""
    parts = urlsplit(address)
    if parts.path.endswith("/data/local-files/"):
        return parse_qs(parts.query).get("d", [""])[0]
    if uploaded := re.fullmatch(r".*/data/upload/\d+/[0-9a-f]{8}-(.+)", parts.path):
        return unquote(uploaded[1])
    return unquote(parts.path) if parts.scheme in ("http", "https", "s3", "gs", "file") else address


def _rate(data: dict, values: Sequence[Any]) -> float | None:
    """Frames a second: of the task's data, or of a region that has frames and duration."""
    for key in _RATES:
        try:
            return float(data[key])
        except (KeyError, TypeError, ValueError):
            continue
    for value in values:
        try:
            return value["framesCount"] / value["duration"]
        except (KeyError, TypeError, ZeroDivisionError):
            continue
    return None


def _labels(source: Source, region: _Region) -> Iterator[Label]:
    if not region.labels:
        source.notes.append(f"{region.where} has no label and is left out")
        return
    name, value, where = region.labels[0].strip(), region.value, region.where
    if "ranges" not in value and "sequence" not in value:  # seconds, of an Audio or Video tag
        start, end = (entry(value, key, (int, float), where) for key in ("start", "end"))
        yield Label(region.media, name, *parse_stretch(start, end, where), where=where)
        return
    rate = source.options.frame_rate or region.rate
    if not rate or not rate > 0:
        raise UserError(
            f"{where} gives frames without a frame rate: give `frame_rate`, the frameRate of the "
            "<Video> tag (Label Studio's default is 24)"
        )
    for first, last in _frames(value, where):
        if not 1 <= first <= last:
            raise UserError(
                f"{where}: frames {first} to {last} are not a range (they count from 1)"
            )
        stretch = parse_stretch((first - 1) / rate, last / rate, where)
        yield Label(region.media, name, *stretch, where=where)


def _frames(value: dict, where: str) -> Iterator[tuple[int, int]]:
    """First and last frame of each range, or of each lifespan between keyframes."""
    if "ranges" in value:
        for number, each in enumerate(entry(value, "ranges", list, where)):
            place = f"{where}.ranges[{number}]"
            yield entry(each, "start", int, place), entry(each, "end", int, place)
        return
    keyframes = [
        (entry(each, "frame", int, f"{where}.sequence[{number}]"), each.get("enabled", True))
        for number, each in enumerate(entry(value, "sequence", list, where))
    ]
    first = None
    for frame, enabled in sorted(keyframes, key=lambda each: each[0]):
        if first is None:
            first = frame
        if not enabled:
            yield first, frame
            first = None
    if first is not None:
        yield first, entry(value, "framesCount", int, where)


def as_predictions(labels: Sequence[Label], media: Mapping[str, Media]) -> bytes:
    """Formats labels as tasks with predictions, which Label Studio imports.

    The tag is `videoLabels` on `video`; the frame rate of each video is in the data as `fps`.

    Args:
        labels: stretches of videos.
        media: the frame rate of each video.
    """
    tasks = []
    for path in dict.fromkeys(label.media for label in labels):
        rate = media[path].rate
        results = [_result(each, rate) for each in labels if each.media == path]
        scores = [each["score"] for each in results if "score" in each]
        prediction: dict[str, Any] = {"model_version": "ar3d_keras", "result": results}
        if scores:
            prediction["score"] = sum(scores) / len(scores)
        data = {"video": LOCAL + quote(path.lstrip("/"), errors="surrogateescape"), "fps": rate}
        tasks.append({"data": data, "predictions": [prediction]})
    text = json.dumps(tasks, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _result(label: Label, rate: float) -> dict[str, Any]:
    assert label.start is not None and label.end is not None
    first = round(label.start * rate) + 1
    last = max(first, round(label.end * rate))
    result: dict[str, Any] = {
        "id": f"{first}_{last}",
        "type": "timelinelabels",
        "from_name": FROM_NAME,
        "to_name": "video",
        "value": {"ranges": [{"start": first, "end": last}], "timelinelabels": [label.name]},
    }
    return result if label.score is None else result | {"score": label.score}
