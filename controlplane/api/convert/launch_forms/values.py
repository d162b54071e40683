"""Converts literals to JSON and back, by their types; docs/launch-forms.md has the forms."""

import re
from collections.abc import Sequence
from typing import Any

from flyteidl2.core.literals_pb2 import Literal, StructuredDataset, Union
from flyteidl2.core.types_pb2 import BlobType, LiteralType, SimpleType, StructuredDatasetType
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from controlplane.api.convert.launch_forms import packed
from controlplane.core.errors import InvalidError

PICKLE = "FlytePickle"
"""Tag of variants that the SDK does not wrap in a union."""
_MSGPACK = "msgpack"
_ISO_DURATION = re.compile(
    r"(-)?P(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9}(?:\.\d{1,9})?)S)?)?"
)


def parse_message(value: Any, message: Message, path: str) -> None:
    """Parse a message from its JSON; InvalidError names the path."""
    try:
        json_format.ParseDict(value, message)
    except (json_format.ParseError, TypeError, ValueError, AttributeError) as error:
        # ParseDict raises any of these for JSON of another shape: numbers where objects are.
        raise InvalidError(f"{path}: is not a {message.DESCRIPTOR.name}: {error}") from error


def name_variants(variants: Sequence[LiteralType]) -> Sequence[str]:
    """Name the variants of a union by their tags, or by their kinds where tags repeat."""
    tags = [each.structure.tag for each in variants]
    names = [
        tag if tag and tags.count(tag) == 1 else _kind(each)
        for tag, each in zip(tags, variants, strict=True)
    ]
    return [
        name if names.count(name) == 1 else f"{name} {index + 1}"
        for index, name in enumerate(names)
    ]


def find_optional(type_: LiteralType) -> LiteralType | None:
    """Return the type of which a union is the optional one; None for any other type."""
    others = [each for each in type_.union_type.variants if not _is_none(each)]
    if len(type_.union_type.variants) == 2 and len(others) == 1:
        return others[0]
    return None


def render_value(type_: LiteralType, literal: Literal, path: str, depth: int = 0) -> Any:
    """Convert a literal of a type to JSON; InvalidError names the path of what has no JSON form."""
    packed.require_depth(depth, path)
    kind, found = type_.WhichOneof("type"), literal.WhichOneof("value")
    if found == "offloaded_metadata":
        raise InvalidError(f"{path}: is stored as a file of its own, and has no JSON form")
    if kind == "union_type":
        return _render_union(type_, literal, path, depth + 1)
    if kind == "collection_type" and found == "collection":
        return [
            render_value(type_.collection_type, each, f"{path}[{index}]", depth + 1)
            for index, each in enumerate(literal.collection.literals)
        ]
    if kind == "map_value_type" and found == "map":
        return {
            key: render_value(type_.map_value_type, each, f"{path}.{key}", depth + 1)
            for key, each in literal.map.literals.items()
        }
    scalar = literal.scalar
    inner = scalar.WhichOneof("value") if found == "scalar" else None
    match kind, inner:
        case "simple", _:
            return _render_simple(type_, literal, path)
        case "enum_type", "primitive":
            return scalar.primitive.string_value
        case "blob", "blob":
            about = scalar.blob.metadata.type
            return {
                "uri": scalar.blob.uri,
                "format": about.format,
                "dimensionality": BlobType.BlobDimensionality.Name(about.dimensionality),
            }
        case "structured_dataset_type", "structured_dataset":
            about = scalar.structured_dataset.metadata.structured_dataset_type
            return {"uri": scalar.structured_dataset.uri, "type": json_format.MessageToDict(about)}
        case _:
            raise _unfit(type_, path)


