"""The rules written in flyteidl2's own files, told to the caller by field and rule."""

from google.protobuf.message import Message
from protovalidate import Validator, Violation

from controlplane.core.errors import InvalidError

_MOST_NAMED = 5

_validator = Validator()  # keeps the compiled rules of every type it has seen


def validate(message: Message) -> None:
    """Raise InvalidError naming the fields that break a rule, and the rules."""
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
