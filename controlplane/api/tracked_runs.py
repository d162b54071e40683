"""TrackedRunService: runs that a program runs itself and reports, and RunService's reads of them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

from flyteidl2.workflow.run_service_pb2 import (
    AbortRunRequest,
    AbortRunResponse,
    CreateRunResponse,
    GetActionDetailsRequest,
    GetActionDetailsResponse,
    GetRunDetailsRequest,
    GetRunDetailsResponse,
    ListActionsRequest,
    ListActionsResponse,
    ListRunsRequest,
    ListRunsResponse,
    WatchActionDetailsRequest,
    WatchActionDetailsResponse,
    WatchActionsRequest,
    WatchActionsResponse,
    WatchRunDetailsRequest,
    WatchRunDetailsResponse,
    WatchRunsRequest,
    WatchRunsResponse,
)
from flyteidl2.workflow.tracked_run_service_pb2 import (
    CreateTrackedRunRequest,
    ReportTrackedActionsRequest,
    ReportTrackedActionsResponse,
)

from controlplane.api.convert import keys, runs as convert_runs, tracked_runs as convert
from controlplane.api.runs import RunService
from controlplane.api.streams import closing
from controlplane.core.callers import Caller
from controlplane.usecases.tracked_runs import TrackedRuns


class TrackedRunService:
    """
    Reads are those of ``runs``, for tracked runs only.

    ``base`` is the storage prefix below which every org's data lies.
    """

    def __init__(self, tracked: TrackedRuns, runs: RunService, *, base: str) -> None:
        self._tracked = tracked
        self._runs = runs
        self._base = base

    async def create_run(
        self, caller: Caller, request: CreateTrackedRunRequest
    ) -> CreateRunResponse:
        key = convert.parse_run_key(request)
        root = await self._tracked.create(
            caller,
            key,
            convert.parse_task(request),
            partial(
                convert.parse_new_run, request=request, key=key, org=caller.org, base=self._base
            ),
        )
        return await self._runs.render_created(caller, root)

    async def report_actions(
        self, caller: Caller, request: ReportTrackedActionsRequest
    ) -> ReportTrackedActionsResponse:
        reports = convert.parse_reports(request)
        answers = await self._tracked.report(caller, keys.parse_run(request.run_id), reports)
        return convert.render_statuses(answers)

    async def get_run_details(
        self, caller: Caller, request: GetRunDetailsRequest
    ) -> GetRunDetailsResponse:
        await self._tracked.require_tracked(caller, keys.parse_run(request.run_id))
        return await self._runs.get_run_details(caller, request)

    async def watch_run_details(
        self, caller: Caller, request: WatchRunDetailsRequest
    ) -> AsyncIterator[WatchRunDetailsResponse]:
        await self._tracked.require_tracked(caller, keys.parse_run(request.run_id))
        async with closing(self._runs.watch_run_details(caller, request)) as answers:
            async for answer in answers:
                yield answer

    async def get_action_details(
        self, caller: Caller, request: GetActionDetailsRequest
    ) -> GetActionDetailsResponse:
        await self._tracked.require_tracked(caller, keys.parse_run(request.action_id.run))
        return await self._runs.get_action_details(caller, request)

    async def watch_action_details(
        self, caller: Caller, request: WatchActionDetailsRequest
    ) -> AsyncIterator[WatchActionDetailsResponse]:
        await self._tracked.require_tracked(caller, keys.parse_run(request.action_id.run))
        async with closing(self._runs.watch_action_details(caller, request)) as answers:
            async for answer in answers:
                yield answer

    async def list_runs(self, caller: Caller, request: ListRunsRequest) -> ListRunsResponse:
        scope = replace(convert_runs.parse_scope(request), tracked=True)
        return await self._runs.list_in(caller, scope, request)

    async def watch_runs(
        self, caller: Caller, request: WatchRunsRequest
    ) -> AsyncIterator[WatchRunsResponse]:
        scope = replace(convert_runs.parse_watch_scope(request), tracked=True)
        async with closing(self._runs.watch_in(caller, scope)) as answers:
            async for answer in answers:
                yield answer

    async def list_actions(
        self, caller: Caller, request: ListActionsRequest
    ) -> ListActionsResponse:
        await self._tracked.require_tracked(caller, keys.parse_run(request.run_id))
        return await self._runs.list_actions(caller, request)

    async def watch_actions(
        self, caller: Caller, request: WatchActionsRequest
    ) -> AsyncIterator[WatchActionsResponse]:
        await self._tracked.require_tracked(caller, keys.parse_run(request.run_id))
        async with closing(self._runs.watch_actions(caller, request)) as answers:
            async for answer in answers:
                yield answer

    async def abort_run(self, caller: Caller, request: AbortRunRequest) -> AbortRunResponse:
        await self._tracked.require_tracked(caller, keys.parse_run(request.run_id))
        return await self._runs.abort_run(caller, request)
