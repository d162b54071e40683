"""Runs a schedule: a seed gives a world, its work and its faults; then invariants are checked."""

import logging
import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from controlplane.core.actions import RetryPolicy
from controlplane.core.link_timings import LinkTimings
from shared.model.ids import ActionId
from shared.model.phases import TERMINAL
from tests.simulation.checks import violated_invariants
from tests.simulation.faults import Faults
from tests.simulation.loop import DeadlockError, SimLoop
from tests.simulation.postgres import CLUSTERS
from tests.simulation.world import SPEC, World

_LONGEST = 1_500.0
"""Virtual seconds by which everything has ended: retry budgets spent by successive expiries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AckStatus:
    """The result of a schedule; ``broken`` is empty if every invariant held."""

    seed: int
    broken: list[str]
    trace: list[str] = field(repr=False)
    seconds: float  # of virtual time
    steps: int


def run(seed: int) -> AckStatus:
    """Run the schedule of a seed."""
    return perform(seed, _make_world, _play)


def perform(
    seed: int,
    make: Callable[[Random, SimLoop], World],
    play: Callable[[World, Random], Coroutine[Any, Any, None]],
) -> AckStatus:
    """Create a world, run a script in it to the end, and check the invariants."""
    chance = Random(seed)
    loop = SimLoop()
    with _one_source_of_chance(seed), _errors() as errors:
        world = make(chance, loop)
        try:
            loop.run_until_complete(play(world, chance))
        except DeadlockError:
            errors.append("deadlock: nothing is ready and no timer is set")
        broken = [*errors, *violated_invariants(world)]
        seconds, steps = loop.time(), loop.steps
        loop.finish()
        for installation in world.installations:
            installation.disk.close()
    return AckStatus(seed=seed, broken=broken, trace=world.trace, seconds=seconds, steps=steps)


def _make_world(chance: Random, loop: SimLoop) -> World:
    second = timedelta(seconds=1)
    timings = LinkTimings(
        heartbeat=second,
        silent_after=4 * second,
        acceptance=3 * second,
        self_fence=chance.choice([8, 19]) * second,
        reassign_after=20 * second,
    )
    world = World(loop, chance, timings=timings, delay=chance.choice([0.002, 0.02, 0.2]))
    world.slots = chance.choice([2, 1000])
    for _ in range(chance.choice([1, 2, 3])):
        world.add_replica()
    for cluster in CLUSTERS[: chance.choice([1, 2])]:
        world.add_installation(cluster)
    return world


async def _play(world: World, chance: Random) -> None:
    faults = Faults(world, chance)
    clock = world.replicas[0].clock
    work = _Work(world, chance)
    is_long = chance.random() < 0.4  # an agent is away for long, from long-running work
    if is_long:
        for installation in world.installations:
            installation.machine.lasts = (60.0, 120.0)
    for _ in range(chance.randint(1, 12)):
        await clock.sleep(timedelta(seconds=chance.choice([0.01, 0.3, 3.0]) * chance.random()))
        for _ in range(chance.choice([0, 1, 1, 3])):
            world.note(work.ask())
        if chance.random() < 0.7:
            world.note(faults.strike())
    if is_long:
        kind, lasts = faults.absence()
        world.note(kind)
        await clock.sleep(timedelta(seconds=lasts + faults.moment()))
    await clock.sleep(timedelta(seconds=faults.moment()))
    faults.heal()
    world.note("all is well again")
    while not work.is_done() and world.loop.time() < _LONGEST:
        await clock.sleep(timedelta(seconds=1))
    await clock.sleep(timedelta(seconds=5))
    if world.witness.running():  # an agent at its longest backoff dials twice a minute
        await clock.sleep(timedelta(seconds=40))
        world.note_strays()
    if world.witness.running():  # started as an agent died: the sweep stops it
        await clock.sleep(timedelta(seconds=75))


class _Work:
    """Random requests of clients."""

    def __init__(self, world: World, chance: Random) -> None:
        self._world = world
        self._chance = chance
        self._names = iter(range(10_000))

    def is_done(self) -> bool:
        store = self._world.store
        ended = all(action.phase in TERMINAL for action in store.actions.values())
        return ended and not store.dispatches

    def ask(self) -> str:
        """Create a run, enqueue an action, or abort one."""
        store, chance, now = self._world.store, self._chance, self._world.now()
        live = [each.id for each in store.actions.values() if each.phase not in TERMINAL]
        policy = RetryPolicy(
            retries=chance.choice([0, 2]),
            backoff_base=timedelta(seconds=chance.choice([0, 0, 1])),
            replaceable=chance.random() < 0.5,
        )
        name = f"a{next(self._names)}"
        if not live or chance.random() < 0.4:
            made = store.create_run(name, policy, SPEC, now)
            return f"run {name} is made: {made}{' (replaceable)' if policy.replaceable else ''}"
        at: ActionId = chance.choice(live)
        if chance.random() < 0.6:
            return f"below {at} is enqueued: {store.enqueue(at, name, policy, SPEC, now)}"
        return f"{at} is aborted, {store.abort(at, 'enough')} in all"


@contextmanager
def _one_source_of_chance(seed: int) -> Iterator[None]:
    """Make the product draw its jitter from the seed as well."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


class _Collect(logging.Handler):
    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self._into.append(f"logged: {record.getMessage()}: {record.exc_info[1]!r}")


@contextmanager
def _errors() -> Iterator[list[str]]:
    """Collect the product's error logs; lower levels are disabled."""
    found: list[str] = []
    handler = _Collect(found)
    root = logging.getLogger()
    root.addHandler(handler)
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield found
    finally:
        logging.disable(before)
        root.removeHandler(handler)
