"""RunService's RPCs about the actions of runs: get, watch, list, abort, signal."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import islice
from typing import TypeVar

from flyteidl2.workflow.run_service_pb2 import (
    AbortActionRequest,
    AbortActionResponse,
    GetActionDataRequest,
    GetActionDataResponse,
    GetActionDataURIsRequest,
    GetActionDataURIsResponse,
    GetActionDetailsRequest,
    GetActionDetailsResponse,
    GetActionLogContextRequest,
    GetActionLogContextResponse,
    ListActionsRequest,
    ListActionsResponse,
    SignalEventRequest,
    SignalEventResponse,
    WatchActionDetailsRequest,
    WatchActionDetailsResponse,
    WatchActionsRequest,
    WatchActionsResponse,
    WatchClusterEventsRequest,
    WatchClusterEventsResponse,
)

from controlplane.api.actions import MAX_REASON
from controlplane.api.convert import actions as convert, data as convert_data, keys
from controlplane.api.convert.lists import parse_filters, parse_listing
from controlplane.api.convert.signals import parse_payload
from controlplane.api.convert.strings import parse_text
from controlplane.api.rendered_runs import RenderedKey, RenderedRun, RenderedRuns, render_page
from controlplane.api.streams import closing
from controlplane.api.trees import ActionTree, meets_all
from controlplane.core import layout
from controlplane.core.actions import ActionRow, ActionType, SnapshotEnd, SnapshotPart
from controlplane.core.callers import Caller
from controlplane.core.errors import NotFoundError
from controlplane.usecases.actions import Actions
from controlplane.usecases.data import Data
from controlplane.usecases.people import People
from shared.model.phases import SUCCESSES

Item = TypeVar("Item")

_WATCHED_PAGE = 250
"""Actions in a message of a watch: what one message takes, every other call waits for."""


class RunActions:
    def __init__(self, actions: Actions, data: Data, people: People) -> None:
        self._actions = actions
        self._data = data
        self._people = people
        self._rendered = RenderedRuns()

    async def get_action_details(
        self, caller: Caller, request: GetActionDetailsRequest
    ) -> GetActionDetailsResponse:
        detail = await self._actions.detail(caller, keys.parse_action(request.action_id))
        profiles = await self._people.of_rows(caller.org, [detail.row])
        return GetActionDetailsResponse(details=convert.render_action_details(detail, profiles))

    async def watch_action_details(
        self, caller: Caller, request: WatchActionDetailsRequest
    ) -> AsyncIterator[WatchActionDetailsResponse]:
        action = keys.parse_action(request.action_id)
        async with closing(self._actions.watch_detail(caller, action)) as details:
            async for detail in details:
                profiles = await self._people.of_rows(caller.org, [detail.row])
                yield WatchActionDetailsResponse(
                    details=convert.render_action_details(detail, profiles)
                )

    async def get_action_data(
        self, caller: Caller, request: GetActionDataRequest
    ) -> GetActionDataResponse:
        """Return the same as DataProxyService, which clients should use instead."""
        action = keys.parse_action(request.action_id)
        data = await self._data.get_action_data(
            caller, action, has_outputs=convert_data.has_outputs
        )
        found = convert_data.render_action_data(action, data)
        return GetActionDataResponse(inputs=found.inputs, outputs=found.outputs)

    async def get_action_data_uris(
        self, caller: Caller, request: GetActionDataURIsRequest
    ) -> GetActionDataURIsResponse:
        detail = await self._actions.detail(caller, keys.parse_action(request.action_id))
        return GetActionDataURIsResponse(
            inputs_uri=detail.input_uri, outputs_uri=_outputs_uri(detail.row)
        )

    async def get_action_log_context(
        self, caller: Caller, request: GetActionLogContextRequest
    ) -> GetActionLogContextResponse:
        action = keys.parse_action(request.action_id)
        detail = await self._actions.detail(caller, action)
        for attempt in detail.attempts:
            if attempt.number == request.attempt:
                return GetActionLogContextResponse(
                    log_context=convert.render_log_context(attempt),
                    cluster=attempt.cluster,
                    start_time=attempt.started_at,
                    end_time=attempt.ended_at,
                )
        raise NotFoundError("attempt", f"{action}/{request.attempt}")

    async def list_actions(
        self, caller: Caller, request: ListActionsRequest
    ) -> ListActionsResponse:
        page = await self._actions.list(
            caller, keys.parse_run(request.run_id), parse_listing(request.request)
        )
        profiles = await self._people.of_rows(caller.org, page.rows)
        return ListActionsResponse(
            actions=[convert.render_action(row, profiles) for row in page.rows], token=page.token
        )

    async def watch_actions(
        self, caller: Caller, request: WatchActionsRequest
    ) -> AsyncIterator[WatchActionsResponse]:
        meets = meets_all(parse_filters(request.filter))
        run = await self._actions.watches.find(caller, keys.parse_run(request.run_id))
        profiles = await self._people.find(caller.org, [run.created_by])
        key = RenderedKey(caller.org, run.id, run.created_by, profiles.get(run.created_by))
        async with AsyncExitStack() as stack:
            rendered = stack.enter_context(self._rendered.watched(key))
            async with rendered.loading:  # whoever comes second reads only what is new
                changes = await stack.enter_async_context(
                    closing(self._actions.watches.watch_run(caller, run, after=rendered.change))
                )
                await _read_snapshot(changes, rendered)
            tree = rendered.tree
            if meets is not None:
                tree = ActionTree(meets)
                for part in _batches(list(rendered.tree.actions.values()), _WATCHED_PAGE):
                    tree.take(part)
                    await asyncio.sleep(0)
            for page in _batches(tree.all_shown(), _WATCHED_PAGE):
                yield render_page(page)
                await asyncio.sleep(0)  # other calls, between the pages of a large run
            async for rows in changes:
                if not isinstance(rows, SnapshotPart | SnapshotEnd):
                    for page in _batches(tree.apply(rendered.take(rows)), _WATCHED_PAGE):
                        yield render_page(page)

    async def watch_cluster_events(
        self, caller: Caller, request: WatchClusterEventsRequest
    ) -> AsyncIterator[WatchClusterEventsResponse]:
        action = keys.parse_action(request.id)
        cluster_events = self._actions.cluster_events(caller, action, request.attempt)
        async with closing(cluster_events) as pages:
            async for events in pages:
                yield WatchClusterEventsResponse(
                    cluster_events=convert.render_cluster_events(events)
                )

    async def abort_action(
        self, caller: Caller, request: AbortActionRequest
    ) -> AbortActionResponse:
        reason = parse_text(request.reason, "reason", most=MAX_REASON)
        await self._actions.abort(caller, keys.parse_action(request.action_id), reason)
        return AbortActionResponse()

    async def signal_event(
        self, caller: Caller, request: SignalEventRequest
    ) -> SignalEventResponse:
        action = keys.parse_action(request.action_id)
        condition = await self._actions.detail(caller, action)
        await self._actions.signal(
            caller,
            action,
            keys.parse_parent(request.parent_action_name),
            parse_payload(request.payload, condition),
        )
        return SignalEventResponse()


def _outputs_uri(row: ActionRow) -> str:
    """Return the URI of the outputs file, "" before it exists."""
    if row.phase not in SUCCESSES or not row.output_uri:
        return ""
    return row.output_uri if row.type is ActionType.TRACE else layout.outputs_uri(row.output_uri)


async def _read_snapshot(
    changes: AsyncIterator[SnapshotPart | SnapshotEnd | Sequence[ActionRow]], rendered: RenderedRun
) -> None:
    async for rows in changes:
        if not isinstance(rows, SnapshotPart):
            return
        rendered.take_snapshot(rows)


def _batches(items: Iterable[Item], most: int) -> Iterator[Sequence[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, most)):
        yield batch
