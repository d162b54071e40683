"""RunService's RPCs about runs: create, get, watch, list, group, abort."""

from collections.abc import AsyncIterator
from functools import partial

from flyteidl2.workflow.run_service_pb2 import (
    AbortRunRequest,
    AbortRunResponse,
    CreateRunRequest,
    CreateRunResponse,
    GetRunDetailsRequest,
    GetRunDetailsResponse,
    ListRunsRequest,
    ListRunsResponse,
    WatchGroupsRequest,
    WatchGroupsResponse,
    WatchRunDetailsRequest,
    WatchRunDetailsResponse,
    WatchRunsRequest,
    WatchRunsResponse,
)

from controlplane.api.actions import MAX_REASON
from controlplane.api.convert import keys, runs as convert, task_groups as convert_groups
from controlplane.api.convert.lists import parse_filters, parse_listing
from controlplane.api.convert.strings import parse_text
from controlplane.api.convert.triggers import complete_run, run_trigger
from controlplane.api.run_actions import RunActions
from controlplane.api.streams import closing
from controlplane.core.actions import ActionRow
from controlplane.core.callers import Caller
from controlplane.core.runs import RunScope
from controlplane.usecases.actions import Actions
from controlplane.usecases.data import Data
from controlplane.usecases.people import People
from controlplane.usecases.runs import Runs
from controlplane.usecases.task_groups import TaskGroups
from controlplane.usecases.triggers import Triggers


class RunService(RunActions):
    """``base`` is the storage prefix below which every org's data lies."""

    def __init__(
        self,
        *,
        runs: Runs,
        actions: Actions,
        triggers: Triggers,
        data: Data,
        task_groups: TaskGroups,
        people: People,
        base: str,
    ) -> None:
        super().__init__(actions, data, people)
        self._runs = runs
        self._triggers = triggers
        self._task_groups = task_groups
        self._base = base

    async def create_run(self, caller: Caller, request: CreateRunRequest) -> CreateRunResponse:
        key = convert.parse_run_key(request)
        convert.require_source_of_callers(request)
        parse = convert.parse_run_request
        if request.WhichOneof("task") == "trigger_name":
            trigger = await self._triggers.get(caller, keys.parse_trigger(request.trigger_name))
            request = complete_run(request, key, trigger)
            parse = partial(parse, trigger=run_trigger(trigger))
        root = await self._runs.create(
            caller,
            key,
            convert.parse_task(request),
            partial(parse, request, key, org=caller.org, base=self._base),
        )
        return await self.render_created(caller, root)

    async def render_created(self, caller: Caller, root: ActionRow) -> CreateRunResponse:
        profiles = await self._people.of_rows(caller.org, [root])
        return CreateRunResponse(run=convert.render_run(root, profiles))

    async def abort_run(self, caller: Caller, request: AbortRunRequest) -> AbortRunResponse:
        reason = parse_text(request.reason, "reason", most=MAX_REASON)
        await self._runs.abort(caller, keys.parse_run(request.run_id), reason)
        return AbortRunResponse()

    async def get_run_details(
        self, caller: Caller, request: GetRunDetailsRequest
    ) -> GetRunDetailsResponse:
        detail = await self._runs.detail(caller, keys.parse_run(request.run_id))
        profiles = await self._people.of_rows(caller.org, [detail.root.row])
        return GetRunDetailsResponse(details=convert.render_run_details(detail, profiles))

    async def watch_run_details(
        self, caller: Caller, request: WatchRunDetailsRequest
    ) -> AsyncIterator[WatchRunDetailsResponse]:
        run = keys.parse_run(request.run_id)
        async with closing(self._runs.watch_detail(caller, run)) as details:
            async for detail in details:
                profiles = await self._people.of_rows(caller.org, [detail.root.row])
                yield WatchRunDetailsResponse(details=convert.render_run_details(detail, profiles))

    async def list_runs(self, caller: Caller, request: ListRunsRequest) -> ListRunsResponse:
        return await self.list_in(caller, convert.parse_scope(request), request)

    async def list_in(
        self, caller: Caller, scope: RunScope, request: ListRunsRequest
    ) -> ListRunsResponse:
        """List the runs of a scope that was parsed from the request."""
        page = await self._runs.list(caller, scope, parse_listing(request.request))
        profiles = await self._people.of_rows(caller.org, page.rows)
        return ListRunsResponse(
            runs=[convert.render_run(row, profiles) for row in page.rows], token=page.token
        )

    async def watch_runs(
        self, caller: Caller, request: WatchRunsRequest
    ) -> AsyncIterator[WatchRunsResponse]:
        async with closing(self.watch_in(caller, convert.parse_watch_scope(request))) as answers:
            async for answer in answers:
                yield answer

    async def watch_in(self, caller: Caller, scope: RunScope) -> AsyncIterator[WatchRunsResponse]:
        """Watch the runs of a scope."""
        async with closing(self._runs.watch_many(caller, scope)) as pages:
            async for rows in pages:
                profiles = await self._people.of_rows(caller.org, rows)
                yield WatchRunsResponse(runs=[convert.render_run(row, profiles) for row in rows])

    async def watch_groups(
        self, caller: Caller, request: WatchGroupsRequest
    ) -> AsyncIterator[WatchGroupsResponse]:
        updates = self._task_groups.watch(
            caller,
            convert_groups.parse_group_scope(request),
            parse_filters(request.request.filters),
            ascending=convert_groups.parse_is_ascending(request),
            most=convert_groups.parse_most(request),
        )
        async with closing(updates):
            async for update in updates:
                creators = {each for group in update.groups for each in group.creators}
                profiles = await self._people.find(caller.org, creators)
                yield convert_groups.render_groups(update, profiles)
                if update.is_first:
                    yield WatchGroupsResponse(sentinel=True)
