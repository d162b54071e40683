"""
Calls of running tasks over ActionsService and the two older services: enqueue, watch, abort, signal.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from connectrpc.code import Code
from flyteidl2.actions.actions_service_pb2 import (
    AbortRequest,
    SignalRequest,
    WatchForUpdatesRequest,
)
from flyteidl2.common.list_pb2 import Filter, ListRequest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.core.execution_pb2 import ContainerError, ExecutionError
from flyteidl2.core.types_pb2 import SimpleType
from flyteidl2.workflow.queue_service_pb2 import AbortQueuedActionRequest, EnqueueActionRequest
from flyteidl2.workflow.run_definition_pb2 import EnrichedAction
from flyteidl2.workflow.run_service_pb2 import (
    EventPayload,
    GetActionDetailsRequest,
    ListActionsRequest,
    SignalEventRequest,
    WatchActionsRequest,
)
from flyteidl2.workflow.state_service_pb2 import WatchRequest

from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind
from tests.integration.api.client import ORG, ApiUnderTest
from tests.integration.api.requests import (
    action_id,
    create_run,
    enqueue,
    enqueue_condition,
    enqueue_trace,
    refusal,
    run_id,
    task_spec,
)


@pytest.fixture
async def running(api: ApiUnderTest) -> ApiUnderTest:
    """A served API with a run whose root is running."""
    await api.runs.create_run(create_run())
    (root,) = await api.claim()
    await api.report(root, Phase.RUNNING)
    return api


async def until_sentinel(updates: AsyncIterator[Any]) -> list[Any]:
    seen: list[Any] = []
    async with asyncio.timeout(60):
        async for message in updates:
            if message.control_message.sentinel:
                return seen
            seen.append(message.action_update)
    raise AssertionError("the stream ended before its sentinel")


async def next_update(updates: AsyncIterator[Any]) -> Any:
    async with asyncio.timeout(60):
        return (await anext(updates)).action_update


def watch(api: ApiUnderTest) -> Any:
    return api.actions.watch_for_updates(WatchForUpdatesRequest(parent_action_id=action_id()))


async def test_watch_shows_a_child_from_enqueue_to_its_outputs(
    running: ApiUnderTest,
) -> None:
    updates = watch(running)
    assert await until_sentinel(updates) == []

    await running.actions.enqueue(enqueue(running, "c1"))
    queued = await next_update(updates)
    await running.finish()
    ended = await next_update(updates)
    while ended.phase != ActionPhase.ACTION_PHASE_SUCCEEDED:
        ended = await next_update(updates)
    await updates.aclose()

    assert queued.action_id.name == "c1"
    assert queued.phase == ActionPhase.ACTION_PHASE_QUEUED
    assert ended.output_uri.endswith("/r1/c1/1")  # a prefix: the SDK adds the file's name
    assert not ended.HasField("error")


async def test_watch_of_a_restarted_parent_lists_its_children_before_the_sentinel(
    running: ApiUnderTest,
) -> None:
    await running.actions.enqueue(enqueue(running, "done"))
    await running.finish()
    await running.actions.enqueue(enqueue(running, "waiting"))

    there = {update.action_id.name: update.phase for update in await until_sentinel(watch(running))}

    assert there == {
        "done": ActionPhase.ACTION_PHASE_SUCCEEDED,
        "waiting": ActionPhase.ACTION_PHASE_QUEUED,
    }


async def test_failed_child_has_code_kind_and_recoverability(
    running: ApiUnderTest,
) -> None:
    await running.actions.enqueue(enqueue(running, "c1"))
    await running.finish(
        Phase.FAILED,
        Failure(code="OOMKilled", kind=FailureKind.USER, message="too big", recoverable=False),
    )

    (update,) = await until_sentinel(watch(running))

    assert update.phase == ActionPhase.ACTION_PHASE_FAILED
    assert update.error.code == "OOMKilled"
    assert update.error.kind == ExecutionError.USER
    assert update.error.recoverability == ContainerError.NON_RECOVERABLE
    assert update.output_uri.endswith("/r1/c1/1")  # where its error lies, too


async def test_enqueue_is_idempotent_and_other_content_is_refused(
    running: ApiUnderTest,
) -> None:
    await running.actions.enqueue(enqueue(running, "c1"))
    await running.actions.enqueue(enqueue(running, "c1"))

    code, message = await refusal(
        running.actions.enqueue(enqueue(running, "c1", spec=task_spec("env.another")))
    )

    assert code is Code.ALREADY_EXISTS
    assert "c1" in message
    assert len(await running.claim()) == 1


async def test_enqueue_below_an_unknown_parent_is_refused(running: ApiUnderTest) -> None:
    for request in (enqueue(running, "c1", run="r2"), enqueue(running, "c1", parent="nobody")):
        code, _ = await refusal(running.actions.enqueue(request))
        assert code is Code.NOT_FOUND


async def test_trace_is_terminal_when_enqueued_and_names_its_file(
    running: ApiUnderTest,
) -> None:
    file = f"{running.blobs.base}/{ORG}/p/d/r1/t1/outputs.pb"
    await running.actions.enqueue(
        enqueue_trace("t1", phase=ActionPhase.ACTION_PHASE_SUCCEEDED, output_uri=file)
    )

    (update,) = await until_sentinel(watch(running))
    details = await running.runs.get_action_details(
        GetActionDetailsRequest(action_id=action_id("t1"))
    )

    assert update.phase == ActionPhase.ACTION_PHASE_SUCCEEDED
    assert update.output_uri == file
    assert details.details.metadata.trace.name == "add"
    assert details.details.HasField("trace")
    assert details.details.status.attempts == 1
    assert details.details.status.duration_ms == 2000


async def test_condition_waits_for_a_signal_of_its_type(running: ApiUnderTest) -> None:
    await running.actions.enqueue(enqueue_condition("ask"))
    signal = SignalEventRequest(action_id=action_id("ask"), parent_action_name="a0")

    signal.payload.CopyFrom(EventPayload(string_value="yes"))
    code, message = await refusal(running.runs.signal_event(signal))
    assert code is Code.INVALID_ARGUMENT
    assert message == "the condition waits for a boolean, not a string"

    signal.payload.CopyFrom(EventPayload(bool_value=True))
    await running.runs.signal_event(signal)
    (update,) = await until_sentinel(watch(running))
    found = await running.runs.get_action_details(
        GetActionDetailsRequest(action_id=action_id("ask"))
    )

    assert update.phase == ActionPhase.ACTION_PHASE_SUCCEEDED
    assert update.value.scalar.primitive.boolean is True
    assert found.details.metadata.condition.type.simple == SimpleType.BOOLEAN
    assert found.details.condition.prompt == "ok?"
    assert found.details.signal_info.signalled_by.user.id.subject == "anonymous"
    code, _ = await refusal(running.runs.signal_event(signal))
    assert code is Code.FAILED_PRECONDITION


async def test_signal_to_another_action_than_a_condition_is_refused(running: ApiUnderTest) -> None:
    request = SignalRequest(action_id=action_id("a0"), parent_action_name="a0")
    request.value.scalar.primitive.boolean = True

    code, message = await refusal(running.actions.signal(request))

    assert code is Code.FAILED_PRECONDITION
    assert "not a condition" in message


async def test_abort_of_a_child_is_sent_to_its_parents_watch(running: ApiUnderTest) -> None:
    await running.actions.enqueue(enqueue(running, "c1"))
    await running.actions.abort(AbortRequest(action_id=action_id("c1"), reason="enough"))

    (update,) = await until_sentinel(watch(running))

    assert update.phase == ActionPhase.ACTION_PHASE_ABORTED


async def test_older_services_enqueue_watch_and_abort_as_actions_service_does(
    running: ApiUnderTest,
) -> None:
    action = enqueue(running, "c1").action
    updates = running.state.watch(WatchRequest(parent_action_id=action_id()))
    assert await until_sentinel(updates) == []

    await running.queue.enqueue_action(
        EnqueueActionRequest(
            action_id=action.action_id,
            parent_action_name="a0",
            input_uri=action.input_uri,
            run_output_base=action.run_output_base,
            task=action.task,
        )
    )
    assert (await next_update(updates)).phase == ActionPhase.ACTION_PHASE_QUEUED
    await running.queue.abort_queued_action(AbortQueuedActionRequest(action_id=action_id("c1")))
    assert (await next_update(updates)).phase == ActionPhase.ACTION_PHASE_ABORTED
    await updates.aclose()


async def test_actions_are_listed_by_parent_type_and_phase(running: ApiUnderTest) -> None:
    await running.actions.enqueue(enqueue(running, "c1", group="fan"))
    await running.actions.enqueue(enqueue(running, "c2"))
    await running.actions.enqueue(enqueue(running, "grandchild", parent="c1"))
    await running.actions.enqueue(enqueue_condition("ask"))

    async def names(**request: Any) -> list[str]:
        listed = await running.runs.list_actions(
            ListActionsRequest(run_id=run_id(), request=ListRequest(filters=[Filter(**request)]))
        )
        return [action.id.name for action in listed.actions]

    assert await names(field="parent_name", values=["c1"]) == ["grandchild"]
    assert await names(field="action_type", values=["3"]) == ["ask"]
    (ask,) = (
        await running.runs.list_actions(
            ListActionsRequest(
                run_id=run_id(),
                request=ListRequest(filters=[Filter(field="action_type", values=["3"])]),
            )
        )
    ).actions
    assert ask.metadata.condition.type.simple == SimpleType.BOOLEAN
    assert await names(field="phase", values=["9"]) == ["ask"]
    assert await names(field="group", values=["fan"]) == ["c1"]


@pytest.mark.parametrize(
    ("group", "shown"), [("g" * 300, "g" * 255 + "…"), ("a\0b", "a\N{REPLACEMENT CHARACTER}b")]
)
async def test_group_name_that_is_too_long_is_shortened(
    running: ApiUnderTest, group: str, shown: str
) -> None:
    await running.actions.enqueue(enqueue(running, "c1", group=group))
    await running.actions.enqueue(enqueue(running, "c1", group=group))  # again: the same

    listed = await running.runs.list_actions(ListActionsRequest(run_id=run_id()))
    assert [each.metadata.group for each in listed.actions if each.id.name == "c1"] == [shown]


async def test_enqueue_into_an_unknown_queue_names_the_command_that_makes_it(
    running: ApiUnderTest,
) -> None:
    request = enqueue(running, "c1")
    request.action.task.queue = "gpu"

    code, message = await refusal(running.actions.enqueue(request))

    assert code is Code.NOT_FOUND
    assert "volary queue set gpu" in message


class Watched:
    """A watch of a run's actions: what it shows so far."""

    def __init__(self, api: ApiUnderTest, *filters: Filter) -> None:
        self._pages = api.runs.watch_actions(WatchActionsRequest(run_id=run_id(), filter=filters))
        self.shown: dict[str, EnrichedAction] = {}

    async def until(self, name: str, **counts: int) -> None:
        """Read until ``name`` has these phases below it."""
        wanted = {Phase[phase].value: count for phase, count in counts.items()}
        async with asyncio.timeout(60):
            while name not in self.shown or self._counts(name) != wanted:
                for action in (await anext(self._pages)).enriched_actions:
                    self.shown[action.action.id.name] = action

    def _counts(self, name: str) -> dict[int, int]:
        return dict(self.shown[name].children_phase_counts)

    async def close(self) -> None:
        await self._pages.aclose()


