"""RunService: rows of lists of runs, counts of runs over time, and what keeps runs or hides them."""

from controlplane.api.platform.conventions import (
    ListCall,
    parse_phases,
    parse_run_key,
    parse_time,
    render_duration,
    render_time,
)
from controlplane.api.platform.run_trees import render_phases
from controlplane.core import names
from controlplane.core.callers import Caller
from controlplane.core.run_holds import REMEDIES, RunRetention
from controlplane.core.run_lists import RunFilter, RunRow
from controlplane.core.run_states import parse_reason, parse_state
from controlplane.usecases.run_lists import RunLists
from controlplane.usecases.run_purges import RunRetentions
from controlplane.usecases.run_states import RunStates
from shared.idl.platform.v1 import run_pb2 as pb


class RunService:
    def __init__(self, runs: RunLists, retentions: RunRetentions, states: RunStates) -> None:
        self._runs = runs
        self._retentions = retentions
        self._states = states

    async def list_run_rows(
        self, caller: Caller, request: pb.ListRunRowsRequest
    ) -> pb.ListRunRowsResponse:
        call = ListCall(caller, request)
        rows, after = await self._runs.list(
            caller,
            _parse_filter(request.filter),
            limit=call.listing.limit,
            token=call.listing.token,
        )
        return pb.ListRunRowsResponse(
            runs=[_render_row(row) for row in rows], next_page_token=call.next_token(after)
        )

    async def summarize_runs(
        self, caller: Caller, request: pb.SummarizeRunsRequest
    ) -> pb.SummarizeRunsResponse:
        found = await self._runs.summarize(
            caller, _parse_filter(request.filter), buckets=request.buckets
        )
        return pb.SummarizeRunsResponse(
            since=render_time(found.since),
            until=render_time(found.until),
            buckets=[pb.RunBucket(phases=render_phases(each)) for each in found.buckets],
            phases=render_phases(found.phases),
            counted_since=render_time(found.counted_since),
        )

    async def get_retention_policy(
        self, caller: Caller, _request: pb.GetRetentionPolicyRequest
    ) -> pb.GetRetentionPolicyResponse:
        policy = self._retentions.get_policy(caller)
        return pb.GetRetentionPolicyResponse(
            policy=pb.RetentionPolicy(
                runs=render_duration(policy.runs),
                unused_cache_entries=render_duration(policy.unused_cache_entries),
                attempt_events=render_duration(policy.attempt_events),
            )
        )

    async def get_run_retention(
        self, caller: Caller, request: pb.GetRunRetentionRequest
    ) -> pb.GetRunRetentionResponse:
        found = await self._retentions.get(caller, parse_run_key(request))
        return pb.GetRunRetentionResponse(retention=_render_retention(found))

    async def purge_run(self, caller: Caller, request: pb.PurgeRunRequest) -> pb.PurgeRunResponse:
        purging = await self._retentions.purge(caller, parse_run_key(request))
        return pb.PurgeRunResponse(retention=_render_retention(purging))

    async def set_runs_state(
        self, caller: Caller, request: pb.SetRunsStateRequest
    ) -> pb.SetRunsStateResponse:
        changed = await self._states.set_state(
            caller,
            names.parse_project(request.project),
            names.parse_domain(request.domain),
            [names.parse_run(name) for name in request.runs],
            parse_state(request.state),
        )
        return pb.SetRunsStateResponse(changed=changed)

    async def hold_run(self, caller: Caller, request: pb.HoldRunRequest) -> pb.HoldRunResponse:
        found = await self._states.hold(
            caller, parse_run_key(request), parse_reason(request.reason)
        )
        return pb.HoldRunResponse(retention=_render_retention(found))

    async def release_run(
        self, caller: Caller, request: pb.ReleaseRunRequest
    ) -> pb.ReleaseRunResponse:
        found = await self._states.release(caller, parse_run_key(request))
        return pb.ReleaseRunResponse(retention=_render_retention(found))


def _render_retention(retention: RunRetention) -> pb.RunRetention:
    return pb.RunRetention(
        ended_at=render_time(retention.ended_at),
        expires_at=render_time(retention.expires_at),
        purging_since=render_time(retention.purging_since),
        holds=[
            pb.RunHold(kind=hold.kind, holder=hold.holder, remedy=REMEDIES[hold.kind])
            for hold in retention.holds
        ],
    )


def _parse_filter(message: pb.RunFilter) -> RunFilter:
    return RunFilter(
        project=names.parse_project(message.project) if message.project else "",
        domain=names.parse_domain(message.domain) if message.domain else "",
        task=message.task,
        phases=parse_phases(message.phases, "filter.phases"),
        created_by=message.created_by,
        text=message.text,
        labels=dict(message.labels),
        since=parse_time(message.since, "filter.since") if message.HasField("since") else None,
        until=parse_time(message.until, "filter.until") if message.HasField("until") else None,
        archived=message.archived if message.HasField("archived") else None,
    )


def _render_row(row: RunRow) -> pb.RunRow:
    root, failure = row.root, row.failure
    return pb.RunRow(
        project=root.key.run.project,
        domain=root.key.run.domain,
        run=root.key.run.name,
        task=root.info.name,
        task_version=root.info.version,
        title=root.info.short_name,
        phase=root.phase.name.lower(),
        created_at=render_time(root.created_at),
        started_at=render_time(root.started_at),
        ended_at=render_time(root.ended_at),
        created_by=root.created_by,
        source=root.source.name.lower(),
        trigger="" if root.trigger is None else root.trigger.name,
        labels=dict(root.labels),
        actions=render_phases(row.phases),
        partial=row.partial,
        first_error=None
        if failure is None
        else pb.RunError(
            action=row.failed or "",
            kind=failure.kind.name.lower(),
            code=failure.code,
            message=failure.message,
        ),
        abort_reason=root.abort_reason,
        aborted_by=root.aborted_by,
        archived_at=render_time(row.marks.archived_at),
        archived_by=row.marks.archived_by,
        held=row.marks.held,
    )
