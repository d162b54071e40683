"""
Makes forms of a task's inputs, and reads them.

A form is a JSON schema of an object: its properties are the inputs, their ``default`` the values.
Each property has the input's whole type as ``literalType``, so that a form is read without the
task. Properties of a Struct have no order, so ``propertyOrder`` has it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from flyteidl2.core.interface_pb2 import Variable, VariableEntry, VariableMap
from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.core.types_pb2 import LiteralType, SimpleType
from flyteidl2.task.common_pb2 import NamedLiteral
from flyteidl2.task.task_definition_pb2 import TaskSpec
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from controlplane.api.convert.launch_forms.packed import require_depth
from controlplane.api.convert.launch_forms.values import (
    find_optional,
    name_variants,
    parse_message,
    parse_value,
    render_value,
)
from controlplane.core.errors import InvalidError

_TYPE = "literalType"
_SIMPLE: Mapping[int, Mapping[str, Any]] = {
    SimpleType.NONE: {"type": "null"},
    SimpleType.INTEGER: {"type": "integer", "format": "int64"},
    SimpleType.FLOAT: {"type": "number", "format": "double"},
    SimpleType.STRING: {"type": "string"},
    SimpleType.BOOLEAN: {"type": "boolean"},
    SimpleType.DATETIME: {"type": "string", "format": "date-time"},
    SimpleType.DURATION: {"type": "string", "format": "duration"},
    SimpleType.BINARY: {"type": "string", "contentEncoding": "base64"},
}
_URI = {"uri": {"type": "string", "format": "uri"}}
_TYPES_OF_JSON: Mapping[tuple[str, str], "SimpleType.ValueType"] = {
    ("integer", ""): SimpleType.INTEGER,
    ("number", ""): SimpleType.FLOAT,
    ("string", ""): SimpleType.STRING,
    ("boolean", ""): SimpleType.BOOLEAN,
    ("string", "date-time"): SimpleType.DATETIME,
    ("string", "duration"): SimpleType.DURATION,
}


def make_form_of_task(spec: TaskSpec) -> Struct:
    """Return the form of a task's inputs, with the defaults that the task declares."""
    defaults = {
        each.name: each.parameter.default
        for each in spec.default_inputs
        if each.parameter.WhichOneof("behavior") == "default"
    }
    return _make_form(_list_variables(spec.task_template.interface.inputs), defaults)


def make_form(variables: VariableMap, literals: Sequence[NamedLiteral]) -> Struct:
    """Return the form of these inputs, with the literals as defaults."""
    known = _list_variables(variables)
    values = {each.name: each.value for each in literals}
    for name in values:
        if name not in known:
            raise InvalidError(f"{name}: has a literal, and no variable declares its type")
    return _make_form(known, values)


def read_form(form: Struct) -> Sequence[NamedLiteral]:
    """Return a literal for each input of a form that has a value."""
    schema = json_format.MessageToDict(form)
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        raise InvalidError("json.properties: is missing; send a form that this service made")
    required = schema.get("required")
    literals = []
    for name, each in sorted(properties.items()):
        if not isinstance(each, dict):
            raise InvalidError(f"{name}: must be a schema")
        if "default" in each:
            value = parse_value(_read_type(each, name), each["default"], name)
            literals.append(NamedLiteral(name=name, value=value))
        elif isinstance(required, list) and name in required:
            raise InvalidError(f"{name}: has no value; put one into its default")
    return literals


def convert_values(variables: VariableMap, values: Struct) -> Sequence[NamedLiteral]:
    """Return a literal for each variable, from JSON values; an optional one may be left out."""
    known = _list_variables(variables)
    given = json_format.MessageToDict(values)
    for name in given:
        if name not in known:
            raise InvalidError(f"{name}: is no input; there are {', '.join(known) or 'none'}")
    literals = []
    for name, variable in known.items():
        if name in given or find_optional(variable.type) is not None:
            value = parse_value(variable.type, given.get(name), name)
            literals.append(NamedLiteral(name=name, value=value))
        else:
            raise InvalidError(f"{name}: is missing")
    return literals


