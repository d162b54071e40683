"""We test that it is nobody's business which replica the agent or a client is connected to."""

import asyncio
from pathlib import Path

from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.dataproxy.dataproxy_service_pb2 import TailLogsRequest

from tests.integration.agent.world import Wish
from tests.integration.replicas.world import World, nap


async def test_what_is_enqueued_at_one_replica_runs_at_once_on_the_agent_of_another(
    world: World,
) -> None:
    _, second, third = world.replicas
    root = await world.start(second, nap())
    details = await third.door.phase(root, ActionPhase.ACTION_PHASE_SUCCEEDED, within_ms=4_000)
    assert details.id == root


async def test_a_log_is_followed_live_through_a_replica_without_the_agent(
    world: World, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    _, second, third = world.replicas
    root = await world.start(
        second, Wish(task="talk_slowly", inputs={"go": str(gate)}, outputs=["o0"])
    )
    await third.door.phase(root, ActionPhase.ACTION_PHASE_RUNNING)

    seen = ""
    async with asyncio.timeout(20):
        async for answer in third.door.data.tail_logs(TailLogsRequest(action_id=root, attempt=1)):
            seen += "".join(line.message for logs in answer.logs for line in logs.lines)
            if "before\n" in seen:
                gate.touch()
    assert "after\n" in seen
