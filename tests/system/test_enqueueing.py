"""Enqueueing is idempotent, whichever of the two services is asked."""

from pathlib import Path

import pytest
from connectrpc.code import Code
from flyteidl2.actions.actions_service_pb2 import EnqueueRequest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.queue_service_pb2 import (
    AbortQueuedActionRequest,
    AbortQueuedRunRequest,
    EnqueueActionRequest,
)
from flyteidl2.workflow.state_service_pb2 import WatchRequest

from tests.running import until
from tests.system.api_client import ApiClient, refusal
from tests.system.enqueues import enqueue, make_action, running_parent, sleep_spec


async def test_enqueue_is_idempotent(api: ApiClient, tmp_path: Path) -> None:
    spec = await api.spec("crashing.child")
    journal = tmp_path / "journal"
    async with running_parent(api) as parent:
        action = await make_action(api, parent, "once", spec, journal=str(journal), number=1)
        for _ in range(3):
            await enqueue(api, action)
        assert await api.result(action.action_id) == [1]
        await enqueue(api, action)

        assert (await api.details(action.action_id)).status.attempts == 1
        assert journal.read_text().splitlines() == ["child 1"]
        assert len(await api.children(parent)) == 1


async def test_enqueue_of_conflicting_action_is_rejected(
    api: ApiClient,
) -> None:
    async with running_parent(api) as parent:
        action = await make_action(api, parent, "taken", sleep_spec("first"))
        await enqueue(api, action)
        other = await make_action(api, parent, "taken", sleep_spec("second"))

        code, message = await refusal(api.actions.enqueue(EnqueueRequest(action=other)))

        assert code is Code.ALREADY_EXISTS
        assert "taken" in message
        details = await api.ended(action.action_id)
        assert details.metadata.task.short_name == "first"


async def test_enqueue_requires_an_existing_parent(api: ApiClient) -> None:
    async with running_parent(api) as parent:
        action = await make_action(api, parent, "orphan", sleep_spec())
        action.parent_action_name = "nobody"

        code, message = await refusal(api.actions.enqueue(EnqueueRequest(action=action)))

        assert code is Code.NOT_FOUND
        assert "nobody" in message


async def test_enqueue_in_finished_run_is_rejected(api: ApiClient) -> None:
    async with running_parent(api) as parent:
        late = await make_action(api, parent, "late", sleep_spec())
    await api.ended(parent)

    code, message = await refusal(api.actions.enqueue(EnqueueRequest(action=late)))

    assert code is Code.ABORTED
    assert message


async def test_enqueue_in_unknown_run_names_it(api: ApiClient) -> None:
    async with running_parent(api) as parent:
        action = await make_action(api, parent, "lost", sleep_spec())
    action.action_id.run.name = "nobody"

    code, message = await refusal(api.actions.enqueue(EnqueueRequest(action=action)))

    assert code is Code.NOT_FOUND
    assert "nobody" in message


async def test_queue_and_state_services_enqueue_and_watch(api: ApiClient) -> None:
    spec = await api.spec("hello.main")
    async with running_parent(api) as parent:
        action = await make_action(api, parent, "older", spec, name="you")
        await api.queue.enqueue_action(
            EnqueueActionRequest(
                action_id=action.action_id,
                parent_action_name=action.parent_action_name,
                input_uri=action.input_uri,
                run_output_base=action.run_output_base,
                task=action.task,
            )
        )

        sentinels = 0
        async for answer in api.state.watch(
            WatchRequest(parent_action_id=parent), timeout_ms=30_000
        ):
            sentinels += answer.control_message.sentinel
            if answer.action_update.phase == ActionPhase.ACTION_PHASE_SUCCEEDED:
                assert answer.action_update.action_id == (await api.details(action.action_id)).id
                break
        assert sentinels <= 1
        assert await api.outputs(action.action_id) == ["Hello, you!"]


@pytest.mark.parametrize("what", ["action", "run"])
async def test_queue_service_aborts(api: ApiClient, tmp_path: Path, what: str) -> None:
    spec = await api.spec("endless.worker")
    async with running_parent(api) as parent:
        action = await make_action(api, parent, "older", spec, pids=str(tmp_path), name="one")
        await enqueue(api, action)
        await until((tmp_path / "one").exists)
        if what == "action":
            await api.queue.abort_queued_action(
                AbortQueuedActionRequest(action_id=action.action_id, reason="older")
            )
        else:
            await api.queue.abort_queued_run(
                AbortQueuedRunRequest(run_id=parent.run, reason="older")
            )

        details = await api.ended(action.action_id)
        assert details.status.phase == ActionPhase.ACTION_PHASE_ABORTED
        assert details.abort_info.reason == "older"
