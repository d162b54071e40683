"""
Finds the run and action that a request is about, for logs and traces.

Requests name them by ``RunIdentifier`` and ``ActionIdentifier``, at most two fields deep. The
fields are found from the message types once.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from shared.model.ids import ROOT, ActionKey, ActionName, DomainName, ProjectName, RunKey, RunName

_ACTION = "flyteidl2.common.ActionIdentifier"
_RUN = "flyteidl2.common.RunIdentifier"
_DEPTH = 2

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """An action, its run's root if a request names the run only; and the action's parent."""

    action: ActionKey
    parent: ActionName | None = None  # of an action to enqueue


def find_subject(message: object, *, depth: int = _DEPTH) -> Subject | None:
    """Return what the message is about; None if it names no run, or is a stream of messages."""
    if not isinstance(message, Message):
        return None
    path = _path(message.DESCRIPTOR, depth)
    if not path:
        return None
    found: Any = message
    above = found
    for name in path:
        if not found.HasField(name):
            return None
        above, found = found, getattr(found, name)
    is_action = found.DESCRIPTOR.full_name == _ACTION
    run = found.run if is_action else found
    if not run.name:
        return None  # of a run to create, whose name is not given
    key = RunKey(ProjectName(run.project), DomainName(run.domain), RunName(run.name))
    parent = getattr(above, "parent_action_name", "")
    return Subject(
        ActionKey(key, ActionName(found.name) if is_action else ROOT),
        ActionName(parent) if parent else None,
    )


@cache
def _path(descriptor: Descriptor, depth: int) -> Path:
    """Return the fields that lead to an action, or else to a run; () if there are none."""
    return _find(descriptor, _ACTION, depth) or _find(descriptor, _RUN, depth)


def _find(descriptor: Descriptor, wanted: str, depth: int) -> Path:
    nested = []
    for field in descriptor.fields:
        kind = field.message_type
        if kind is None or field.is_repeated:
            continue
        if kind.full_name == wanted:
            return (field.name,)
        nested.append((field.name, kind))
    for name, kind in nested if depth > 1 else ():
        if below := _find(kind, wanted, depth - 1):
            return (name, *below)
    return ()
