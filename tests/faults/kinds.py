"""The kinds of faults. Each injects a fault, waits for its duration, and repairs it."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from random import Random

import asyncpg

from tests.faults.proxy import Proxy
from tests.faults.world import REASSIGN_SECONDS, Agent, Program, Replica, World


@dataclass(frozen=True, slots=True)
class Harm:
    """Chooses the targets of a fault at random."""

    world: World
    chance: Random

    def agent(self) -> Agent:
        return self.chance.choice(self.world.agents[:2])

    def replica(self) -> Replica:
        return self.chance.choice(self.world.replicas)

    async def last(self, least: float, most: float) -> None:
        await asyncio.sleep(self.chance.uniform(least, most))


Kind = Callable[[Harm], Awaitable[None]]


async def replica_is_killed(harm: Harm) -> None:
    harm.replica().program.send(signal.SIGKILL)
    await harm.last(1, 3)


async def replica_is_stopped(harm: Harm) -> None:
    harm.replica().program.send(signal.SIGTERM)
    await harm.last(1, 3)


async def agent_is_killed(harm: Harm) -> None:
    harm.agent().program.send(signal.SIGKILL)
    await harm.last(1, 3)


async def replica_is_paused(harm: Harm) -> None:
    await _pause(harm, harm.replica().program.send)


async def agent_is_paused(harm: Harm) -> None:
    await _pause(harm, harm.agent().program.send)


async def _pause(harm: Harm, send: Callable[[signal.Signals], None]) -> None:
    send(signal.SIGSTOP)
    try:
        await harm.last(0.5, 3)
    finally:
        send(signal.SIGCONT)


async def database_connections_are_killed(harm: Harm) -> None:
    connection = await asyncpg.connect(harm.world.superuser_url)
    try:
        for _ in range(3):
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'volary%' AND datname = $1",
                harm.world.database.name,
            )
            await harm.last(0.1, 0.5)
    finally:
        await connection.close()


async def database_is_out_of_reach(harm: Harm) -> None:
    """Make the database unreachable for one replica: connections refused, or black-holed."""
    proxy = harm.replica().database
    proxy.refuses = True
    if harm.chance.random() < 0.5:
        proxy.cut()
    else:
        proxy.swallows_up = proxy.swallows_down = True
    await harm.last(1, 3)
    proxy.heal()


async def streams_are_cut(harm: Harm) -> None:
    links = harm.agent().links
    for _ in range(4):
        for link in links:
            link.cut()
        await harm.last(0.1, 0.5)


async def streams_are_cut_between_frames(harm: Harm) -> None:
    links = harm.agent().links
    for frames in harm.chance.sample(range(1, 25), 4):
        for link in links:
            link.cut_after_frames = frames
            link.cut()
        await harm.last(0.3, 0.6)
    _heal(links)


async def streams_are_cut_within_frames(harm: Harm) -> None:
    links = harm.agent().links
    for _ in range(4):
        for link in links:
            link.cut_after_bytes = harm.chance.randint(1, 1_500)
            link.cut()
        await harm.last(0.3, 0.6)
    _heal(links)


async def messages_come_twice(harm: Harm) -> None:
    await _disorder(harm, repeats=0.3)


async def messages_change_places(harm: Harm) -> None:
    await _disorder(harm, swaps=0.3)


async def _disorder(harm: Harm, *, repeats: float = 0.0, swaps: float = 0.0) -> None:
    links = harm.agent().links
    for link in links:
        link.repeats, link.swaps = repeats, swaps
        link.cut()
    await harm.last(2, 4)
    _heal(links)


async def one_direction_is_swallowed(harm: Harm) -> None:
    links, up = harm.agent().links, harm.chance.random() < 0.5
    for link in links:
        link.swallows_up, link.swallows_down = up, not up
    await harm.last(2, 4)
    _heal(links)


async def both_directions_are_swallowed(harm: Harm) -> None:
    links = harm.agent().links
    for link in links:
        link.swallows_up = link.swallows_down = True
    await harm.last(1, 3)
    _heal(links)


async def everything_is_late(harm: Harm) -> None:
    links = [link for agent in harm.world.agents for link in agent.links]
    for link in links:
        link.delay = 0.1
    await harm.last(2, 3)
    _heal(links)


async def agents_disk_is_full(harm: Harm) -> None:
    agent = harm.agent()
    agent.fill_disk()
    await harm.last(1, 2)
    agent.make_room()


async def clock_of_a_replica_jumps(harm: Harm) -> None:
    await _jump(harm, harm.replica().program)


async def clock_of_an_agent_jumps(harm: Harm) -> None:
    await _jump(harm, harm.agent().program)


async def _jump(harm: Harm, program: Program) -> None:
    program.set_clock(harm.chance.choice([-3600, -5, 5, 3600]))
    await harm.last(1, 3)
    program.set_clock(0)


async def another_agent_comes(harm: Harm) -> None:
    """Run a second agent with the same identity for a while."""
    world = harm.world
    if len(world.agents) < 3:
        await world.make_agent("local", "agent-imposter", "--stop-attempts")
    imposter = world.agents[2].program
    await imposter.start()
    await harm.last(3, 5)
    await imposter.end(signal.SIGTERM)


async def cluster_is_given_up(harm: Harm) -> None:
    """Disconnect a cluster until its leases are reassigned; its agent may be killed as well."""
    agent = harm.agent()
    for link in agent.links:
        link.refuses = True
        link.cut()
    dies = harm.chance.random() < 0.5
    if dies:
        await agent.program.end(signal.SIGKILL)
    await harm.last(REASSIGN_SECONDS + 1, REASSIGN_SECONDS + 4)
    _heal(agent.links)
    if dies:
        await agent.program.start()


def _heal(links: Iterable[Proxy]) -> None:
    for link in links:
        link.heal()


KINDS: tuple[Kind, ...] = (
    replica_is_killed,
    replica_is_stopped,
    agent_is_killed,
    replica_is_paused,
    agent_is_paused,
    database_connections_are_killed,
    database_is_out_of_reach,
    streams_are_cut,
    streams_are_cut_between_frames,
    streams_are_cut_within_frames,
    messages_come_twice,
    messages_change_places,
    one_direction_is_swallowed,
    both_directions_are_swallowed,
    everything_is_late,
    agents_disk_is_full,
    clock_of_a_replica_jumps,
    clock_of_an_agent_jumps,
    another_agent_comes,
    cluster_is_given_up,
)
