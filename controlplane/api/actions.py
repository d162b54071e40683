"""
ActionsService, which running tasks call, and the two older services that it replaces.

QueueService and StateService are the older form with other messages; a task whose pod has no
ActionsService endpoint configured uses them. They have no conditions.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TypeVar

from flyteidl2.actions.actions_service_pb2 import (
    AbortRequest,
    AbortResponse,
    Action as ActionMessage,
    EnqueueRequest,
    EnqueueResponse,
    SignalRequest,
    SignalResponse,
    WatchForUpdatesRequest,
    WatchForUpdatesResponse,
)
from flyteidl2.workflow.queue_service_pb2 import (
    AbortQueuedActionRequest,
    AbortQueuedActionResponse,
    AbortQueuedRunRequest,
    AbortQueuedRunResponse,
    EnqueueActionRequest,
    EnqueueActionResponse,
)
from flyteidl2.workflow.state_service_pb2 import (
    ActionUpdate,
    ControlMessage,
    WatchRequest,
    WatchResponse,
)

from controlplane.api.convert import keys
from controlplane.api.convert.actions import render_update
from controlplane.api.convert.enqueues import parse_enqueue, parse_error_document
from controlplane.api.convert.signals import parse_value
from controlplane.api.convert.strings import parse_text
from controlplane.api.run_maxima import RunMaxima
from controlplane.api.streams import closing
from controlplane.core.actions import ActionType, NewAction, SnapshotEnd
from controlplane.core.callers import Caller
from controlplane.core.layout import action_base, error_uri
from controlplane.usecases.actions import Actions
from controlplane.usecases.data import Data
from controlplane.usecases.runs import Runs
from shared.model.ids import ActionKey
from shared.model.phases import Phase

Update = TypeVar("Update", WatchForUpdatesResponse, WatchResponse)

MAX_REASON = 4096


class ActionsService:
    def __init__(self, actions: Actions, data: Data, maxima: RunMaxima) -> None:
        self._actions = actions
        self._data = data
        self._maxima = maxima

    async def enqueue(self, caller: Caller, request: EnqueueRequest) -> EnqueueResponse:
        new = await _parse(self._data, caller, request.action)
        await _require_within(self._maxima, caller, new, request.action)
        await self._actions.enqueue(caller, new)
        return EnqueueResponse()

    async def watch_for_updates(
        self, caller: Caller, request: WatchForUpdatesRequest
    ) -> AsyncIterator[WatchForUpdatesResponse]:
        parent = keys.parse_action(request.parent_action_id)
        async with closing(_updates(self._actions, caller, parent)) as updates:
            async for update in updates:
                yield _message(WatchForUpdatesResponse, update)

    async def abort(self, caller: Caller, request: AbortRequest) -> AbortResponse:
        action = keys.parse_action(request.action_id)
        reason = parse_text(request.reason, "reason", most=MAX_REASON)
        await self._actions.abort(caller, action, reason)
        return AbortResponse()

    async def signal(self, caller: Caller, request: SignalRequest) -> SignalResponse:
        action = keys.parse_action(request.action_id)
        detail = await self._actions.detail(caller, action)
        await self._actions.signal(
            caller,
            action,
            keys.parse_parent(request.parent_action_name),
            parse_value(request.value, detail),
        )
        return SignalResponse()


class QueueService:
    def __init__(self, runs: Runs, actions: Actions, data: Data, maxima: RunMaxima) -> None:
        self._maxima = maxima
        self._runs = runs
        self._actions = actions
        self._data = data

    async def enqueue_action(
        self, caller: Caller, request: EnqueueActionRequest
    ) -> EnqueueActionResponse:
        new = await _parse(self._data, caller, request)
        await _require_within(self._maxima, caller, new, request)
        await self._actions.enqueue(caller, new)
        return EnqueueActionResponse()

    async def abort_queued_run(
        self, caller: Caller, request: AbortQueuedRunRequest
    ) -> AbortQueuedRunResponse:
        reason = parse_text(request.reason, "reason", most=MAX_REASON)
        await self._runs.abort(caller, keys.parse_run(request.run_id), reason)
        return AbortQueuedRunResponse()

    async def abort_queued_action(
        self, caller: Caller, request: AbortQueuedActionRequest
    ) -> AbortQueuedActionResponse:
        reason = parse_text(request.reason, "reason", most=MAX_REASON)
        await self._actions.abort(caller, keys.parse_action(request.action_id), reason)
        return AbortQueuedActionResponse()


class StateService:
    def __init__(self, actions: Actions) -> None:
        self._actions = actions

    async def watch(self, caller: Caller, request: WatchRequest) -> AsyncIterator[WatchResponse]:
        parent = keys.parse_action(request.parent_action_id)
        async with closing(_updates(self._actions, caller, parent)) as updates:
            async for update in updates:
                yield _message(WatchResponse, update)


async def _parse(
    data: Data, caller: Caller, message: ActionMessage | EnqueueActionRequest
) -> NewAction:
    """Read the action to be enqueued; InvalidError if it names data outside the caller's org."""
    new = parse_enqueue(message)
    if new.type is ActionType.TASK:  # the SDK sends a placeholder for the others
        data.access.require_readable(caller, new.input_uri, "input_uri")
    if new.trace is not None:
        data.access.require_readable(caller, new.trace.output_uri, "trace.outputs.output_uri")
    return await _with_its_error(data, caller, new, message.run_output_base)


async def _require_within(
    maxima: RunMaxima, caller: Caller, new: NewAction, message: ActionMessage | EnqueueActionRequest
) -> None:
    """Raise InvalidError for a task that asks for more than the settings of its run allow."""
    if new.type is ActionType.TASK:
        await maxima.require_within(caller, new.key.run, message.task.spec.task_template)


async def _with_its_error(data: Data, caller: Caller, new: NewAction, run_base: str) -> NewAction:
    """Read the error.pb of a failed trace: the enqueue says only that the trace failed."""
    trace = new.trace
    if trace is None or trace.phase is not Phase.FAILED:
        return new
    document = await data.find_error(caller, error_uri(action_base(run_base, new.key.name)))
    failure = parse_error_document(document) if document else None
    return replace(new, trace=replace(trace, failure=failure)) if failure else new


async def _updates(
    actions: Actions, caller: Caller, parent: ActionKey
) -> AsyncIterator[ActionUpdate | SnapshotEnd]:
    """Yield the existing children, the end of the snapshot, then each change."""
    async with closing(actions.watches.watch_children(caller, parent)) as changes:
        async for rows in changes:
            if rows is SnapshotEnd.TOKEN:
                yield rows
                continue
            for row in rows:
                yield render_update(row)


def _message(make: Callable[..., Update], update: ActionUpdate | SnapshotEnd) -> Update:
    if update is SnapshotEnd.TOKEN:
        return make(control_message=ControlMessage(sentinel=True))
    return make(action_update=update)
