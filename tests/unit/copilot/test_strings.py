"""We test that simple values survive being files, and are read as people write them."""

import math
from datetime import UTC, datetime

import pytest
from flyteidl2.core.literals_pb2 import Primitive
from flyteidl2.core.types_pb2 import (
    BOOLEAN,
    DATETIME,
    DURATION,
    FLOAT,
    INTEGER,
    NONE,
    STRING,
    STRUCT,
)
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, strategies

from dataplane.copilot import strings
from shared.kit import number_format

SECOND = 1_000_000_000
LONGEST = 315_576_000_000 * SECOND  # what a protobuf Duration takes


@given(strategies.integers(-(2**63), 2**63 - 1))
def test_integers_survive(value: int) -> None:
    text = strings.render_primitive(Primitive(integer=value))
    assert strings.parse_simple(INTEGER, text).primitive.integer == value


@given(strategies.floats())
def test_floats_survive(value: float) -> None:
    text = strings.render_primitive(Primitive(float_value=value))
    assert "e" not in text.lower()
    read = strings.parse_simple(FLOAT, text).primitive.float_value
    assert read == value or (math.isnan(read) and math.isnan(value))


@given(strategies.text())
def test_strings_survive_with_all_their_white_space(value: str) -> None:
    text = strings.render_primitive(Primitive(string_value=value))
    assert strings.parse_simple(STRING, text).primitive.string_value == value


@given(strategies.integers(-LONGEST, LONGEST))
def test_durations_survive(value: int) -> None:
    assert strings.parse_duration(number_format.render_duration(value)) == value


@given(strategies.datetimes(timezones=strategies.just(UTC)))
def test_instants_survive(value: datetime) -> None:
    instant = Timestamp()
    instant.FromDatetime(value)
    text = strings.render_primitive(Primitive(datetime=instant))
    assert strings.parse_simple(DATETIME, text).primitive.datetime == instant


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1500, "1.5µs"),
        (2_000_000, "2ms"),
        (SECOND, "1s"),
        (61 * SECOND, "1m1s"),
        (3600 * SECOND, "1h0m0s"),
        (-(90 * 60 * SECOND + SECOND // 2), "-1h30m0.5s"),
        (100 * 3600 * SECOND + 1, "100h0m0.000000001s"),
    ],
)
def test_durations_are_written_as_go_writes_them(nanoseconds: int, text: str) -> None:
    assert number_format.render_duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("+1.5h\n", 5400),
        ("-2m30s", -150),
        ("250ms", 0.25),
        ("1h 2m", None),
        ("1:02:03", 3723),
        ("1 day, 0:00:01.5", 86401.5),
        ("-1 day, 23:59:59", -1),
        ("PT1H30M", 5400),
        ("-P1DT0.5S", -86400.5),
        ("P", None),
        ("PT", None),
        ("5", None),
        ("", None),
        ("soon", None),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float | None) -> None:
    if seconds is None:
        with pytest.raises(ValueError, match=f"^{text}$"):
            strings.parse_duration(text)
    else:
        assert strings.parse_duration(text) == seconds * SECOND


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.0, "3"), (0.1, "0.1"), (1e22, "1" + "0" * 22), (math.inf, "+Inf"), (-math.inf, "-Inf")],
)
def test_floats_are_written_without_exponents(value: float, text: str) -> None:
    assert number_format.render_float(value) == text


@pytest.mark.parametrize(
    "text", ["2026-01-02T03:04:05Z", "2026-01-02 03:04:05", "2026-01-02T04:04:05+01:00\n"]
)
def test_instants_are_read_as_people_write_them(text: str) -> None:
    read = strings.parse_simple(DATETIME, text).primitive.datetime
    assert read.ToDatetime(UTC) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        (INTEGER, "1.5", "integer"),
        (INTEGER, str(2**63), "64-bit integer"),
        (INTEGER, "", "integer"),
        (FLOAT, "many", "number"),
        (BOOLEAN, "maybe", "write true or false"),
        (DATETIME, "tomorrow", "2026-01-01T00:00:00Z"),
        (DURATION, "9" * 30 + "h", "1h2m3.5s"),
        (STRUCT, "[1]", "JSON object"),
        (NONE, "5", "null"),
    ],
)
def test_unparsable_string_names_the_expected_form(kind: int, text: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        strings.parse_simple(kind, text)