def parse_value(type_: LiteralType, value: Any, path: str, depth: int = 0) -> Literal:
    """Convert JSON to a literal of a type; InvalidError names the path of what does not fit."""
    packed.require_depth(depth, path)
    literal = Literal()
    match type_.WhichOneof("type"):
        case "simple":
            _parse_simple(type_, value, path, literal)
        case "enum_type":
            values = type_.enum_type.values
            if value not in values:
                raise InvalidError(f"{path}: must be one of {', '.join(values)}")
            literal.scalar.primitive.string_value = value
        case "collection_type":
            if not isinstance(value, list):
                raise InvalidError(f"{path}: must be a list")
            literal.collection.literals.extend(
                parse_value(type_.collection_type, each, f"{path}[{index}]", depth + 1)
                for index, each in enumerate(value)
            )
            literal.collection.SetInParent()
        case "map_value_type":
            literal.map.SetInParent()
            for key, each in _require_object(value, path).items():
                inner = parse_value(type_.map_value_type, each, f"{path}.{key}", depth + 1)
                literal.map.literals[key].CopyFrom(inner)
        case "union_type":
            return _parse_union(type_, value, path, depth + 1)
        case "blob":
            _parse_blob(type_, value, path, literal)
        case "structured_dataset_type":
            _parse_dataset(type_, value, path, literal.scalar.structured_dataset)
        case _:
            raise _unfit(type_, path)
    return literal


def _render_simple(type_: LiteralType, literal: Literal, path: str) -> Any:
    scalar = literal.scalar
    inner, kind = scalar.WhichOneof("value"), scalar.primitive.WhichOneof("value")
    primitive = scalar.primitive
    match type_.simple, inner, kind:
        case SimpleType.NONE, "none_type", _:
            return None
        case SimpleType.INTEGER, "primitive", "integer":
            return packed.render_int(primitive.integer)
        case SimpleType.FLOAT, "primitive", "float_value":
            return packed.render_float(primitive.float_value)
        case SimpleType.FLOAT, "primitive", "integer":
            return packed.render_int(primitive.integer)
        case SimpleType.STRING, "primitive", "string_value":
            return primitive.string_value
        case SimpleType.BOOLEAN, "primitive", "boolean":
            return primitive.boolean
        case SimpleType.DATETIME, "primitive", "datetime":
            return _in_json(primitive.datetime, path)
        case SimpleType.DURATION, "primitive", "duration":
            return _in_json(primitive.duration, path)
        case SimpleType.BINARY, "binary", _ if not scalar.binary.tag:
            return packed.render_bytes(scalar.binary.value)
        case SimpleType.STRUCT, "binary", _ if scalar.binary.tag == _MSGPACK:
            return packed.unpack_json(scalar.binary.value, _schema(type_), path)
        case SimpleType.STRUCT, "generic", _:
            return json_format.MessageToDict(scalar.generic)
        case _:
            raise _unfit(type_, path)


def _parse_simple(type_: LiteralType, value: Any, path: str, literal: Literal) -> None:
    primitive = literal.scalar.primitive
    match type_.simple:
        case SimpleType.NONE:
            if value is not None:
                raise InvalidError(f"{path}: must be null")
            literal.scalar.none_type.SetInParent()
        case SimpleType.INTEGER:
            primitive.integer = packed.parse_int(value, path)
        case SimpleType.FLOAT:
            primitive.float_value = packed.parse_float(value, path)
        case SimpleType.STRING:
            primitive.string_value = _require_text(value, path)
        case SimpleType.BOOLEAN:
            if not isinstance(value, bool):
                raise InvalidError(f"{path}: must be true or false")
            primitive.boolean = value
        case SimpleType.DATETIME:
            try:
                primitive.datetime.FromJsonString(_require_text(value, path))
            except ValueError as error:
                raise InvalidError(
                    f"{path}: must be a time such as 2026-01-31T12:00:00Z, with its zone"
                ) from error
        case SimpleType.DURATION:
            primitive.duration.CopyFrom(_parse_duration(value, path))
        case SimpleType.BINARY:
            literal.scalar.binary.value = packed.parse_bytes(value, path)
        case SimpleType.STRUCT:
            literal.scalar.binary.value = packed.pack_json(value, _schema(type_), path)
            literal.scalar.binary.tag = _MSGPACK
        case _:
            raise _unfit(type_, path)


def _render_union(type_: LiteralType, literal: Literal, path: str, depth: int) -> Any:
    variants = type_.union_type.variants
    names = name_variants(variants)
    if literal.scalar.WhichOneof("value") == "union":
        union = literal.scalar.union
        chosen = [index for index, each in enumerate(variants) if each == union.type]
        if not chosen:  # of another release of the SDK, which describes the type otherwise
            chosen = [
                index
                for index, each in enumerate(variants)
                if each.structure.tag == union.type.structure.tag
                and _kind(each) == _kind(union.type)
            ]
        literal = union.value
    else:
        inner = literal.scalar.WhichOneof("value")
        chosen = [index for index, each in enumerate(variants) if inner and _kind(each) == inner]
    if not chosen:
        raise InvalidError(f"{path}: is of none of the types {', '.join(names)}")
    index = chosen[0]
    value = render_value(variants[index], literal, path, depth)
    if find_optional(type_) is not None:
        return value
    return {"type": names[index], "value": value}


