"""A clock that jumps: no duration and no decision depends on the time of day."""

import re
from pathlib import Path

import ar3d_keras

# The time of day is written into records and names, and compared with nothing but itself.
OF_DAY = re.compile(r"time\.time\(|\bfrom time import\b.*\btime\b")


def test_durations_are_measured_by_a_clock_that_does_not_jump():
    package = Path(ar3d_keras.__file__).parent
    assert not [file for file in package.rglob("*.py") if OF_DAY.search(file.read_text("utf-8"))]
