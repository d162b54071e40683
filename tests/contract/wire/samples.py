"""Sample frames of each kind with every field set, generated from the schema."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from shared.idl.agent.v1 import link_pb2
from shared.kit.timestamps import to_us
from shared.model.phases import Phase
from tests.contract.wire.meanings import meaning
from tests.contract.wire.recordings import AGENT, CONTROL, Event, Frame
from tests.factories import NOW

M = TypeVar("M", bound=Message)

_BODY = b"a spec"
_DIGEST = hashlib.sha256(_BODY).digest()
_UUID = UUID(int=7).bytes

# What a field must hold to be valid; all others hold something, by their type.
_VALID: Mapping[str, object] = {
    "action_id": _UUID,
    "lease_id": _UUID,
    "body": _BODY,
    "digest": _DIGEST,
    "task_spec": _DIGEST,
    "run_spec": _DIGEST,
    "phase": int(Phase.FAILED),
    "verdict": 1,
    "kind": 1,
    "secrets_key": b"key",
    "originator": 1,
    "outcome": 1,
    "protocol_min": 1,
    "protocol_max": 1,
    "protocol": 1,
}


def make_samples() -> Sequence[Event]:
    return [
        *_samples(AGENT, link_pb2.AgentFrame),
        *_samples(CONTROL, link_pb2.ControlFrame),
        _sample_without_kinds(),
    ]


def _sample_without_kinds() -> Event:
    """Return assignments as control planes sent them before assignments had a kind."""
    frame = link_pb2.ControlFrame()
    _fill(frame.assignments)
    for assignment in frame.assignments.assignments:
        assignment.ClearField("kind")
    return _event(CONTROL, "assignments", frame)


def _event(by: str, kind: str, frame: Frame) -> Event:
    raw = frame.SerializeToString(deterministic=True)
    return Event(by=by, kind=kind, raw=raw, means=meaning(frame))


def _samples(
    by: str, frame: type[link_pb2.AgentFrame] | type[link_pb2.ControlFrame]
) -> Iterator[Event]:
    for kind in frame.DESCRIPTOR.oneofs_by_name["frame"].fields:
        for choice in range(_choices(getattr(frame(), kind.name))):
            made = frame()
            _fill(getattr(made, kind.name), choice)
            yield _event(by, kind.name, made)


def _choices(message: Message) -> int:
    """Count the samples that show each answer, or each wish, once."""
    return max((len(each.fields) for each in message.DESCRIPTOR.oneofs), default=1)


def _fill(message: Message, choice: int = 0) -> None:
    for one in message.DESCRIPTOR.fields:
        of = one.containing_oneof
        if of is not None and of.fields[choice % len(of.fields)] is not one:
            continue
        if one.message_type is not None and one.is_repeated:
            for _ in range(2):
                _fill(getattr(message, one.name).add())
        elif one.message_type is not None:
            getattr(message, one.name).SetInParent()
            _fill(getattr(message, one.name))
        elif one.is_repeated:
            getattr(message, one.name).extend([_scalar(one.name, one.type, one.number)] * 2)
        else:
            setattr(message, one.name, _scalar(one.name, one.type, one.number))


def _scalar(name: str, kind: int, number: int) -> object:
    if name in _VALID:
        return _VALID[name]
    if name.endswith("_us"):
        return to_us(NOW)
    match kind:
        case FieldDescriptor.TYPE_STRING:
            return f"{name} ü"
        case FieldDescriptor.TYPE_BOOL:
            return True
        case FieldDescriptor.TYPE_UINT32 | FieldDescriptor.TYPE_UINT64 | FieldDescriptor.TYPE_INT64:
            return 1000 + number
        case _:
            raise AssertionError(f"say in samples.py what {name}, of type {kind}, may hold")
