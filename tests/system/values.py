"""Python values as Flyte's literals and back: the few kinds that tests hand over by hand."""

import hashlib
from collections.abc import Iterable, Mapping

from flyteidl2.core.literals_pb2 import Literal, LiteralCollection, Primitive, Scalar
from flyteidl2.task.common_pb2 import Inputs, NamedLiteral

KEPT = ["first", "first", "first", "note.txt", hashlib.sha256(b"first").hexdigest()]
"""What each reader in ``workflows/keeping.py`` sees, on every store."""

Value = str | int | float | bool | None | list["Value"]


def make_inputs(values: Mapping[str, Value]) -> Inputs:
    return Inputs(
        literals=[
            NamedLiteral(name=name, value=to_literal(value)) for name, value in values.items()
        ]
    )


def to_literal(value: Value) -> Literal:
    match value:
        case list():
            return Literal(collection=LiteralCollection(literals=map(to_literal, value)))
        case bool():
            return _primitive(Primitive(boolean=value))
        case int():
            return _primitive(Primitive(integer=value))
        case float():
            return _primitive(Primitive(float_value=value))
        case str():
            return _primitive(Primitive(string_value=value))
        case None:
            raise NotImplementedError("no test needs one")


def _primitive(primitive: Primitive) -> Literal:
    return Literal(scalar=Scalar(primitive=primitive))


def from_literals(literals: Iterable[NamedLiteral]) -> list[Value]:
    return [from_literal(named.value) for named in literals]


def from_literal(literal: Literal) -> Value:
    """Return the value; AssertionError for a kind that only the SDK can read."""
    if literal.HasField("collection"):
        return [from_literal(one) for one in literal.collection.literals]
    kind = literal.scalar.WhichOneof("value")
    if kind == "none_type":
        return None
    assert kind == "primitive", f"a literal of another kind: {literal}"
    value: Value = getattr(literal.scalar.primitive, literal.scalar.primitive.WhichOneof("value"))
    return value
