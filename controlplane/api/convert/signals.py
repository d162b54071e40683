"""Parses answers to conditions, and checks them against the type the condition waits for."""

import json
import math
from collections.abc import Mapping
from typing import NoReturn

from flyteidl2.core.literals_pb2 import Literal, Primitive, Scalar
from flyteidl2.core.types_pb2 import LiteralType, SimpleType
from flyteidl2.workflow.run_service_pb2 import EventPayload

from controlplane.core.actions import ActionDetail, ActionType
from controlplane.core.errors import InvalidError, NotReadyError

_MAX_ANSWER_BYTES = 1024 * 1024

_FIELDS = {
    SimpleType.BOOLEAN: "boolean",
    SimpleType.INTEGER: "integer",
    SimpleType.FLOAT: "float_value",
    SimpleType.STRING: "string_value",
}
_GIVEN = {
    "bool_value": "boolean",
    "int_value": "integer",
    "float_value": "float_value",
    "string_value": "string_value",
}
_PAYLOAD: Mapping[type, str] = {
    bool: "bool_value",
    int: "int_value",
    float: "float_value",
    str: "string_value",
}
_EXAMPLES = {
    "boolean": "true",
    "integer": "7",
    "float_value": "0.5",
    "string_value": '"yes"',
}
_WORDS = {
    "boolean": "a boolean",
    "integer": "an integer",
    "float_value": "a float",
    "string_value": "a string",
}


def parse_payload(message: EventPayload, condition: ActionDetail) -> bytes:
    """Build the literal that answers a condition; see :func:`parse_value`."""
    given = message.WhichOneof("value")
    value = getattr(message, given)
    field = _GIVEN[given]
    if field == "integer" and _field_of(condition) == "float_value":
        field, value = "float_value", float(value)  # 3 is a float as well
    return parse_value(Literal(scalar=Scalar(primitive=Primitive(**{field: value}))), condition)


def parse_json(body: bytes, condition: ActionDetail) -> bytes:
    """Build the literal from a JSON value, such as ``true``; InvalidError; see :func:`parse_value`."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidError(
            f"the body is no JSON value; send {_WORDS[_field_of(condition)]}, such as"
            f" {_EXAMPLES[_field_of(condition)]}"
        ) from error
    kind = next((kind for kind in (bool, int, float, str) if type(value) is kind), None)
    if kind is None:
        raise InvalidError(
            f"the condition waits for {_WORDS[_field_of(condition)]}, not for an object, a list"
            " or null"
        )
    if kind is int and not -(2**63) <= value < 2**63:
        raise InvalidError("the integer has more than 64 bits")
    if kind is str and "\0" in value:
        raise InvalidError("the string has a NUL character, which cannot be stored")
    if kind is float and not math.isfinite(value):
        raise InvalidError("the float is too large for 64 bits")
    return parse_payload(EventPayload(**{_PAYLOAD[kind]: value}), condition)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def parse_value(message: Literal, condition: ActionDetail) -> bytes:
    """Parse a literal of the type that ``condition`` waits for; InvalidError naming both types."""
    field = _field_of(condition)
    given = message.scalar.primitive.WhichOneof("value")
    if given != field:
        raise InvalidError(
            f"the condition waits for {_WORDS[field]}, "
            f"not {_WORDS.get(given or '', 'something else')}"
        )
    body: bytes = message.SerializeToString(deterministic=True)
    if len(body) > _MAX_ANSWER_BYTES:
        raise InvalidError(f"the answer is {len(body)} bytes; at most {_MAX_ANSWER_BYTES}")
    return body


def _field_of(condition: ActionDetail) -> str:
    if condition.row.type is not ActionType.CONDITION:
        raise NotReadyError(
            f"action {condition.row.key} is not a condition; only those take signals"
        )
    return _FIELDS[LiteralType.FromString(condition.row.condition_type).simple]
