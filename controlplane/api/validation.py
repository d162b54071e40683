"""
Validates requests against the rules in flyteidl2's files; names fields and rules to the caller.

Messages of the platform API have no such rules, and bounds of their own.

A rule that cannot be evaluated refuses the request: it never answers 500, and never lets an
unchecked message through.
"""

from collections.abc import Sequence
from functools import cache

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from protovalidate import EvaluationError, Validator, Violation

from controlplane.api.numbered_enums import copy_with_numbered_enums
from controlplane.api.platform.bounds import require_bounded
from controlplane.core.errors import InvalidError

_MOST_NAMED = 5
_LARGE_BYTES = 16 * 1024
"""Size from which pruning a message before its validation pays: the validator visits every
literal of a list, 7 µs each, and a list may have a hundred thousand of them."""
_PAYLOAD = "flyteidl2.core.Literal"
"""Users' own data. The only rules inside it are about the names of artifacts."""

_PLATFORM = "volary.platform.v1"
# Validated part by part when they are parsed, so that a bad part is refused alone.
_VALIDATED_IN_PARTS = frozenset({"flyteidl2.workflow.ReportTrackedActionsRequest"})

_validator = Validator()  # keeps the compiled rules of every type it has validated, by name
_validator_of_copies = Validator()


def validate(message: Message) -> None:
    """Raise InvalidError naming the fields that break a rule, and the rules."""
    if message.DESCRIPTOR.file.package == _PLATFORM:
        require_bounded(message)
        return
    if message.DESCRIPTOR.full_name in _VALIDATED_IN_PARTS:
        return
    if message.ByteSize() > _LARGE_BYTES:
        message = _copy_without_unvalidated_parts(message)
    violations = _collect_violations(message)
    if violations:
        named = "; ".join(_message(violation) for violation in violations[:_MOST_NAMED])
        more = len(violations) - _MOST_NAMED
        raise InvalidError(named + (f"; and {more} more" if more > 0 else ""))


def _collect_violations(message: Message) -> Sequence[Violation]:
    try:
        return _validator.collect_violations(message)
    except EvaluationError:
        pass  # a rule names an enum value, which few rules do: validate a copy below
    try:
        return _validator_of_copies.collect_violations(copy_with_numbered_enums(message))
    except EvaluationError as error:
        raise InvalidError(
            f"a rule of {message.DESCRIPTOR.full_name} could not be evaluated: {error}"
        ) from error


def _message(violation: Violation) -> str:
    found = violation.proto
    path = ""
    for element in found.field.elements if found.field else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value!r}]"
    return f"{path or 'the request'}: {found.message or found.rule_id}"


def _copy_without_unvalidated_parts(message: Message) -> Message:
    """Copy a message without the parts that no rule is about, such as literals."""
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
    """Return whether the type or any type below it has a rule; ``above`` ends recursion."""
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
