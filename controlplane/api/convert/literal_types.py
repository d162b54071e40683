"""Questions about the types of tasks' inputs."""

from flyteidl2.core.types_pb2 import LiteralType, SimpleType


def takes(type_: LiteralType, simple: SimpleType.ValueType) -> bool:
    """Return whether a value of the simple type fits: ``datetime | None`` takes a datetime."""
    if type_.WhichOneof("type") == "union_type":
        return any(takes(variant, simple) for variant in type_.union_type.variants)
    return type_.WhichOneof("type") == "simple" and bool(type_.simple == simple)
