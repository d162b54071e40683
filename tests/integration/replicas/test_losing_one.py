"""We test that a replica that is killed or stopped takes nothing with it."""

import asyncio
import itertools
import signal
from collections.abc import Mapping
from pathlib import Path

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.common.identifier_pb2 import ActionIdentifier
from flyteidl2.common.phase_pb2 import ActionPhase

from tests.integration.agent.world import ActionRequest, until_file
from tests.integration.replicas.clients import (
    SUCCEEDED,
    Client,
    log,
    running_parent,
    watch,
    whole_log,
)
from tests.integration.replicas.world import Replica, World, nap
from tests.running import until

_MOST_SECONDS = 60
"""An action that waited until leases of a silent cluster expire has waited for 300."""


async def all_succeed(
    client: Client, root: ActionIdentifier, names: set[str], *, within: float = 60
) -> None:
    """Watch until every one of these has succeeded; fail if one ends otherwise."""
    left = set(names)
    async with asyncio.timeout(within):
        async for name, phase in client.watch(root):
            assert name not in names or phase not in FAILURES, (name, phase)
            if phase == SUCCEEDED:
                left.discard(name)
            if not left:
                return


FAILURES = {
    ActionPhase.ACTION_PHASE_FAILED,
    ActionPhase.ACTION_PHASE_TIMED_OUT,
    ActionPhase.ACTION_PHASE_ABORTED,
}


def marks_of(directory: Path) -> Mapping[str, int]:
    """Return how often each task was started, by what the tasks themselves wrote."""
    return {path.name: len(path.read_text().splitlines()) for path in directory.iterdir()}


async def test_work_goes_on_when_the_replica_with_the_agent_is_killed(
    own_world: World, tmp_path: Path
) -> None:
    own_world.start_agent(*own_world.replicas)
    [with_agent] = [each for each in own_world.replicas if each.has_agent()]
    others = [each for each in own_world.replicas if each is not with_agent]
    marks = tmp_path / "marks"
    marks.mkdir()
    client = Client(others)
    async with running_parent(own_world, others[0]) as root, asyncio.TaskGroup() as tasks:
        names = {f"n{number}" for number in range(150)} | {f"p{number}" for number in range(4)}
        done = tasks.create_task(all_succeed(client, root, names))
        for number in range(4):
            request = ActionRequest(
                task="append",
                inputs={"ledger": str(marks / f"p{number}"), "seconds": 2},
                outputs=["o0"],
            )
            await client.enqueue(own_world.child(root, f"p{number}", request))
        await until_file(marks / "p0")
        for number in range(150):
            await client.enqueue(own_world.child(root, f"n{number}", nap(0.1)))
            if number == 50:
                with_agent.program.kill()
        await done
    assert client.refused == 0
    assert marks_of(marks) == {f"p{number}": 1 for number in range(4)}
    assert await own_world.retries() == 0
    assert await own_world.longest_wait() < _MOST_SECONDS
    assert any(each.has_agent() for each in others)


async def test_a_log_goes_on_when_the_replica_with_the_agent_is_killed(
    own_world: World, tmp_path: Path
) -> None:
    own_world.start_agent(*own_world.replicas)
    [with_agent] = [each for each in own_world.replicas if each.has_agent()]
    reader, other = (each for each in own_world.replicas if each is not with_agent)
    gate = tmp_path / "gate"
    request = ActionRequest(task="talk_slowly", inputs={"go": str(gate)}, outputs=["o0"])
    root = await own_world.start(other, request)
    seen = ""
    async for part in log(reader, root):
        if "before\n" not in seen and "before\n" in seen + part:
            with_agent.program.kill()
            await until(
                lambda: reader.has_agent() or other.has_agent(), "the agent is connected again"
            )
            gate.touch()
        seen += part
    assert seen.count("before\n") == seen.count("after\n") == 1
    assert await whole_log(other, root) == seen


async def test_stopped_replica_hands_over_agents_and_watches(own_world: World) -> None:
    own_world.start_agent(*own_world.replicas)
    [leaving] = [each for each in own_world.replicas if each.has_agent()]
    staying = [each for each in own_world.replicas if each is not leaving]
    client = Client(staying)
    async with running_parent(own_world, staying[0]) as root, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(_end_of_watch(leaving, root))
        names = {f"n{number}" for number in range(100)}
        done = tasks.create_task(all_succeed(client, root, names))
        stopped: asyncio.Task[int] | None = None
        for number in range(100):
            await client.enqueue(own_world.child(root, f"n{number}", nap(0.05)))
            if number == 30:
                stopped = tasks.create_task(asyncio.to_thread(leaving.program.end, signal.SIGTERM))
        await done
        assert stopped is not None
        assert await stopped == 0
        assert await watching is Code.UNAVAILABLE
    assert await own_world.retries() == 0
    assert await own_world.longest_wait() < _MOST_SECONDS
    assert "stopping" in own_world.agent.output()
    assert "Traceback" not in leaving.program.output()


async def test_three_replicas_are_restarted_one_after_the_other_under_load(
    own_world: World,
) -> None:
    own_world.start_agent(*own_world.replicas)
    client, watcher = Client(own_world.replicas), Client(own_world.replicas)
    names: set[str] = set()
    async with running_parent(own_world, own_world.replicas[0]) as root:
        restarted = asyncio.Event()

        async def load(number: int) -> None:
            for count in itertools.count():
                name = f"n{number}-{count}"
                await client.enqueue(own_world.child(root, name, nap()))
                names.add(name)
                if restarted.is_set():
                    return

        async with asyncio.TaskGroup() as tasks:
            for number in range(4):
                tasks.create_task(load(number))
            for replica in own_world.replicas:
                assert await asyncio.to_thread(replica.program.end) == 0
                replica.start()
                await until(replica.is_ready, "it is ready again")
            restarted.set()
        await all_succeed(watcher, root, names)
    assert len(names) > 50
    assert await own_world.retries() == 0
    assert await own_world.longest_wait() < _MOST_SECONDS
    assert all("Traceback" not in each.program.output() for each in own_world.replicas)


async def test_replica_is_not_ready_before_it_stops(own_world: World) -> None:
    replica, other, _ = own_world.replicas
    replica.program.end()
    replica.program.environment["VOLARY_STOP_DELAY_SECONDS"] = "2"
    replica.start()
    await until(replica.is_ready, "it is ready again")
    root = await own_world.start(other, nap())  # it waits: there is no agent
    async with asyncio.TaskGroup() as tasks:
        stopped = tasks.create_task(asyncio.to_thread(replica.program.end))
        await until(lambda: replica.readiness() == 503, "it says that it is not ready")
        await replica.api.actions.enqueue(own_world.child(root, "late", nap()))
        assert replica.program.is_running
    assert stopped.result() == 0
    [late] = await other.api.children(root)
    assert late.id.name == "late"


async def _end_of_watch(replica: Replica, root: ActionIdentifier) -> Code:
    """Watch until the replica ends it; return how it did."""
    try:
        async for _ in watch(replica, root):
            pass
    except ConnectError as error:
        return error.code
    raise AssertionError("the watch ended without a word")
