"""Lists the rules that peers of another release rely on in protobuf files: names, numbers, types, methods."""

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

Rule = tuple[str, ...]
"""Something that a peer of another release relies on."""


def rules(schema: FileDescriptorSet) -> set[Rule]:
    """List what must not change: each field's number, name and type, each enum value and method."""
    return {rule for file in schema.file for rule in _of_file(file)}


def _of_file(file: FileDescriptorProto) -> Iterator[Rule]:
    for message in file.message_type:
        yield from _of_message(f"{file.package}.{message.name}", message)
    for enum in file.enum_type:
        yield from _of_enum(f"{file.package}.{enum.name}", enum)
    for service in file.service:
        yield from _of_service(f"{file.package}.{service.name}", service)


def _of_message(name: str, message: DescriptorProto) -> Iterator[Rule]:
    for one in message.field:
        oneof = message.oneof_decl[one.oneof_index].name if one.HasField("oneof_index") else ""
        shape = f"{one.label} {one.type} {one.type_name} {oneof}"
        yield name, str(one.number), one.name, shape
    for nested in message.nested_type:
        yield from _of_message(f"{name}.{nested.name}", nested)
    for enum in message.enum_type:
        yield from _of_enum(f"{name}.{enum.name}", enum)


def _of_enum(name: str, enum: EnumDescriptorProto) -> Iterator[Rule]:
    yield from ((name, str(value.number), value.name) for value in enum.value)


def _of_service(name: str, service: ServiceDescriptorProto) -> Iterator[Rule]:
    for method in service.method:
        streams = f"{method.client_streaming} {method.server_streaming}"
        yield name, method.name, method.input_type, method.output_type, streams
