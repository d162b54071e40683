"""
Overwrites every org in a request with the org of the caller's credential.

The SDK sends the first label of the endpoint's host name, or nothing, or the value that the
pod was started with. So a request's own orgs are never trusted, and are overwritten before
validation. The fields that hold orgs are found from the message types once; the walk then
touches only fields that are set and can lead to an org.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

Fill = Callable[[Any, str], None]

_ORG_FIELDS = frozenset({"org", "organization"})
# An org identifier's name is an org as well.
_ORG_NAMED = frozenset({"flyteidl2.common.OrgIdentifier"})
# Users' data: a field named org in there is theirs, and the trees are deep.
_DATA = frozenset({
    "flyteidl2.core.Literal",
    "flyteidl2.core.Parameter",
    "flyteidl2.core.TypedInterface",
    "google.protobuf.Struct",
})  # fmt: skip


def fill_org(message: Message, org: str) -> None:
    """Write ``org`` over every org in ``message``."""
    _plan(message.DESCRIPTOR)(message, org)


@cache
def _plan(descriptor: Descriptor) -> Fill:
    """Build the function that fills one type of message."""
    plain: list[str] = []
    chosen: list[str] = []
    single: list[tuple[str, Descriptor]] = []
    repeated: list[tuple[str, Descriptor]] = []
    mapped: list[str] = []
    for field in descriptor.fields:
        kind = field.message_type
        if _is_org(descriptor, field):
            (chosen if field.has_presence else plain).append(field.name)
        elif kind is None or not _reaches_org(kind):
            continue
        elif kind.GetOptions().map_entry:
            mapped.append(field.name)
        elif field.is_repeated:
            repeated.append((field.name, kind))
        else:
            single.append((field.name, kind))

    def fill(message: Any, org: str) -> None:
        for name in plain:
            setattr(message, name, org)
        for name in chosen:  # in a oneof, setting the org would select it
            if message.HasField(name):
                setattr(message, name, org)
        for name, kind in single:
            if message.HasField(name):
                _plan(kind)(getattr(message, name), org)
        for name, kind in repeated:
            for item in getattr(message, name):
                _plan(kind)(item, org)
        for name in mapped:
            for item in getattr(message, name).values():
                fill_org(item, org)

    return fill


def _is_org(descriptor: Descriptor, field: FieldDescriptor) -> bool:
    if field.type != FieldDescriptor.TYPE_STRING or field.is_repeated:
        return False
    if descriptor.full_name in _ORG_NAMED:
        return bool(field.name == "name")
    return field.name in _ORG_FIELDS


@cache
def _reaches_org(descriptor: Descriptor) -> bool:
    """Return whether a message of this type can hold an org, at any depth."""
    seen: set[str] = set()
    waiting = [descriptor]
    while waiting:
        current = waiting.pop()
        if current.full_name in seen or current.full_name in _DATA:
            continue
        seen.add(current.full_name)
        for field in current.fields:
            if _is_org(current, field):
                return True
            if field.message_type is not None:
                waiting.append(field.message_type)
    return False
