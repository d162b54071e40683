"""Literals of the SDK, and forms made of them, for the tests of launch forms."""

import asyncio
import dataclasses
import enum
from typing import Any

import msgpack
from flyte.types import TypeEngine
from flyteidl2.core.interface_pb2 import Variable, VariableEntry, VariableMap
from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.core.types_pb2 import LiteralType
from flyteidl2.task.common_pb2 import NamedLiteral
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from controlplane.api.convert.launch_forms import (
    convert_values,
    make_form,
    read_form,
)


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


@dataclasses.dataclass
class Layer:
    width: int
    scale: float = 1.0


@dataclasses.dataclass
class Model:
    layers: list[Layer]
    options: dict[str, int]
    names: dict[int, str] = dataclasses.field(default_factory=dict)
    weights: dict[int, float] = dataclasses.field(default_factory=dict)
    seed: int | None = None
    either: int | str = 0
    both: int | float = 0


def make(python: Any, value: Any) -> tuple[LiteralType, Literal]:
    type_ = TypeEngine.to_literal_type(python)
    return type_, asyncio.run(TypeEngine.to_literal(value, python, type_))


def variables(**types: LiteralType) -> VariableMap:
    entries = [VariableEntry(key=key, value=Variable(type=type_)) for key, type_ in types.items()]
    return VariableMap(variables=entries)


def through_form(type_: LiteralType, literal: Literal) -> tuple[Any, Literal]:
    """Make a form of one input and read it; return its value in JSON, and the literal read."""
    form = make_form(variables(x=type_), [NamedLiteral(name="x", value=literal)])
    sent = Struct.FromString(form.SerializeToString())
    [found] = read_form(sent)
    return json_format.MessageToDict(sent)["properties"]["x"]["default"], found.value


def unpack(literal: Literal) -> Any:
    return msgpack.unpackb(literal.scalar.binary.value, strict_map_key=False)


def convert(type_: LiteralType, value: Any) -> Literal:
    values = Struct()
    values.update({"x": value})
    [found] = convert_values(variables(x=type_), values)
    return found.value
