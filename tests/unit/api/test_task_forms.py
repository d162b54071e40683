"""Forms of whole tasks: defaults, schemas, and forms that are refused."""

from typing import Any

import pytest
from flyte.types import TypeEngine
from flyteidl2.core.interface_pb2 import Parameter, Variable
from flyteidl2.core.literals_pb2 import Literal, LiteralOffloadedMetadata
from flyteidl2.core.types_pb2 import LiteralType, SchemaType, UnionType
from flyteidl2.task.common_pb2 import NamedLiteral, NamedParameter
from flyteidl2.task.task_definition_pb2 import TaskSpec
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from controlplane.api.convert.launch_forms import (
    make_form,
    make_form_of_task,
    read_form,
)
from controlplane.core.errors import InvalidError
from tests.unit.api.launch_forms import Color, Model, make, variables


def test_form_of_a_task_has_its_defaults_its_order_and_its_schemas() -> None:
    spec = TaskSpec()
    for name, python in (("z", int), ("a", Color), ("m", Model)):
        type_ = TypeEngine.to_literal_type(python)
        variable = Variable(type=type_, description=f"the {name}")
        spec.task_template.interface.inputs.variables.add(key=name, value=variable)
    _, default = make(Color, Color.RED)
    spec.default_inputs.append(NamedParameter(name="a", parameter=Parameter(default=default)))

    form = json_format.MessageToDict(make_form_of_task(spec))

    assert form["propertyOrder"] == ["z", "a", "m"]
    assert form["required"] == ["z", "m"]
    assert form["properties"]["a"]["default"] == "RED"
    assert form["properties"]["a"]["enum"] == ["RED", "GREEN"]
    assert form["properties"]["z"]["description"] == "the z"
    assert form["properties"]["m"]["properties"]["layers"]["type"] == "array"


def test_form_with_a_required_input_without_a_value_is_refused() -> None:
    form = make_form(variables(x=TypeEngine.to_literal_type(int)), [])

    with pytest.raises(InvalidError, match="x: has no value"):
        read_form(form)


def test_form_without_literal_types_is_read_by_its_schema() -> None:
    form = Struct()
    form.update({
        "properties": {
            "a": {"type": "array", "items": {"type": "string", "format": "date-time"}, "default": []},
            "m": {"type": "object", "additionalProperties": {"type": "integer"}, "default": {"k": 1}},
            "n": {"type": "number", "format": "float", "default": 1},
        }
    })  # fmt: skip

    found = {each.name: each.value for each in read_form(form)}

    assert found["m"].map.literals["k"].scalar.primitive.integer == 1
    assert found["n"].scalar.primitive.float_value == 1.0
    assert found["a"].WhichOneof("value") == "collection"


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({}, "json.properties: is missing"),
        ({"properties": {"x": 1}}, "x: must be a schema"),
        ({"properties": {"x": {"default": 1}}}, "x.literalType: is missing"),
        ({"properties": {"x": {"default": 1, "literalType": {"nope": 1}}}}, "is not a LiteralType"),
        ({"properties": {"x": {"default": 1, "literalType": 1}}}, "is not a LiteralType"),
        ({"properties": {"x": {"default": 1, "literalType": {}}}}, "x: is not a value of type"),
    ],
)
def test_form_that_is_none_is_refused(form: dict[str, Any], message: str) -> None:
    sent = Struct()
    sent.update(form)

    with pytest.raises(InvalidError, match=message):
        read_form(sent)


def test_values_without_a_json_form_are_refused_with_their_path() -> None:
    offloaded = Literal(offloaded_metadata=LiteralOffloadedMetadata(uri="s3://b/x"))
    damaged, tagged = Literal(), Literal()
    damaged.scalar.binary.value, damaged.scalar.binary.tag = b"\xc1", "msgpack"
    tagged.scalar.binary.tag = "cbor"
    struct = TypeEngine.to_literal_type(dict)
    schema = LiteralType(schema=SchemaType())
    union = LiteralType(union_type=UnionType(variants=[struct, schema]))

    for type_, literal, message in (
        (struct, offloaded, "x: is stored as a file of its own"),
        (struct, damaged, "x: is not a msgpack value"),
        (struct, tagged, "x: is not a value of type struct"),
        (schema, Literal(), "x: has a type without a JSON form"),
        (union, Literal(), "has a type without a JSON form"),
    ):
        with pytest.raises(InvalidError, match=message):
            make_form(variables(x=type_), [NamedLiteral(name="x", value=literal)])
    with pytest.raises(InvalidError, match="y: has a literal, and no variable"):
        make_form(variables(x=struct), [NamedLiteral(name="y", value=Literal())])
