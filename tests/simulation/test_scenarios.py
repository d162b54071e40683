"""Tests of single faults in virtual time, exact to the second."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from random import Random
from typing import Any

from controlplane.core.actions import RetryPolicy
from controlplane.core.link_timings import LinkTimings
from shared.model.ids import ActionId
from shared.model.phases import TERMINAL, Phase
from shared.model.reports import AckStatus
from tests.simulation.loop import SimLoop
from tests.simulation.postgres import CLUSTERS
from tests.simulation.schedule import perform
from tests.simulation.world import SPEC, World

SECOND = timedelta(seconds=1)
TIMINGS = LinkTimings(
    heartbeat=SECOND,
    silent_after=4 * SECOND,
    acceptance=3 * SECOND,
    self_fence=8 * SECOND,
    reassign_after=20 * SECOND,
)
Script = Callable[[World], Coroutine[Any, Any, None]]


def act(script: Script, *, delay: float = 0.002, clusters: int = 1, lasts: float = 60.0) -> World:
    """Run a script with two replicas and an agent per cluster; every invariant must hold."""
    worlds = []

    def make(chance: Random, loop: SimLoop) -> World:
        world = World(loop, chance, timings=TIMINGS, delay=delay)
        world.add_replica()
        world.add_replica()
        for cluster in CLUSTERS[:clusters]:
            world.add_installation(cluster).machine.lasts = (lasts,)
        worlds.append(world)
        return world

    async def play(world: World, _: Random) -> None:
        await wait(2)
        await script(world)

    status = perform(1, make, play)
    assert not status.broken, status.trace
    return worlds[0]


async def wait(seconds: float) -> None:
    await asyncio.sleep(seconds)


def ask(world: World, count: int, *, replaceable: bool = False) -> list[ActionId]:
    policy = RetryPolicy(replaceable=replaceable)
    return [
        world.store.create_run(f"r{number}-{replaceable}", policy, SPEC, world.now())
        for number in range(count)
    ]


async def all_ended(world: World) -> None:
    while any(action.phase not in TERMINAL for action in world.store.actions.values()):
        await wait(1)
    await wait(5)


def test_lease_survives_an_outage_of_the_control_plane() -> None:
    kept: list[ActionId] = []

    async def script(world: World) -> None:
        ask(world, 3, replaceable=True)
        kept.extend(ask(world, 3))
        await wait(3)
        agent = world.installations[0]
        for replica in world.replicas:
            replica.kill()
        agent.kill()
        await wait(10 * TIMINGS.reassign_after.total_seconds())
        for replica in world.replicas:
            replica.start()
        await wait(2)
        agent.start()  # an agent at its longest backoff would dial twice a minute
        await all_ended(world)

    world = act(script, lasts=300)
    assert world.store.lapses == []
    assert {world.store.actions[action].attempts for action in kept} == {1}


def test_disconnected_cluster_keeps_attempts_unless_they_are_replaceable() -> None:
    moved: list[ActionId] = []
    kept: list[ActionId] = []
    cut_at = 0.0

    async def script(world: World) -> None:
        nonlocal cut_at
        first, other = world.installations
        other.kill()
        await wait(6)  # until every party considers it disconnected
        moved.extend(ask(world, 3, replaceable=True))
        kept.extend(ask(world, 3))
        await wait(3)
        other.start()
        cut_at = world.loop.time()
        first.is_cut_off = True
        if first.wire is not None:
            first.wire.cut()
        await wait(40)
        first.is_cut_off = False
        await all_ended(world)

    world = act(script, clusters=2, lasts=90)
    began = {process.attempt: process for process in world.witness.processes}
    assert {world.store.actions[action].attempts for action in moved} == {2}
    assert {world.store.actions[action].attempts for action in kept} == {1}
    for attempt, process in began.items():
        if attempt.number == 2:
            assert process.machine == world.installations[1].name
    fenced = [
        began[attempt] for attempt in began if attempt.action in moved and attempt.number == 1
    ]
    # Stopped after the fence and the grace period, long before the reassignment.
    assert all(
        process.ended_at is not None and process.ended_at < cut_at + 14 for process in fenced
    )


def test_slow_acknowledgement_is_waited_for_without_repeats() -> None:
    """A late acknowledgement causes no repeated report."""

    async def script(world: World) -> None:
        world.postgres.slow = 0.1
        ask(world, 50)
        await all_ended(world)

    world = act(script, delay=0.1, lasts=0.5)
    assert world.store.decisions[AckStatus.REPEATED] == 0
    assert world.store.decisions[AckStatus.APPLIED] >= 150


def test_newer_agent_of_a_cluster_supersedes_the_older() -> None:
    async def script(world: World) -> None:
        await wait(1)
        older = world.installations[0]
        newer = world.add_installation(CLUSTERS[0])
        while not world.ends:
            await wait(0.1)
        assert world.ends[0].code == "superseded"
        older.is_cut_off = True  # or it would reconnect and supersede the newer one
        ask(world, 5)
        await wait(3)
        assert {process.machine for process in world.witness.processes} == {newer.name}
        await all_ended(world)

    act(script, lasts=5)


def test_attempt_unknown_to_its_agent_is_requeued_after_its_lease_expires() -> None:
    async def script(world: World) -> None:
        ask(world, 3)
        await wait(3)
        lost = world.installations[0]
        lost.kill()
        lost.machine.reboot()
        await wait(1)
        world.add_installation(CLUSTERS[0]).machine.lasts = (5.0,)
        while len(world.store.lapses) < 3:
            await wait(0.1)
        assert world.loop.time() > 20
        await all_ended(world)

    world = act(script)
    assert {action.phase for action in world.store.actions.values()} <= {
        Phase.SUCCEEDED,
        Phase.FAILED,
    }
