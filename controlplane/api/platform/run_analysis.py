"""Converts attempts, failures, critical paths and activity of runs into messages."""

from controlplane.api.platform.conventions import render_duration, render_time
from controlplane.core.action_timings import RefusedReport
from controlplane.core.attempt_history import AttemptRecord, FailureGroup
from controlplane.core.critical_path import CriticalPath
from controlplane.core.run_activity import Activity
from shared.idl.platform.v1 import explanation_pb2 as pb


def render_attempt(record: AttemptRecord) -> pb.Attempt:
    failure, charged = record.failure, record.charged
    return pb.Attempt(
        number=record.number,
        phase=record.phase.name.lower(),
        cluster=record.cluster,
        epoch=record.epoch,
        lease_id="" if record.is_revoked else record.lease,
        available_at=render_time(record.available_at),
        leased_at=render_time(record.leased_at),
        accepted_at=render_time(record.accepted_at),
        started_at=render_time(record.started_at),
        ended_at=render_time(record.ended_at),
        ended_by=record.ended_by,
        charged="" if charged is None else charged.name.lower(),
        error_code="" if failure is None else failure.code,
        error="" if failure is None else failure.message,
        returned_leases=[
            pb.ReturnedLease(
                cluster=each.cluster,
                leased_at=render_time(each.leased_at),
                returned_at=render_time(each.returned_at),
            )
            for each in record.returned
        ],
        refused_reports=[render_refused(each) for each in record.refused],
    )


def render_refused(report: RefusedReport) -> pb.RefusedReport:
    return pb.RefusedReport(
        attempt=report.attempt,
        cluster=report.cluster,
        lease_id=report.lease,
        phase=report.phase.name.lower(),
        refused_at=render_time(report.refused_at),
    )


def render_failures(group: FailureGroup) -> pb.FailureGroup:
    return pb.FailureGroup(
        kind=group.kind.name.lower(),
        code=group.code,
        message=group.message,
        attempts=group.attempts,
        actions=group.actions,
        ended=group.ended,
        first_at=render_time(group.first_at),
        last_at=render_time(group.last_at),
        examples=group.examples,
    )


def render_path(path: CriticalPath) -> pb.GetCriticalPathResponse:
    return pb.GetCriticalPathResponse(
        message=path.message,
        shares=[
            pb.PathShare(
                reason=share.reason.value,
                title=share.title,
                duration=render_duration(share.duration),
                fraction=share.fraction,
            )
            for share in path.shares
        ],
        pieces=[
            pb.PathPiece(
                action=piece.action,
                title=piece.title,
                reason=piece.reason.value,
                message=piece.message,
                started_at=render_time(piece.began_at),
                ended_at=render_time(piece.ended_at),
            )
            for piece in path.pieces
        ],
        truncated=path.truncated,
        as_of=render_time(path.as_of),
    )


def render_activity(activity: Activity) -> pb.GetActivityResponse:
    return pb.GetActivityResponse(
        since=render_time(activity.since),
        until=render_time(activity.until),
        buckets=[
            pb.ActivityBucket(
                running=bucket.running,
                starting=bucket.starting,
                waiting={reason.value: number for reason, number in bucket.waiting.items()},
            )
            for bucket in activity.buckets
        ],
    )
