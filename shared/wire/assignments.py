"""Converts assignments to and from protobuf."""

from collections.abc import Iterable, Sequence

from shared.idl.agent.v1 import assignment_pb2
from shared.kit.timestamps import to_us
from shared.model.assignments import Assignment, UnknownAssignment
from shared.model.ids import (
    ActionKey,
    ActionName,
    DomainName,
    OrgName,
    ProjectName,
    RunKey,
    RunName,
)
from shared.wire.fields import BadMessageError, parse_timestamp, parse_traceparent_field
from shared.wire.ids import parse_attempt_id, parse_digest, parse_lease_id, render_attempt_id

_KIND = assignment_pb2.Assignment.Kind
_ACTIONS = (_KIND.KIND_UNSPECIFIED, _KIND.KIND_ACTION)
_REQUIRED = ("org", "project", "domain", "run", "action", "run_base", "output_prefix")


def parse_assignments(
    messages: Iterable[assignment_pb2.Assignment],
) -> tuple[Sequence[Assignment], Sequence[UnknownAssignment]]:
    """Return the assignments, and those of kinds that this release does not know."""
    assignments: list[Assignment] = []
    unknown: list[UnknownAssignment] = []
    for message in messages:
        if message.kind in _ACTIONS:
            assignments.append(parse_assignment(message))
        else:
            unknown.append(
                UnknownAssignment(
                    attempt=parse_attempt_id(message.attempt),
                    lease=parse_lease_id(message.lease_id),
                    kind=message.kind,
                )
            )
    return assignments, unknown


def parse_assignment(message: assignment_pb2.Assignment) -> Assignment:
    """Return the assignment of an action."""
    for name in _REQUIRED:
        if not getattr(message, name):
            raise BadMessageError(f"assignment.{name} is empty")
    run = RunKey(ProjectName(message.project), DomainName(message.domain), RunName(message.run))
    return Assignment(
        org=OrgName(message.org),
        key=ActionKey(run, ActionName(message.action)),
        attempt=parse_attempt_id(message.attempt),
        lease=parse_lease_id(message.lease_id),
        parent=ActionName(message.parent) if message.parent else None,
        task_type=message.task_type,
        task_spec=parse_digest(message.task_spec, "assignment.task_spec"),
        run_spec=parse_digest(message.run_spec, "assignment.run_spec"),
        input_uri=message.input_uri,
        run_base=message.run_base,
        output_prefix=message.output_prefix,
        previous_output_prefix=message.previous_output_prefix,
        raw_data_prefix=message.raw_data_prefix,
        run_started_at=parse_timestamp(message.run_started_at_us),
        replaceable=message.replaceable,
        traceparent=parse_traceparent_field(message.traceparent),
    )


def render_assignment(assignment: Assignment) -> assignment_pb2.Assignment:
    run = assignment.key.run
    return assignment_pb2.Assignment(
        attempt=render_attempt_id(assignment.attempt),
        lease_id=assignment.lease.bytes,
        org=assignment.org,
        project=run.project,
        domain=run.domain,
        run=run.name,
        action=assignment.key.name,
        parent=assignment.parent or "",
        task_type=assignment.task_type,
        task_spec=assignment.task_spec,
        run_spec=assignment.run_spec,
        input_uri=assignment.input_uri,
        run_base=assignment.run_base,
        output_prefix=assignment.output_prefix,
        previous_output_prefix=assignment.previous_output_prefix,
        raw_data_prefix=assignment.raw_data_prefix,
        run_started_at_us=to_us(assignment.run_started_at),
        replaceable=assignment.replaceable,
        traceparent=assignment.traceparent,
        kind=_KIND.KIND_ACTION,
    )
