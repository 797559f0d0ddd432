"""Times, and the choice among several sets of labels."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ar3d_keras.errors import UserError
from ar3d_keras.labels.label import chosen, format_seconds, parse_seconds, parse_stretch


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1.5", 1.5),
        (" 0 ", 0),
        ("01:02:03.250", 3723.25),
        ("2:03", 123),
        (7, 7),
        ("1e2", 100),
        (".5", 0.5),
    ],
)
def test_a_time_is_seconds_or_a_clock(value, seconds):
    assert parse_seconds(value, "row 1") == seconds


@pytest.mark.parametrize(
    "value",
    ["1,5", "-1", -0.001, "nan", math.nan, "inf", math.inf, "", "NA", "1:2:3:4", "0:99", None, True,
     "٣", [1], "1 2", "1_0"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_the_row(value):
    with pytest.raises(UserError) as error:
        parse_seconds(value, "a.csv row 7")
    assert str(error.value).startswith("a.csv row 7") and "\n" not in str(error.value)


@pytest.mark.parametrize(("start", "end"), [(2, 2), (3, 2), ("1.0001", "1.0004")])
def test_the_start_is_before_the_end(start, end):
    with pytest.raises(UserError, match="row 7"):
        parse_stretch(start, end, "row 7")


@given(st.integers(0, 10**9))
def test_milliseconds_survive_the_table(milliseconds):
    seconds = milliseconds / 1000
    assert round(parse_seconds(format_seconds(seconds), "") * 1000) == milliseconds


def test_several_sets_need_a_choice():
    words = {"option": "label_set", "what": "tag", "where": "f.json"}
    assert chosen(["a", "a"], (), **words) == {"a"}
    assert chosen(["a", "b"], ("b",), **words) == {"b"}
    assert chosen(["a", "b"], ("b", "a"), **words) == {"a", "b"}
    for wanted in ((), ("c",)):
        with pytest.raises(UserError) as error:
            chosen(["a", "b"], wanted, **words)
        assert error.value.parameter == "label_set"
        assert "'a'" in str(error.value) and "'b'" in str(error.value)
