"""No damage of a file of any format is a crash: an import succeeds or names the file."""

import copy
import json
from pathlib import Path

import pytest
from test_boris import PROJECT, TABULAR_7, aggregated, state
from test_datasets import ACTIVITYNET, KINETICS
from test_label_studio import ranged, task
from test_other_tools import SIDECAR, VIA, VIA_CSV

from ar3d_keras.errors import UserError
from ar3d_keras.labels.read import read_source, recognize
from ar3d_keras.labels.source import ImportOptions, Source

JUNK = (None, True, -1, 1e400, "x", [], [None], {"x": 1})
OPTIONS = ImportOptions(point_seconds=1.0)
DOCUMENTS = {
    "boris-project": PROJECT,
    "label-studio": [task(ranged(1, 25, "Walk"), fps=25)],
    "json-min": [
        {
            "video": "a.mp4",
            "fps": 10,
            "tag": [{"ranges": [{"start": 1, "end": 2}], "timelinelabels": ["x"]}],
        }
    ],
    "via": VIA,
    "x-anylabeling": SIDECAR,
    "activitynet": ACTIVITYNET,
}
TEXTS = {
    "boris": TABULAR_7,
    "boris-aggregated": aggregated(state("walk", "1", "2"), state("eat", "2", "3")),
    "via": VIA_CSV,
    "kinetics": KINETICS,
    "csv": "path,label,start,end\na.mp4,Walk,1,2\n",
}


def places(value, path=()):
    """The path of every value in a document."""
    yield path
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from places(inner, (*path, key))


def attempt(content, format=None):
    """Reads a text or a JSON document as a file of labels."""
    source = Source(Path("labels.txt"), content if isinstance(content, str) else "{}", OPTIONS)
    if not isinstance(content, str):
        source.document = content
    try:
        read_source(source, format or recognize(source))
    except UserError as error:
        assert "\n" not in str(error) and "labels.txt" in str(error)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_junk_anywhere_in_a_document(name):
    format = None if name == "json-min" else name
    for *parents, last in filter(None, places(DOCUMENTS[name])):
        document = copy.deepcopy(DOCUMENTS[name])
        holder = document
        for key in parents:
            holder = holder[key]
        for junk in JUNK:
            holder[last] = junk
            attempt(document, format)
            attempt(document)


@pytest.mark.parametrize("name", [*DOCUMENTS, *TEXTS])
def test_a_file_that_is_cut_off(name):
    text = TEXTS[name] if name in TEXTS else json.dumps(DOCUMENTS[name])
    format = None if name == "json-min" else name
    for end in range(1, len(text), 1 + len(text) // 100):
        attempt(text[:end])
        attempt(text[:end], format)
