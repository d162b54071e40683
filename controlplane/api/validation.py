"""The rules written in flyteidl2's own files, told to the caller by field and rule."""

from functools import cache

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from protovalidate import Validator, Violation

from controlplane.core.errors import InvalidError

_MOST_NAMED = 5
_LARGE_BYTES = 16 * 1024
"""Where looking for what has rules pays: the validator walks every literal of a list, 7 µs
each, and a list may have a hundred thousand of them."""
_PAYLOAD = "flyteidl2.core.Literal"
"""A user's own data. The only rules inside it are about the names of artifacts."""

_validator = Validator()  # keeps the compiled rules of every type it has seen


def validate(message: Message) -> None:
    """Raise InvalidError naming the fields that break a rule, and the rules."""
    if message.ByteSize() > _LARGE_BYTES:
        message = _without_what_has_no_rules(message)
    violations = _validator.collect_violations(message)
    if violations:
        named = "; ".join(_sentence(violation) for violation in violations[:_MOST_NAMED])
        more = len(violations) - _MOST_NAMED
        raise InvalidError(named + (f"; and {more} more" if more > 0 else ""))


def _sentence(violation: Violation) -> str:
    found = violation.proto
    path = ""
    for element in found.field.elements if found.field else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value!r}]"
    return f"{path or 'the request'}: {found.message or found.rule_id}"


def _without_what_has_no_rules(message: Message) -> Message:
    """Copy a message and leave out the parts that nothing is said about, such as literals."""
    copy = type(message)()
    copy.CopyFrom(message)
    _prune(copy)
    return copy


def _prune(message: Message) -> None:
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        if field in _fields_without_rules(message.DESCRIPTOR):
            message.ClearField(field.name)
        elif field.is_repeated:
            for each in value:
                _prune(each)
        else:
            _prune(value)


@cache
def _fields_without_rules(descriptor: Descriptor) -> frozenset[FieldDescriptor]:
    return frozenset(
        field
        for field in descriptor.fields
        if field.message_type is not None
        and not field.GetOptions().HasExtension(validate_pb2.field)
        and not _has_rules(field.message_type, frozenset())
    )


def _has_rules(descriptor: Descriptor, above: frozenset[str]) -> bool:
    """Whether a rule stands in the type or anywhere below it; ``above`` ends recursion."""
    if descriptor.full_name in above or descriptor.full_name == _PAYLOAD:
        return False
    if descriptor.GetOptions().HasExtension(validate_pb2.message):
        return True
    if any(oneof.GetOptions().HasExtension(validate_pb2.oneof) for oneof in descriptor.oneofs):
        return True
    below = above | {descriptor.full_name}
    return any(
        field.GetOptions().HasExtension(validate_pb2.field)
        or (field.message_type is not None and _has_rules(field.message_type, below))
        for field in descriptor.fields
    )
