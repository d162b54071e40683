"""Agents and clients work the same whichever replica they are connected to."""

import asyncio
from pathlib import Path

from flyteidl2.common.identifier_pb2 import ActionIdentifier
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_service_pb2 import AbortRunRequest, EventPayload, SignalEventRequest

from tests.integration.agent.world import ActionRequest, is_running, until_file
from tests.integration.replicas.clients import SUCCEEDED, log, running_parent, watch, whole_log
from tests.integration.replicas.world import Replica, World, condition, nap
from tests.running import until

PAUSED = ActionPhase.ACTION_PHASE_PAUSED


async def test_what_is_enqueued_at_one_replica_runs_at_once_at_the_agent_of_another(
    world: World,
) -> None:
    _, second, third = world.replicas
    # By polling alone, every 15 s, each child would wait for the next poll: 60 s at least.
    async with running_parent(world, second) as root, asyncio.timeout(50):
        for number in range(5):
            request = world.child(root, f"c{number}", nap())
            await second.api.actions.enqueue(request)
            child = request.action.action_id
            await third.api.phase(child, SUCCEEDED)


async def test_an_abort_at_one_replica_stops_the_process_of_the_agent_of_another(
    world: World, tmp_path: Path
) -> None:
    _, second, third = world.replicas
    marks = tmp_path / "marks"
    request = ActionRequest(
        task="append", inputs={"ledger": str(marks), "seconds": 600}, outputs=["o0"]
    )
    root = await world.start(second, request)
    pid = int(await until_file(marks))

    await third.api.runs.abort_run(AbortRunRequest(run_id=root.run, reason="enough"))

    await until(lambda: not is_running(pid), "the end of the process")
    details = await second.api.ended(root)
    assert details.status.phase == ActionPhase.ACTION_PHASE_ABORTED


async def test_signal_at_one_replica_is_watched_at_all(world: World) -> None:
    first, second, third = world.replicas

    async def see_it_answered(replica: Replica, root: ActionIdentifier) -> None:
        async for name, phase in watch(replica, root):
            if (name, phase) == ("ask", SUCCEEDED):
                return

    async with (
        running_parent(world, first) as root,
        asyncio.timeout(60),
        asyncio.TaskGroup() as watchers,
    ):
        for replica in world.replicas:
            watchers.create_task(see_it_answered(replica, root))
        await second.api.actions.enqueue(condition(root, "ask"))
        asked = ActionIdentifier(run=root.run, name="ask")
        await first.api.phase(asked, PAUSED)
        await third.api.runs.signal_event(
            SignalEventRequest(
                action_id=asked,
                parent_action_name=root.name,
                payload=EventPayload(bool_value=True),
            )
        )


async def test_a_log_is_followed_live_at_every_replica_and_read_there_afterwards(
    world: World, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    request = ActionRequest(task="talk_slowly", inputs={"go": str(gate)}, outputs=["o0"])
    root = await world.start(world.replicas[1], request)
    waiting = set(range(3))

    async def follow(number: int) -> str:
        seen = ""
        async for part in log(world.replicas[number], root):
            seen += part
            if "before\n" in seen:
                waiting.discard(number)
                if not waiting:
                    gate.touch()
        return seen

    async with asyncio.TaskGroup() as tasks:
        followed = [tasks.create_task(follow(number)) for number in range(3)]
    [output] = {each.result() for each in followed}
    assert output.index("before\n") < output.index("after\n")
    assert {await whole_log(replica, root) for replica in world.replicas} == {output}


async def test_a_long_log_comes_whole_and_in_order_through_another_replica(world: World) -> None:
    _, second, third = world.replicas
    lines = 30_000
    root = await world.start(
        second, ActionRequest(task="talk", inputs={"lines": lines}, outputs=["o0"])
    )
    live = (await whole_log(third, root)).splitlines()
    assert [line for line in live if line.startswith("line ")] == [
        f"line {number}" for number in range(lines)
    ]
    assert (await whole_log(second, root)).splitlines() == live


async def test_log_reader_that_disconnects_leaves_no_forwarded_call(
    world: World, tmp_path: Path
) -> None:
    _, second, _ = world.replicas
    request = ActionRequest(
        task="talk_slowly", inputs={"go": str(tmp_path / "never")}, outputs=["o0"]
    )
    root = await world.start(second, request)
    for _ in range(3):
        async for part in log(second, root):
            if "before\n" in part:
                break
    async with asyncio.timeout(60):
        while await world.relays():  # noqa: ASYNC110 - no event crosses processes
            await asyncio.sleep(0.05)
    await second.api.runs.abort_run(AbortRunRequest(run_id=root.run))
