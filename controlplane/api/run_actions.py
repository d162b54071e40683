"""RunService's RPCs about the actions of runs: get, watch, list, abort, signal."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice

from flyteidl2.workflow.run_definition_pb2 import EnrichedAction
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
from controlplane.api.streams import closing
from controlplane.api.trees import ActionTree, Shown, meets_all
from controlplane.core import layout
from controlplane.core.actions import ActionRow, ActionType, SnapshotEnd
from controlplane.core.callers import Caller
from controlplane.core.errors import NotFoundError
from controlplane.core.profiles import Profiles
from controlplane.usecases.actions import Actions
from controlplane.usecases.data import Data
from controlplane.usecases.people import People
from shared.model.phases import SUCCESSES

_WATCHED_PAGE = 250
"""Actions in a message of a watch: what one message takes, every other call waits for."""


class RunActions:
    def __init__(self, actions: Actions, data: Data, people: People) -> None:
        self._actions = actions
        self._data = data
        self._people = people

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
        run = keys.parse_run(request.run_id)
        tree = ActionTree(meets_all(parse_filters(request.filter)))
        first: Sequence[ActionRow] = ()
        is_complete = False
        async with closing(self._actions.watch_run(caller, run)) as changes:
            async for rows in changes:
                if rows is SnapshotEnd.TOKEN:
                    # The tree is complete only now: before, parents could be missing.
                    # One creator for all actions, so that the names are read once.
                    profiles = await self._people.of_rows(caller.org, first)
                    for page in _pages(tree.all_shown(), profiles):
                        yield page
                        await asyncio.sleep(0)  # other calls, between the pages of a large run
                    is_complete = True
                elif not is_complete:
                    tree.take(rows)
                    first = first or rows[:1]
                else:
                    profiles = await self._people.of_rows(caller.org, rows[:1])
                    for page in _pages(tree.apply(rows), profiles):
                        yield page

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


def _pages(shown: Iterable[Shown], profiles: Profiles) -> Iterator[WatchActionsResponse]:
    rest = iter(shown)
    while page := list(islice(rest, _WATCHED_PAGE)):
        yield WatchActionsResponse(
            enriched_actions=[
                EnrichedAction(
                    action=convert.render_action(each.row, profiles),
                    meets_filter=each.meets_filter,
                    children_phase_counts={
                        phase.value: count for phase, count in each.below.items()
                    },
                )
                for each in page
            ]
        )
