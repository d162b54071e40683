"""Converts assignments and reports to and from JSON; ``database.FORMAT`` is its version."""

import json
from uuid import UUID

from shared.kit.timestamps import from_us, to_us
from shared.model.assignments import Assignment
from shared.model.ids import (
    ActionId,
    ActionKey,
    ActionName,
    AttemptId,
    Digest,
    DomainName,
    LeaseId,
    OrgName,
    ProjectName,
    RunKey,
    RunName,
)
from shared.model.phases import Phase
from shared.model.reports import ClusterEvent, EventType, Failure, FailureKind, LogLink, Report


def render_assignment(assignment: Assignment) -> str:
    run = assignment.key.run
    return json.dumps(
        [
            assignment.org,
            run.project,
            run.domain,
            run.name,
            assignment.key.name,
            assignment.attempt.action.hex,
            assignment.attempt.number,
            assignment.lease.hex,
            assignment.parent,
            assignment.task_type,
            assignment.task_spec.hex(),
            assignment.run_spec.hex(),
            assignment.input_uri,
            assignment.run_base,
            assignment.output_prefix,
            assignment.previous_output_prefix,
            assignment.raw_data_prefix,
            to_us(assignment.run_started_at),
            assignment.replaceable,
            assignment.traceparent,
        ]
    )


def parse_assignment(text: str) -> Assignment:
    (
        org, project, domain, run, action, action_id, number, lease, parent, task_type, task_spec,
        run_spec, input_uri, run_base, output_prefix, previous, raw_data_prefix, started_us, *later,
    ) = json.loads(text)  # fmt: skip
    return Assignment(
        org=OrgName(org),
        key=ActionKey(
            RunKey(ProjectName(project), DomainName(domain), RunName(run)), ActionName(action)
        ),
        attempt=AttemptId(ActionId(UUID(hex=action_id)), number),
        lease=LeaseId(UUID(hex=lease)),
        parent=None if parent is None else ActionName(parent),
        task_type=task_type,
        task_spec=Digest(bytes.fromhex(task_spec)),
        run_spec=Digest(bytes.fromhex(run_spec)),
        input_uri=input_uri,
        run_base=run_base,
        output_prefix=output_prefix,
        previous_output_prefix=previous,
        raw_data_prefix=raw_data_prefix,
        run_started_at=from_us(started_us),
        replaceable=bool(later and later[0]),
        traceparent=str(later[1]) if len(later) > 1 else "",
    )


def render_report(report: Report) -> str:
    failure = report.failure
    return json.dumps(
        [
            int(report.phase),
            to_us(report.at),
            report.reason,
            report.message,
            None
            if failure is None
            else [
                failure.code,
                int(failure.kind),
                failure.message,
                failure.recoverable,
                failure.full_uri,
            ],
            report.output_uri,
            report.report_uri,
            report.log_uri,
            [
                [
                    *(to_us(event.at), event.reason, event.message),
                    *(event.type.value, event.count, event.source),
                ]
                for event in report.events
            ],
            [[link.name, link.uri] for link in report.log_links],
        ]
    )


def parse_report(attempt: AttemptId, lease: LeaseId, version: int, text: str) -> Report:
    fields = json.loads(text)
    phase, at, reason, message, failure, output_uri, report_uri, log_uri, events = fields[:9]
    [log_links] = fields[9:] or [[]]  # absent in rows written by the first release
    return Report(
        attempt=attempt,
        lease=lease,
        version=version,
        phase=Phase(phase),
        at=from_us(at),
        reason=reason,
        message=message,
        failure=None
        if failure is None
        else Failure(
            code=failure[0],
            kind=FailureKind(failure[1]),
            message=failure[2],
            recoverable=failure[3],
            full_uri=failure[4],
        ),
        output_uri=output_uri,
        report_uri=report_uri,
        log_uri=log_uri,
        events=tuple(
            ClusterEvent(at=from_us(event[0]), reason=event[1], message=event[2])
            if len(event) == 3  # of an earlier release
            else ClusterEvent(
                at=from_us(event[0]),
                reason=event[1],
                message=event[2],
                type=EventType(event[3]),
                count=event[4],
                source=event[5],
            )
            for event in events
        ),
        log_links=tuple(LogLink(name, uri) for name, uri in log_links),
    )
