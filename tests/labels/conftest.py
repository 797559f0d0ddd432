"""Files of labels that a test writes and imports."""

import json

import pytest

from ar3d_keras.labels.read import read_labels
from ar3d_keras.labels.source import ImportOptions
from ar3d_keras.labels.table import as_table


@pytest.fixture
def imported(tmp_path):
    """imported(text or JSON value, name=..., format=..., **options): the rows of the table."""

    def run(content, name="labels.txt", format=None, videos=None, **options):
        file = tmp_path / name
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        file.write_text(text, encoding="utf-8")
        found = read_labels(
            [file], tmp_path / "out.csv", ImportOptions(**options), videos=videos, format=format
        )
        run.notes, [run.format] = found.notes, found.formats.values()
        return as_table(found.labels).splitlines()[1:]

    return run


@pytest.fixture
def refused(imported, user_error):
    """refused(parts, content, ...): the import must fail with a line that contains the parts."""

    def run(parts, content, **options):
        with user_error(*parts):
            imported(content, **options)

    return run


@pytest.fixture
def touch(tmp_path):
    """touch(names): makes empty files under tmp_path / videos, and returns that folder."""

    def make(*names):
        for name in names:
            file = tmp_path / "videos" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return tmp_path / "videos"

    return make
