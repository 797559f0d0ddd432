import os
from pathlib import Path

import pytest


@pytest.fixture
def server_path(monkeypatch):
    """Where the fork server of forked.py finds its imports."""
    here = Path(__file__).parent
    paths = [here, here.parent, here.parents[1], os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, paths)))
