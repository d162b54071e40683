"""
Copies of messages whose CEL rules name enum values by number.

protovalidate 2.1 resolves no enum by its name, so it cannot evaluate a rule such as
``flyteidl2.common.ActionPhase.ACTION_PHASE_PAUSED in this.on_phases``. The copies are of the
same types in a descriptor pool of their own, in which each such name is its number.
"""

import re
from functools import cache

from buf.validate import validate_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

_QUALIFIED_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")

_named = descriptor_pool.Default()
_numbered = descriptor_pool.DescriptorPool()


def copy_with_numbered_enums(message: Message) -> Message:
    """Copy a message into the same type of the other pool."""
    return _numbered_type(message.DESCRIPTOR).FromString(message.SerializeToString())


@cache
def _numbered_type(descriptor: Descriptor) -> type[Message]:
    _add_file(descriptor.file)
    return GetMessageClass(_numbered.FindMessageTypeByName(descriptor.full_name))


@cache
def _add_file(file: FileDescriptor) -> None:
    for needed in file.dependencies:
        _add_file(needed)
    copy = FileDescriptorProto()
    file.CopyToProto(copy)
    for message_type in copy.message_type:
        _number_rules(message_type)
    _numbered.AddSerializedFile(copy.SerializeToString())


def _number_rules(message_type: DescriptorProto) -> None:
    if message_type.options.HasExtension(validate_pb2.message):
        _number_expressions(message_type.options.Extensions[validate_pb2.message])
    for field in message_type.field:
        if field.options.HasExtension(validate_pb2.field):
            _number_expressions(field.options.Extensions[validate_pb2.field])
    for nested in message_type.nested_type:
        _number_rules(nested)


def _number_expressions(rules: Message) -> None:
    """Write numbers for the names of enum values in every CEL expression of a set of rules."""
    for field, value in rules.ListFields():
        if field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                _number_expressions(each)
        elif field.name == "expression":
            setattr(rules, field.name, _QUALIFIED_NAME.sub(_to_number, value))


def _to_number(name: re.Match[str]) -> str:
    enum, _, value = name[0].rpartition(".")
    try:
        return str(_named.FindEnumTypeByName(enum).values_by_name[value].number)
    except KeyError:
        return name[0]  # a field or a function, no enum value