def render_values(
    variables: Sequence[VariableEntry], literals: Sequence[NamedLiteral]
) -> Mapping[str, Any]:
    """Return the literals as JSON values by name; InvalidError for what has no JSON form."""
    types = {each.key: each.value.type for each in variables}
    return {
        each.name: render_value(types.get(each.name, LiteralType()), each.value, each.name)
        for each in literals
    }


def make_schema(type_: LiteralType, path: str, depth: int = 0) -> dict[str, Any]:
    """Return the JSON schema of the values of a type, as ``values`` writes them."""
    require_depth(depth, path)
    match type_.WhichOneof("type"):
        case "simple" if type_.simple == SimpleType.STRUCT:
            return json_format.MessageToDict(type_.metadata) or {"type": "object"}
        case "simple" if type_.simple in _SIMPLE:
            return dict(_SIMPLE[type_.simple])
        case "enum_type":
            return {"type": "string", "enum": list(type_.enum_type.values)}
        case "collection_type":
            items = make_schema(type_.collection_type, f"{path}[]", depth + 1)
            return {"type": "array", "items": items}
        case "map_value_type":
            values = make_schema(type_.map_value_type, f"{path}.*", depth + 1)
            return {"type": "object", "additionalProperties": values}
        case "union_type":
            return _make_schema_of_union(type_, path, depth + 1)
        case "blob":
            words = {name: {"type": "string"} for name in ("format", "dimensionality")}
            return {"type": "object", "properties": {**_URI, **words}, "required": ["uri"]}
        case "structured_dataset_type":
            described = {**_URI, "type": {"type": "object"}}
            return {"type": "object", "properties": described, "required": ["uri"]}
        case _:
            raise InvalidError(f"{path}: has a type without a JSON form")


def _make_form(variables: Mapping[str, Variable], values: Mapping[str, Literal]) -> Struct:
    properties, required = {}, []
    for name, variable in variables.items():
        schema = make_schema(variable.type, name)
        schema[_TYPE] = json_format.MessageToDict(variable.type)
        if variable.description:
            schema["description"] = variable.description
        schema.pop("default", None)  # of a dataclass's own schema
        if name in values:
            schema["default"] = render_value(variable.type, values[name], name)
        else:
            required.append(name)
        properties[name] = schema
    form = Struct()
    form.update({
        "type": "object",
        "properties": properties,
        "required": required,
        "propertyOrder": list(variables),
    })  # fmt: skip
    return form


def _make_schema_of_union(type_: LiteralType, path: str, depth: int) -> dict[str, Any]:
    optional = find_optional(type_)
    if optional is not None:
        return {"oneOf": [make_schema(optional, path, depth), {"type": "null"}]}
    variants = type_.union_type.variants
    return {
        "oneOf": [
            {
                "title": name,
                "type": "object",
                "properties": {
                    "type": {"const": name},
                    "value": make_schema(variant, f"{path}.value", depth),
                },
                "required": ["type", "value"],
            }
            for name, variant in zip(name_variants(variants), variants, strict=True)
        ]
    }


def _read_type(schema: Mapping[str, Any], path: str, depth: int = 0) -> LiteralType:
    """Read the type of a property; without ``literalType``, from what its schema says."""
    require_depth(depth, path)
    type_ = LiteralType()
    if _TYPE in schema:
        parse_message(schema[_TYPE], type_, f"{path}.{_TYPE}")
        return type_
    kind, form = schema.get("type"), schema.get("format")
    known = _TYPES_OF_JSON.get((str(kind), str(form or "")), _TYPES_OF_JSON.get((str(kind), "")))
    inner, values = schema.get("items"), schema.get("additionalProperties")
    if known is not None:
        type_.simple = known
    elif kind == "array" and isinstance(inner, dict):
        type_.collection_type.CopyFrom(_read_type(inner, f"{path}[]", depth + 1))
    elif kind == "object" and isinstance(values, dict):
        type_.map_value_type.CopyFrom(_read_type(values, f"{path}.*", depth + 1))
    else:
        raise InvalidError(f"{path}.{_TYPE}: is missing; keep it as the form had it")
    return type_


def _list_variables(variables: VariableMap) -> Mapping[str, Variable]:
    return {each.key: each.value for each in variables.variables}
