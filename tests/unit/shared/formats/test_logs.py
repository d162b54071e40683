"""Format of attempts' logs: what a damaged log still gives."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from shared.formats.logs import DAMAGED, LogDecoder, encode_line
from shared.model.logs import LogLine, Originator
from tests.factories import NOW

FIRST, LAST = LogLine(NOW, "first"), LogLine(NOW, "last", Originator.SYSTEM)
MARKER = LogLine(NOW, DAMAGED, Originator.SYSTEM)
WHOLE = encode_line(LogLine(NOW, 'a line with "quotes" and {"t": 1}'))


def decode(*raws: bytes) -> list[LogLine]:
    decoder = LogDecoder()
    return [line for raw in raws for line in decoder.decode(raw)]


@given(
    st.builds(
        LogLine,
        st.datetimes(timezones=st.just(UTC)),
        st.text(),
        st.sampled_from(Originator),
    )
)
def test_log_line_round_trip(line: LogLine) -> None:
    assert decode(encode_line(line)) == [line]


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"words",
        b"[1]",
        b"5",
        WHOLE[:-9],
        WHOLE[7:],
        b"\0" * 4096,
        b"\xff\xfe\x80",
        WHOLE.replace(b"quotes", b"qu\xffotes"),
        b"[" * 100_000,
        b'{"t": 1e300, "m": "late", "o": 1}',
        b'{"t": 1' + b"0" * 30 + b', "m": "late", "o": 1}',
        b'{"t": 1' + b"0" * 9000 + b', "m": "late", "o": 1}',
        b'{"t": true, "m": "when", "o": 1}',
        b'{"t": 1, "m": 5, "o": 1}',
        b'{"t": 1, "m": "who", "o": "us"}',
        b'{"t": 1, "m": "who"}',
    ],
    ids=[
        "empty",
        "words",
        "list",
        "number",
        "end-cut",
        "start-cut",
        "nuls",
        "bytes",
        "bytes-in-text",
        "deep",
        "float-time",
        "late",
        "huge-number",
        "bool-time",
        "number-as-text",
        "text-as-originator",
        "field-missing",
    ],
)
def test_damaged_log_line_is_replaced_by_a_marker(damaged: bytes) -> None:
    raws = (encode_line(FIRST), damaged, encode_line(LAST))
    assert decode(*raws) == [FIRST, MARKER, LAST]


@pytest.mark.parametrize("damage", [b"\0" * 4096, WHOLE[:-9], b"\xff\xfe"])
def test_log_line_appended_to_a_damaged_one_is_decoded(damage: bytes) -> None:
    assert decode(encode_line(FIRST), damage + encode_line(LAST)) == [FIRST, MARKER, LAST]


def test_consecutive_damaged_log_lines_have_one_marker() -> None:
    raws = (b"x", b"y", encode_line(FIRST), b"z")
    assert [line.text for line in decode(*raws)] == [DAMAGED, "first", DAMAGED]


def test_marker_before_all_log_lines_is_dated_1970() -> None:
    assert decode(b"x")[0].at == datetime(1970, 1, 1, tzinfo=UTC)


def test_log_line_of_a_later_releases_originator_is_the_systems() -> None:
    raw = json.dumps({"t": 1, "m": "who", "o": 9}).encode()
    assert decode(raw)[0].originator is Originator.SYSTEM


def test_log_line_with_lone_surrogate_is_decoded() -> None:
    assert decode(rb'{"t": 1, "m": "\ud800!", "o": 1}')[0].text == "?!"
