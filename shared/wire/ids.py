"""Converts identifiers, leases and digests to and from protobuf."""

from uuid import UUID

from shared.idl.agent.v1 import assignment_pb2
from shared.model.ids import ActionId, AttemptId, Digest, LeaseId
from shared.wire.fields import BadMessageError

_MAX_NUMBER = 2**31 - 1


def parse_attempt_id(message: assignment_pb2.AttemptId) -> AttemptId:
    if not 1 <= message.number <= _MAX_NUMBER:
        raise BadMessageError(f"attempt.number is {message.number}; attempts count from 1")
    return AttemptId(ActionId(_parse_uuid(message.action_id, "attempt.action_id")), message.number)


def render_attempt_id(attempt: AttemptId) -> assignment_pb2.AttemptId:
    return assignment_pb2.AttemptId(action_id=attempt.action.bytes, number=attempt.number)


def parse_lease_id(raw: bytes) -> LeaseId:
    return LeaseId(_parse_uuid(raw, "lease_id"))


def parse_lease(message: assignment_pb2.Lease) -> tuple[AttemptId, LeaseId]:
    return parse_attempt_id(message.attempt), parse_lease_id(message.lease_id)


def render_lease(attempt: AttemptId, lease: LeaseId) -> assignment_pb2.Lease:
    return assignment_pb2.Lease(attempt=render_attempt_id(attempt), lease_id=lease.bytes)


def parse_digest(raw: bytes, field: str) -> Digest:
    if len(raw) != 32:
        raise BadMessageError(f"{field} has {len(raw)} bytes; a digest has 32")
    return Digest(raw)


def _parse_uuid(raw: bytes, field: str) -> UUID:
    if len(raw) != 16:
        raise BadMessageError(f"{field} has {len(raw)} bytes; a UUID has 16")
    return UUID(bytes=raw)
