"""
Converts attempts to and from TaskActions, with the readable fields of infra/helm's CRD.

A newer agent may add fields, never change the meaning of one; an older agent keeps and
ignores fields that it does not know.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from dataplane.agent.core.active_attempts import ActiveAttempt
from dataplane.agent.kube.objects import TASK_ACTION, Name, Object
from dataplane.agent.ledger.journal import Entry
from shared.kit.timestamps import parse_rfc3339, render_rfc3339
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

_SHOWN = 1024  # characters of a message in the status itself; the report has all of it


class BadEntryError(Exception):
    """The TaskAction was not written by an agent; the message names the field."""


def render_entry(active: ActiveAttempt, name: Name, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the TaskAction of an accepted attempt, without reports."""
    return {
        "apiVersion": TASK_ACTION.api_version,
        "kind": TASK_ACTION.name,
        "metadata": {"namespace": name.namespace, "name": name.name, "labels": dict(labels)},
        "spec": _render_assignment(active.assignment)
        | {"acceptedAt": render_rfc3339(active.accepted_at)},
    }


def parse_entry(obj: Object) -> Entry:
    try:
        spec = obj["spec"]
        assignment = _parse_assignment(spec)
        reports = (obj.get("status") or {}).get("reports") or {}
        return Entry(
            assignment,
            parse_rfc3339(spec["acceptedAt"]),
            [  # a gap is a missing key
                _parse_report(assignment, version, reports[str(version)])
                for version in range(1, len(reports) + 1)
            ],
        )
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise BadEntryError(f"{type(error).__name__}: {error}") from error


def parse_lease(obj: Object) -> str:
    """Return the lease id of the TaskAction, as text; "" if it has none."""
    return str((obj.get("spec") or {}).get("lease", ""))


def render_status(reports: Iterable[Report]) -> dict[str, Any]:
    """Return the status patch for the reports; the last one is the attempt's current state."""
    status: dict[str, Any] = {"reports": {}}
    for report in reports:
        status["reports"][str(report.version)] = _render_report(report)
        failure = report.failure
        status |= {
            "phase": report.phase.name,
            "reason": failure.code if failure is not None else report.reason,
            "message": (failure.message if failure is not None else report.message)[:_SHOWN],
        }
    return status


def _render_assignment(assignment: Assignment) -> dict[str, Any]:
    run = assignment.key.run
    fields: dict[str, Any] = {
        "org": assignment.org,
        "project": run.project,
        "domain": run.domain,
        "run": run.name,
        "action": assignment.key.name,
        "actionId": str(assignment.attempt.action),
        "attempt": assignment.attempt.number,
        "lease": str(assignment.lease),
        "taskType": assignment.task_type,
        "taskSpec": assignment.task_spec.hex(),
        "runSpec": assignment.run_spec.hex(),
        "inputUri": assignment.input_uri,
        "runBase": assignment.run_base,
        "outputPrefix": assignment.output_prefix,
        "previousOutputPrefix": assignment.previous_output_prefix,
        "rawDataPrefix": assignment.raw_data_prefix,
        "runStartedAt": render_rfc3339(assignment.run_started_at),
        "replaceable": assignment.replaceable,
    }
    if assignment.parent is not None:
        fields["parent"] = assignment.parent
    if assignment.traceparent:
        fields["traceparent"] = assignment.traceparent
    return fields


def _parse_assignment(spec: Mapping[str, Any]) -> Assignment:
    run = RunKey(ProjectName(spec["project"]), DomainName(spec["domain"]), RunName(spec["run"]))
    parent = spec.get("parent")
    return Assignment(
        org=OrgName(spec["org"]),
        key=ActionKey(run, ActionName(spec["action"])),
        attempt=AttemptId(ActionId(UUID(str(spec["actionId"]))), int(spec["attempt"])),
        lease=LeaseId(UUID(str(spec["lease"]))),
        parent=None if parent is None else ActionName(parent),
        task_type=spec["taskType"],
        task_spec=Digest(bytes.fromhex(spec["taskSpec"])),
        run_spec=Digest(bytes.fromhex(spec["runSpec"])),
        input_uri=spec["inputUri"],
        run_base=spec["runBase"],
        output_prefix=spec["outputPrefix"],
        previous_output_prefix=spec.get("previousOutputPrefix", ""),
        raw_data_prefix=spec["rawDataPrefix"],
        run_started_at=parse_rfc3339(spec["runStartedAt"]),
        replaceable=bool(spec.get("replaceable", False)),
        traceparent=str(spec.get("traceparent", "")),
    )


def _render_report(report: Report) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "reason": report.reason,
        "message": report.message,
        "outputUri": report.output_uri,
        "reportUri": report.report_uri,
        "logUri": report.log_uri,
        "logLinks": [{"name": link.name, "uri": link.uri} for link in report.log_links],
        "events": [
            {
                "at": render_rfc3339(event.at),
                "reason": event.reason,
                "message": event.message,
                "type": event.type.value,
                "count": event.count,
                "source": event.source,
            }
            for event in report.events
        ],
    }
    if report.failure is not None:
        fields["failure"] = {
            "code": report.failure.code,
            "kind": report.failure.kind.name,
            "message": report.failure.message,
            "recoverable": report.failure.recoverable,
            "fullUri": report.failure.full_uri,
        }
    present = {name: value for name, value in fields.items() if value}
    return {"phase": report.phase.name, "at": render_rfc3339(report.at), **present}


def _parse_report(assignment: Assignment, version: int, fields: Mapping[str, Any]) -> Report:
    failure = fields.get("failure")
    return Report(
        attempt=assignment.attempt,
        lease=assignment.lease,
        version=version,
        phase=Phase[fields["phase"]],
        at=parse_rfc3339(fields["at"]),
        reason=fields.get("reason", ""),
        message=fields.get("message", ""),
        failure=None
        if failure is None
        else Failure(
            code=failure["code"],
            kind=FailureKind[failure["kind"]],
            message=failure.get("message", ""),
            recoverable=bool(failure.get("recoverable", True)),
            full_uri=failure.get("fullUri", ""),
        ),
        output_uri=fields.get("outputUri", ""),
        report_uri=fields.get("reportUri", ""),
        log_uri=fields.get("logUri", ""),
        log_links=tuple(LogLink(link["name"], link["uri"]) for link in fields.get("logLinks", ())),
        events=tuple(
            ClusterEvent(
                at=parse_rfc3339(event["at"]),
                reason=event["reason"],
                message=event["message"],
                type=EventType(event.get("type", 0)),  # none of an earlier release
                count=event.get("count", 1),
                source=event.get("source", ""),
            )
            for event in fields.get("events", ())
        ),
    )
