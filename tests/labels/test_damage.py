"""No damage of a file of any format is a crash: an import succeeds or names the file."""

import copy
import json

import pytest
from test_boris import PROJECT, TABULAR_7, aggregated, state
from test_datasets import ACTIVITYNET, KINETICS
from test_label_studio import ranged, task
from test_other_tools import SIDECAR, VIA, VIA_CSV

from ar3d_keras.errors import UserError

JUNK = (None, True, -1, 1e400, "x", [], [None], {"x": 1})
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


def attempt(imported, content, videos, format=None):
    try:
        imported(content, videos=videos, format=format, point_seconds=1.0)
    except UserError as error:
        assert "\n" not in str(error) and "labels.txt" in str(error)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_junk_anywhere_in_a_document(name, imported, touch):
    videos = touch("a.mp4", "b.mp4", "park walk.mp4", "sample.mp4", "cam/yard.mp4", "kitchen.mp4",
                   "v_sJFgo9H6zNo.mp4")  # fmt: skip
    format = None if name == "json-min" else name
    for *parents, last in filter(None, places(DOCUMENTS[name])):
        for junk in JUNK:
            document = copy.deepcopy(DOCUMENTS[name])
            holder = document
            for key in parents:
                holder = holder[key]
            holder[last] = junk
            attempt(imported, document, videos, format)
            if len(parents) < 2:  # it decides what the file is
                attempt(imported, document, videos)


@pytest.mark.parametrize("name", [*DOCUMENTS, *TEXTS])
def test_a_file_that_is_cut_off(name, imported, touch):
    videos = touch("pen.mp4", "pen_25fps.mp4", "a.mp4", "kitchen.mp4")
    text = TEXTS[name] if name in TEXTS else json.dumps(DOCUMENTS[name])
    format = None if name == "json-min" else name
    for end in range(1, len(text), 1 + len(text) // 50):
        attempt(imported, text[:end], videos)
        attempt(imported, text[:end], videos, format)