async def test_watch_actions_counts_all_descendants_by_phase(running: ApiUnderTest) -> None:
    await running.actions.enqueue(enqueue(running, "c1"))
    watched = Watched(running)
    await watched.until("a0", QUEUED=1)

    await running.actions.enqueue(enqueue(running, "grandchild", parent="c1"))
    await watched.until("a0", QUEUED=2)
    child, grandchild = await running.claim()
    await running.report(grandchild, Phase.RUNNING, Phase.SUCCEEDED)
    await watched.until("c1", SUCCEEDED=1)
    await running.report(child, Phase.RUNNING, Phase.SUCCEEDED)
    await watched.until("a0", SUCCEEDED=2)
    await watched.close()


async def test_watch_actions_removes_an_action_that_no_longer_matches_the_filter(
    running: ApiUnderTest,
) -> None:
    await running.actions.enqueue(enqueue(running, "c1"))
    queued = Filter(function=Filter.VALUE_IN, field="PHASE", values=["1"])
    watched = Watched(running, queued)
    await watched.until("a0", QUEUED=1)
    assert watched.shown["c1"].meets_filter
    assert not watched.shown["a0"].meets_filter  # shown, because something below it does

    await running.finish()
    await watched.until("a0", SUCCEEDED=1)
    await watched.close()

    assert not watched.shown["c1"].meets_filter
