"""
Measures fairness: queue wait of single actions while another tenant has a large backlog.

Measured for two orgs with a cluster each, which share the control plane, and for two runs
of one org, which share the cluster as well.
"""

import asyncio
import signal

from benchmarks.dispatch import Bench
from benchmarks.faults.readings import Ground, rows
from benchmarks.stack import percentile, table
from shared.model.ids import OrgName
from tests.faults.world import ORG, Shape, World
from tests.running import until

_OTHER = OrgName("other")
APART = Shape(replicas=(ORG, _OTHER), agents=((ORG, "flooded"), (_OTHER, "quiet")), timings={})
TOGETHER = Shape(replicas=(ORG, ORG), agents=((ORG, "flooded"),), timings={})
_WAITED = """
SELECT extract(epoch FROM t.leased_at - a.created_at) AS waited
FROM actions a
JOIN runs r ON r.org = a.org AND r.run_id = a.run_id
JOIN attempts t ON t.org = a.org AND t.action_id = a.id AND t.number = 1
WHERE a.org = :org AND r.run = :run AND a.name <> 'a0'
"""
_QUEUED = """
SELECT count(*) AS n FROM dispatches WHERE org = :org AND lease_id IS NULL
"""
_AT_ONCE = 64


async def measure(ground: Ground, shape: Shape, count: int, seconds: float) -> None:
    """Queue ``count`` actions, then enqueue four actions a second for the other run or org."""
    async with ground.world(shape) as world:
        waited, before, after = await _measure(world, count, seconds, rate=4)
    shared = "one cluster" if shape is TOGETHER else "the control plane"
    with table(f"Fairness between two runs that share {shared}", "measure", "value") as it:
        it.add_row("backlog of the flooding run: before, after", f"{before}, {after}")
        it.add_row("actions of the quiet run", f"{len(waited)}")
        shown = " / ".join(f"{1000 * percentile(waited, share):.0f}" for share in (0.5, 0.99, 1))
        it.add_row("  from enqueue to lease, p50/p99/max ms", shown)


async def _measure(
    world: World, count: int, seconds: float, rate: float
) -> "tuple[list[float], int, int]":
    flooded = world.agents[0].program
    await flooded.end(signal.SIGKILL)
    flood, quiet = (Bench(each.api.url.removeprefix("http://")) for each in world.replicas)
    await flood.begin()
    await quiet.begin()
    await _fill(flood, count)
    before = await _queued(world)
    await flooded.start()

    async def is_drained_a_little() -> bool:
        return await _queued(world) < before

    await until(is_drained_a_little, "the flooded agent works", at_most=120)
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(seconds * rate)):
            tasks.create_task(quiet.enqueue(f"q{number}"))
            await asyncio.sleep(1 / rate)
    after = await _queued(world)

    async def all_were_leased() -> bool:
        return len(await _waits(world, quiet)) >= int(seconds * rate)

    await until(all_were_leased, "all were leased", at_most=120)
    return await _waits(world, quiet), before, after


async def _fill(bench: Bench, count: int) -> None:
    names = iter([f"f{number}" for number in range(count)])

    async def client() -> None:
        for name in names:
            await bench.enqueue(name)

    async with asyncio.TaskGroup() as clients:
        for _ in range(_AT_ONCE):
            clients.create_task(client())


async def _queued(world: World) -> int:
    [row] = await rows(world, ORG, _QUEUED)
    return int(row.n)


async def _waits(world: World, bench: Bench) -> "list[float]":
    org = world.shape.replicas[1]
    return [float(row.waited) for row in await rows(world, org, _WAITED, run=bench.run.name)]
