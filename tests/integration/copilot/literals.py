"""Literals and types as the SDK makes them."""

from datetime import UTC, datetime, timedelta

from flyteidl2.core.literals_pb2 import (
    Blob,
    BlobMetadata,
    Literal,
    LiteralCollection,
    LiteralMap,
    Primitive,
    Scalar,
    Union,
    Void,
)
from flyteidl2.core.types_pb2 import (
    NONE,
    BlobType,
    LiteralType,
    SimpleType,
    TypeStructure,
    UnionType,
)

FILE_TYPE = LiteralType(blob=BlobType())
DIRECTORY_TYPE = LiteralType(blob=BlobType(dimensionality=BlobType.MULTIPART))
NONE_LITERAL = Literal(scalar=Scalar(none_type=Void()))


def primitive(value: bool | float | str | datetime | timedelta) -> Literal:  # noqa: FBT001
    made = Primitive()
    match value:
        case bool():
            made.boolean = value
        case int():
            made.integer = value
        case float():
            made.float_value = value
        case str():
            made.string_value = value
        case datetime():
            made.datetime.FromDatetime(value.astimezone(UTC))
        case timedelta():
            made.duration.FromTimedelta(value)
    return Literal(scalar=Scalar(primitive=made))


def file(uri: str) -> Literal:
    metadata = BlobMetadata(type=BlobType())
    return Literal(scalar=Scalar(blob=Blob(uri=uri, metadata=metadata)))


def directory(uri: str) -> Literal:
    metadata = BlobMetadata(type=BlobType(dimensionality=BlobType.MULTIPART))
    return Literal(scalar=Scalar(blob=Blob(uri=uri, metadata=metadata)))


def list_of(*literals: Literal) -> Literal:
    return Literal(collection=LiteralCollection(literals=literals))


def dict_of(**literals: Literal) -> Literal:
    return Literal(map=LiteralMap(literals=literals))


def union(value: Literal, kind: LiteralType) -> Literal:
    return Literal(scalar=Scalar(union=Union(value=value, type=kind)))


def simple(kind: SimpleType, tag: str = "") -> LiteralType:
    structure = TypeStructure(tag=tag) if tag else None
    return LiteralType(simple=kind, structure=structure)


def optional(kind: LiteralType) -> LiteralType:
    return LiteralType(union_type=UnionType(variants=[kind, simple(NONE, "none")]))
