"""VIA 3, the video annotator of VGG: its project (JSON) and its export (CSV).

Format: https://gitlab.com/vgg/via/-/blob/master/via-3.x.y/CodeDoc.md
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from ar3d_keras.errors import UserError
from ar3d_keras.labels.label import Label, chosen, parse_stretch
from ar3d_keras.labels.points import Points
from ar3d_keras.labels.source import Source, entry, optional

_HEADER = "# CSV_HEADER = metadata_id,file_list"


class _Metadata(NamedTuple):
    where: str
    files: list[str]
    times: list
    space: list
    values: dict[str, str]


def recognizes(source: Source) -> bool:
    """Whether the file is a VIA 3 project or its CSV export."""
    document = source.document
    if isinstance(document, dict):
        return {"project", "attribute", "file", "view", "metadata"} <= document.keys()
    return _HEADER in source.text


def read(source: Source) -> list[Label]:
    """Reads the temporal segments; regions in single frames are ignored.

    Raises:
        UserError: several attributes have values and none was chosen, or an entry is damaged.
    """
    if source.document is not None:
        attributes, metadata = _project(source)
    else:
        attributes, metadata = _export(source)
    # Spatial regions and attributes of them say nothing about time.
    entries = [each for each in metadata if not each.space and each.values]
    used = [
        attribute
        for each in entries
        for attribute, value in each.values.items()
        if value not in ("", "_DEFAULT") and attribute in attributes
    ]
    names = [attributes[each]["aname"] for each in used]
    wanted = chosen(
        names,
        source.options.label_set,
        option="label_set",
        what="attribute",
        where=source.file,
    )
    points = Points(source)
    labels: list[Label] = []
    for each in entries:
        for attribute, value in each.values.items():
            if attribute not in used or attributes[attribute]["aname"] not in wanted:
                continue
            if value in ("", "_DEFAULT"):
                continue
            name = _name(attributes[attribute], value, each.where)
            if len(each.files) != 1:
                raise UserError(f"{each.where} belongs to {len(each.files)} files, not to one")
            if len(each.times) == 1:
                labels += points.labels(each.files[0], name, each.times[0], each.where)
            elif each.times and each.times != [-1, -1]:
                if len(each.times) != 2:
                    raise UserError(f"{each.where}: {each.times} is not a start and an end")
                stretch = parse_stretch(each.times[0], each.times[1], each.where)
                labels.append(Label(each.files[0], name, *stretch, where=each.where))
            else:
                labels.append(Label(each.files[0], name, where=each.where))
    points.report()
    return labels


def _name(attribute: dict, value: str, where: str) -> str:
    """The text of a value: that of its option, where the attribute has options."""
    options = optional(attribute, "options", dict, where)
    if attribute.get("type") == 2 and "," in value:
        raise UserError(f"{where} has several labels at once ({value}): keep one")
    if attribute.get("type") in (2, 3, 4) and value not in options:
        raise UserError(f"{where}: attribute {attribute['aname']!r} has no option {value!r}")
    return str(options[value] if attribute.get("type") in (2, 3, 4) else value).strip()


def _project(source: Source) -> tuple[dict[str, dict], list[_Metadata]]:
    document = source.document
    parts = {
        key: entry(document, key, dict, str(source.file))
        for key in ("attribute", "file", "view", "metadata")
    }
    for key, attribute in parts["attribute"].items():
        entry(attribute, "aname", str, source.at("attribute", key))
    metadata = []
    for key, value in parts["metadata"].items():
        where = source.at("metadata", key)
        view = entry(parts["view"], str(entry(value, "vid", (str, int), where)), dict, where)
        files = []
        for number in entry(view, "fid_list", list, where):
            file = entry(parts["file"], str(number), dict, where)
            # "loc" 2 and 3 are addresses; the source of a local file (1) may be empty.
            files.append(str(file.get("src") or "") or entry(file, "fname", str, where))
        metadata.append(
            _Metadata(
                where,
                files,
                entry(value, "z", list, where),
                entry(value, "xy", list, where),
                _values(entry(value, "av", dict, where)),
            )
        )
    return parts["attribute"], metadata


def _values(values: dict[str, Any]) -> dict[str, str]:
    return {str(key): str(value).strip() for key, value in values.items()}


def _export(source: Source) -> tuple[dict[str, dict], list[_Metadata]]:
    attributes: dict[str, dict] = {}
    for line in source.text.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip() in ("# ATTRIBUTE", "# ATTRIBUTES"):
            told = _parsed(value, f"{source.file} {key.strip('# ')}", dict)
            # Earlier versions write only the names.
            attributes = {
                key: each if isinstance(each, dict) else {"aname": str(each)}
                for key, each in told.items()
            }
    return attributes, list(_rows(source))


def _rows(source: Source) -> Iterator[_Metadata]:
    for number, cells in source.rows:
        where = source.row(number)
        if len(cells) < 6:
            raise UserError(f"{where} has {len(cells)} cells, not 6: the file is damaged")
        yield _Metadata(
            where,
            [str(each) for each in _parsed(cells[1], where, list)],
            _parsed(cells[3], where, list),
            _parsed(cells[4], where, list),
            _values(_parsed(cells[5], where, dict)),
        )


def _parsed(text: str, where: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, kind):
        raise UserError(f"{where}: {text.strip()[:60]!r} is damaged")
    return value
