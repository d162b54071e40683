"""
Removes messages, enums and methods that a program does not use from descriptors of protobuf files.

What is used: the methods that it calls with all that their messages refer to, and the messages and
enums that it names. All fields of a message that is kept are kept, and so are protobuf's own files.
Extensions are dropped.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.message import Message

_PROTOBUF = "google/protobuf/"
_Element = TypeVar("_Element", bound=Message)
_Type = DescriptorProto | EnumDescriptorProto


def prune(
    files: Iterable[FileDescriptorProto],
    *,
    is_called: Callable[[str], bool],
    is_named: Callable[[str, str], bool],
) -> list[FileDescriptorProto]:
    """
    Return the files, in their order, with what is used; files that then are empty are left out.

    ``is_called`` gets the name of a method; ``is_named`` the name of a file, and of a message or enum
    with its parents, as in ``Outer.Inner``. The files are changed.
    """
    files = list(files)
    home = {name: file.name for file in files for name, _ in _types(file)}
    types = {name: each for file in files for name, each in _types(file)}
    used: set[str] = set()
    ours = [file for file in files if not file.name.startswith(_PROTOBUF)]
    for file in ours:
        for service in file.service:
            _keep_methods(service, is_called)
            for method in service.method:
                _mark(method.input_type, types, used)
                _mark(method.output_type, types, used)
        for name, _ in _types(file):
            if is_named(file.name, name.removeprefix(_prefix(file))):
                _mark(name, types, used)
    for file in ours:
        _keep_messages(file.message_type, _prefix(file), used)
        _keep_enums(file.enum_type, _prefix(file), used)
        _replace(file.service, [service for service in file.service if service.method])
        del file.extension[:]  # of options
        del file.dependency[:]
        file.dependency.extend(
            sorted({home[name] for name in _references(file) if name in home} - {file.name})
        )
    return [file for file in files if file.message_type or file.enum_type or file.service]


def _prefix(file: FileDescriptorProto) -> str:
    return f".{file.package}."


def _types(file: FileDescriptorProto) -> Iterator[tuple[str, _Type]]:
    prefix = _prefix(file)
    for enum in file.enum_type:
        yield prefix + enum.name, enum
    for message in file.message_type:
        yield from _types_within(prefix + message.name, message)


def _types_within(name: str, message: DescriptorProto) -> Iterator[tuple[str, _Type]]:
    yield name, message
    for enum in message.enum_type:
        yield f"{name}.{enum.name}", enum
    for nested in message.nested_type:
        yield from _types_within(f"{name}.{nested.name}", nested)


def _mark(root: str, types: dict[str, _Type], used: set[str]) -> None:
    waiting = [root]
    while waiting:
        name = waiting.pop()
        if name in used:
            continue
        used.add(name)
        message = types.get(name)  # None: of a file that is not among them
        if isinstance(message, DescriptorProto):
            waiting.extend(field.type_name for field in message.field if field.type_name)


def _keep_methods(service: ServiceDescriptorProto, is_called: Callable[[str], bool]) -> None:
    _replace(service.method, [method for method in service.method if is_called(method.name)])


def _keep_messages(
    messages: RepeatedCompositeFieldContainer[DescriptorProto], prefix: str, used: set[str]
) -> None:
    """Keep those that are used; one that only contains a used one stays without fields."""
    kept = []
    for message in messages:
        name = prefix + message.name
        _keep_messages(message.nested_type, f"{name}.", used)
        _keep_enums(message.enum_type, f"{name}.", used)
        del message.extension[:]
        if name not in used:
            del message.field[:]
            del message.oneof_decl[:]
        if name in used or message.nested_type or message.enum_type:
            kept.append(message)
    _replace(messages, kept)


def _keep_enums(
    enums: RepeatedCompositeFieldContainer[EnumDescriptorProto], prefix: str, used: set[str]
) -> None:
    _replace(enums, [enum for enum in enums if prefix + enum.name in used])


def _replace(elements: RepeatedCompositeFieldContainer[_Element], kept: list[_Element]) -> None:
    del elements[:]
    elements.extend(kept)


def _references(file: FileDescriptorProto) -> Iterator[str]:
    for field in _fields(file.message_type):
        yield field.type_name
    for service in file.service:
        for method in service.method:
            yield method.input_type
            yield method.output_type


def _fields(messages: Iterable[DescriptorProto]) -> Iterator[FieldDescriptorProto]:
    for message in messages:
        yield from message.field
        yield from _fields(message.nested_type)
