"""Requests in JSON with every field set, made from the descriptors."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from controlplane.api import server

RPCS = {
    f"{service.name}/{method.name}": method
    for service in server.platform_services()
    for method in service.methods
    if not (method.client_streaming or method.server_streaming)
}
_KNOWN = {
    "google.protobuf.Duration": "3600s",
    "google.protobuf.FieldMask": "name",
    "google.protobuf.Timestamp": "2026-11-29T00:00:00.123456Z",
}
Path = tuple[str, ...]


def sample(message: Descriptor, text: str = "text") -> dict[str, Any]:
    """Return a message with every field set, one of each oneof, and ``text`` in every string."""
    return {
        field.json_name: _value(field, text)
        for field in message.fields
        if field.containing_oneof is None or field is field.containing_oneof.fields[0]
    }


def string_fields(message: Descriptor, above: Path = ()) -> Iterator[Path]:
    """Yield the path of every string in a message; of a list's or map's, the whole list's."""
    for field in message.fields:
        path = (*above, field.json_name)
        kind = field.message_type
        if field.type == FieldDescriptor.TYPE_STRING:
            yield path
        elif kind is not None and kind.full_name not in _KNOWN and not field.is_repeated:
            yield from string_fields(kind, path)


def _value(field: FieldDescriptor, text: str) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return {text: _single(kind.fields_by_name["value"], text)}
    single = _single(field, text)
    return [single] if field.is_repeated else single


def _single(field: FieldDescriptor, text: str) -> Any:
    if field.message_type is not None:
        return _KNOWN.get(field.message_type.full_name) or sample(field.message_type, text)
    if field.enum_type is not None:
        return field.enum_type.values[-1].name
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return text
        case FieldDescriptor.TYPE_BOOL:
            return True
        case FieldDescriptor.TYPE_INT64 | FieldDescriptor.TYPE_UINT64:
            return "1"
        case FieldDescriptor.TYPE_BYTES:
            return "YQ=="
        case _:
            return 1