def _parse_union(type_: LiteralType, value: Any, path: str, depth: int) -> Literal:
    variants = type_.union_type.variants
    optional = find_optional(type_)
    if optional is not None:
        [none] = [each for each in variants if _is_none(each)]
        chosen = none if value is None else optional
    else:
        names = name_variants(variants)
        given = _require_object(value, path)
        if set(given) != {"type", "value"} or given["type"] not in names:
            raise InvalidError(
                f"{path}: must be an object with value and type, which is one of {', '.join(names)}"
            )
        chosen, value = variants[names.index(given["type"])], given["value"]
    literal = parse_value(chosen, value, path, depth)
    if chosen.structure.tag == PICKLE:
        return literal
    wrapped = Literal()
    wrapped.scalar.union.CopyFrom(Union(value=literal, type=chosen))
    return wrapped


def _parse_blob(type_: LiteralType, value: Any, path: str, literal: Literal) -> None:
    given = {"uri": value} if isinstance(value, str) else _require_object(value, path)
    about = literal.scalar.blob.metadata.type
    about.CopyFrom(type_.blob)
    literal.scalar.blob.uri = _require_text(given.get("uri"), f"{path}.uri")
    if "format" in given:
        about.format = _require_text(given["format"], f"{path}.format")
    if "dimensionality" in given:
        names = BlobType.BlobDimensionality
        if given["dimensionality"] not in names.keys():  # noqa: SIM118 -- an enum, not a mapping
            raise InvalidError(f"{path}.dimensionality: must be one of {', '.join(names.keys())}")
        about.dimensionality = names.Value(given["dimensionality"])


def _parse_dataset(type_: LiteralType, value: Any, path: str, dataset: StructuredDataset) -> None:
    given = {"uri": value} if isinstance(value, str) else _require_object(value, path)
    dataset.uri = _require_text(given.get("uri"), f"{path}.uri")
    about = type_.structured_dataset_type
    if "type" in given:
        about = StructuredDatasetType()
        parse_message(given["type"], about, f"{path}.type")
    dataset.metadata.structured_dataset_type.CopyFrom(about)


def _parse_duration(value: Any, path: str) -> Duration:
    """Parse seconds as a number or as ``5s``, or ISO 8601's ``PT5S``."""
    duration = Duration()
    try:
        if isinstance(value, str):
            matched = _ISO_DURATION.fullmatch(value)
            if matched and value[-1] not in "PT":
                sign, days, hours, minutes, seconds = matched.groups()
                whole, _, fraction = (seconds or "0").partition(".")
                total = int(days or 0) * 86400 + int(hours or 0) * 3600 + int(minutes or 0) * 60
                value = f"{sign or ''}{total + int(whole)}.{fraction or '0'}s"
            duration.FromJsonString(value)
            return duration
        seconds_given = packed.parse_float(value, path)
        duration.FromJsonString(f"{seconds_given:.9f}s")
    except ValueError as error:
        raise InvalidError(
            f"{path}: must be a number of seconds, 90s, or a duration such as PT1M30S"
        ) from error
    return duration


def _in_json(message: Any, path: str) -> str:
    try:
        text: str = message.ToJsonString()
    except ValueError as error:
        raise InvalidError(f"{path}: is out of range: {error}") from error
    return text


def _schema(type_: LiteralType) -> packed.Schema:
    return json_format.MessageToDict(type_.metadata)


def _is_none(type_: LiteralType) -> bool:
    return _kind(type_) == "none"


def _kind(type_: LiteralType) -> str:
    kind = type_.WhichOneof("type") or "unknown"
    return SimpleType.Name(type_.simple).lower() if kind == "simple" else kind


def _require_object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidError(f"{path}: must be an object")
    return value


def _require_text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise InvalidError(f"{path}: must be text")
    return value


def _unfit(type_: LiteralType, path: str) -> InvalidError:
    return InvalidError(f"{path}: is not a value of type {_kind(type_)} that has a JSON form")
