"""
Renders simple values as text files, and parses them.

Rendered as by Flyte's own copilot; parsed more leniently, because scripts in many languages
write them. Surrounding white space is kept in strings only.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from flyteidl2.core import literals_pb2, types_pb2
from google.protobuf import json_format, struct_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from shared.kit.number_format import render_duration, render_float

NULL = "null"

_SECOND = 1_000_000_000  # nanoseconds, the unit of all durations here
_UNITS: Mapping[str, int] = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "\u03bcs": 1000,  # the Greek letter; the line above has the micro sign
    "ms": 1_000_000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_TRUE = frozenset({"1", "t", "true", "yes"})
_FALSE = frozenset({"0", "f", "false", "no"})
_PARTS = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|\u03bcs|ms|s|m|h)")  # 1h2m3.5s
_CLOCK = re.compile(r"(?:(-?\d+) days?, )?(\d+):(\d\d):(\d\d(?:\.\d+)?)")  # 1 day, 2:03:04
_ISO = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")  # P1DT2H


def render_primitive(value: literals_pb2.Primitive) -> str:
    match value.WhichOneof("value"):
        case "integer":
            return str(value.integer)
        case "float_value":
            return render_float(value.float_value)
        case "string_value":
            return str(value.string_value)
        case "boolean":
            return "true" if value.boolean else "false"
        case "datetime":
            return str(value.datetime.ToJsonString())
        case "duration":
            return render_duration(value.duration.ToNanoseconds())
        case _:
            return NULL


def parse_simple(kind: int, text: str) -> literals_pb2.Scalar:
    """
    Parse ``text`` as a value of the SimpleType ``kind``.

    ValueError names the expected form.
    """
    scalar = literals_pb2.Scalar()
    parse = _PARSERS.get(kind)
    if parse is None:
        name = types_pb2.SimpleType.Name(kind)
        raise ValueError(f"a {name} value cannot be written as a file; use another type")
    try:
        parse(scalar, text)
    except (ValueError, OverflowError, InvalidOperation, json_format.ParseError) as error:
        raise ValueError(f"{_shown(text)} is not {_EXPECTED[kind]}") from error
    return scalar


def parse_duration(text: str) -> int:
    """Parse Go's ``1h2m3.5s``, Python's ``1 day, 2:03:04`` or ISO 8601's ``P1DT2H``, to ns."""
    body = text.strip()
    sign = -1 if body.startswith("-") and " day" not in body else 1
    body = body.removeprefix("-" if sign < 0 else "+")
    if clock := _CLOCK.fullmatch(body):
        days, hours, minutes, seconds = clock.groups()
    elif (iso := _ISO.fullmatch(body)) and body[-1] not in "PT":
        days, hours, minutes, seconds = iso.groups()
    elif body and not _PARTS.sub("", body):
        return sign * sum(
            int(Decimal(amount) * _UNITS[unit]) for amount, unit in _PARTS.findall(body)
        )
    elif body == "0":
        return 0
    else:
        raise ValueError(text)
    whole = (int(days or 0) * 24 + int(hours or 0)) * 60 + int(minutes or 0)
    return sign * (whole * _UNITS["m"] + int(Decimal(seconds or 0) * _SECOND))


def _integer(scalar: literals_pb2.Scalar, text: str) -> None:
    scalar.primitive.integer = int(text)


def _float(scalar: literals_pb2.Scalar, text: str) -> None:
    scalar.primitive.float_value = float(text)


def _string(scalar: literals_pb2.Scalar, text: str) -> None:
    scalar.primitive.string_value = text


def _boolean(scalar: literals_pb2.Scalar, text: str) -> None:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(text)
    scalar.primitive.boolean = word in _TRUE


def _datetime(scalar: literals_pb2.Scalar, text: str) -> None:
    timestamp = Timestamp()
    try:
        timestamp.FromJsonString(text.strip())
    except ValueError:  # not RFC 3339
        naive = datetime.fromisoformat(text.strip())
        timestamp.FromDatetime(naive if naive.tzinfo else naive.replace(tzinfo=UTC))
    scalar.primitive.datetime.CopyFrom(timestamp)


def _duration(scalar: literals_pb2.Scalar, text: str) -> None:
    duration = Duration()
    duration.FromNanoseconds(parse_duration(text))
    scalar.primitive.duration.CopyFrom(duration)


def _struct(scalar: literals_pb2.Scalar, text: str) -> None:
    scalar.generic.CopyFrom(json_format.Parse(text, struct_pb2.Struct()))


def _none(scalar: literals_pb2.Scalar, text: str) -> None:
    if text.strip() not in {"", NULL}:
        raise ValueError(text)
    scalar.none_type.SetInParent()


_PARSERS: Mapping[int, Callable[[literals_pb2.Scalar, str], None]] = {
    types_pb2.INTEGER: _integer,
    types_pb2.FLOAT: _float,
    types_pb2.STRING: _string,
    types_pb2.BOOLEAN: _boolean,
    types_pb2.DATETIME: _datetime,
    types_pb2.DURATION: _duration,
    types_pb2.STRUCT: _struct,
    types_pb2.NONE: _none,
}
_EXPECTED: Mapping[int, str] = {
    types_pb2.INTEGER: "a 64-bit integer",
    types_pb2.FLOAT: "a number",
    types_pb2.STRING: "a string",
    types_pb2.BOOLEAN: "a boolean; write true or false",
    types_pb2.DATETIME: "a timestamp; write it as 2026-01-01T00:00:00Z",
    types_pb2.DURATION: "a duration; write it as 1h2m3.5s",
    types_pb2.STRUCT: "a JSON object",
    types_pb2.NONE: "null; leave the file empty",
}


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}…")
