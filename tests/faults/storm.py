"""Fault storm: injects faults under load, waits until all work has ended, checks the invariants."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sqlalchemy import Row, TextClause, text

from controlplane.core.errors import UnavailableError
from shared.model.ids import ActionId, AttemptId
from shared.model.phases import TERMINAL, Phase
from shared.model.reports import FailureKind
from tests.faults import ledger
from tests.faults.kinds import Harm, Kind
from tests.faults.load import Load, Pace
from tests.faults.world import ORG, World
from tests.running import until

_CALM_SECONDS = 90
"""By when everything has ended, once nothing breaks any more."""
_CLOCK_SECONDS = 10
_UNDER_WAY = 20  # actions

_TERMINAL = ", ".join(str(phase.value) for phase in sorted(TERMINAL))

_LIVE = text(f"""
SELECT r.run, a.name, a.phase FROM actions a JOIN runs r ON r.org = a.org AND r.run_id = a.run_id
WHERE a.org = :org AND a.name <> 'a0' AND a.phase NOT IN ({_TERMINAL})
""")  # noqa: S608 -- numbers of ours
_LEFT = text("""
SELECT (SELECT count(*) FROM dispatches WHERE org = :org) AS dispatches,
       (SELECT COALESCE(sum(held), 0) FROM clusters WHERE org = :org) AS held,
       (SELECT COALESCE(sum(running), 0) FROM clusters WHERE org = :org) AS running
""")
_ENDED = text("""
SELECT r.run, a.id, a.name, a.phase, a.attempts, a.error_code, a.error_kind, a.error_message,
       a.output_uri
FROM actions a JOIN runs r ON r.org = a.org AND r.run_id = a.run_id WHERE a.org = :org
""")
_CLOCK = text("""
SELECT extract(epoch FROM clock_timestamp() - ticked_at) AS behind FROM control_clock
""")
_ATTEMPTS = text("""
SELECT action_id, number, phase, error_code FROM attempts WHERE org = :org
""")
_ENDS = text(f"""
SELECT action_id, attempt, count(*) AS times FROM action_events
WHERE org = :org AND phase IN ({_TERMINAL}) GROUP BY action_id, attempt HAVING count(*) > 1
""")  # noqa: S608 -- numbers of ours


@dataclass(slots=True)
class Reckoning:
    """Result of a storm: counts of outcomes, and the invariants that were violated."""

    broken: list[str] = field(default_factory=list)
    asked: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    processes: int = 0


async def storm(
    world: World,
    chance: Random,
    kinds: Iterable[Kind],
    pace: Pace,
    tell: Callable[[str], None] = lambda _: None,
    *,
    at_once: int = 2,
) -> Reckoning:
    """Inject faults, ``at_once`` concurrently, under load; ``tell`` is called for each."""
    load, due = Load(world, chance, pace), iter(kinds)

    async def harm() -> None:
        for kind in due:
            tell(kind.__name__)
            await kind(Harm(world, chance))

    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(load.run(), name="load")
        await until(lambda: load.asked > _UNDER_WAY, "there is something to be harmed")
        async with asyncio.TaskGroup() as harms:
            for _ in range(at_once):
                harms.create_task(harm(), name="harm")
        working.cancel()
    tell("calm")
    return await _reckon(world, load, tell)


async def _reckon(world: World, load: Load, tell: Callable[[str], None]) -> Reckoning:
    """Wait until all work has ended, and compare the control plane's state with the ledger."""
    reckoning = Reckoning(asked=load.asked)

    async def children_have_ended() -> bool:
        return not await _rows(world, _LIVE)

    async def nothing_is_left() -> bool:
        [left] = await _rows(world, _LEFT)
        return not (left.dispatches or left.held or left.running)

    try:
        await until(children_have_ended, "every child has ended", at_most=_CALM_SECONDS)
        tell("every child has ended")
        await load.finish()
        await until(nothing_is_left, "nothing is leased, held or run", at_most=_CALM_SECONDS)
        tell("nothing is left")
    except AssertionError as error:
        reckoning.broken.append(str(error))
        reckoning.broken += [str(tuple(row)) for row in (await _rows(world, _LIVE))[:10]]
        reckoning.broken += [str(tuple(row)) for row in await _rows(world, _LEFT)]
    world.ledger.look()
    await _compare(world, load, reckoning)
    return reckoning


async def _compare(world: World, load: Load, reckoning: Reckoning) -> None:
    ran = world.ledger.ran
    attempts = {
        AttemptId(ActionId(row.action_id), row.number): row for row in await _rows(world, _ATTEMPTS)
    }
    lost = {key for key, row in attempts.items() if row.error_code == "LeaseLost"}
    reckoning.attempts, reckoning.processes = len(attempts), len(ran)
    broken = reckoning.broken
    broken += ledger.started_twice(ran)
    broken += ledger.still_running(ran)
    # Only an attempt whose lease was lost may overlap its successor.
    broken += [what for attempt, what in ledger.overlaps(ran) if attempt not in lost]
    [clock] = await _rows(world, _CLOCK)
    if abs(clock.behind) > _CLOCK_SECONDS:
        broken.append(f"the control clock is {clock.behind:.0f} s behind")
    ends = await _rows(world, _ENDS)
    broken += [f"{row.action_id}-{row.attempt} ended {row.times} times" for row in ends]
    started = {each.attempt: each for each in ran}
    for row in await _rows(world, _ENDED):
        phase, attempt = Phase(row.phase), AttemptId(ActionId(row.id), row.attempts)
        reckoning.ends[phase.name] += 1
        if row.run in load.aborted or row.name == "a0":
            continue
        if phase is not Phase.SUCCEEDED:
            reckoning.failures[row.error_code or phase.name] += 1
            if row.error_kind != FailureKind.SYSTEM:
                why = f"{row.error_code}: {row.error_message}"
                broken.append(f"{row.run}/{row.name} is {phase.name}: {why}")
            continue
        if not row.output_uri.endswith(f"/{row.name}/{row.attempts}"):
            broken.append(f"{row.run}/{row.name} has another attempt's outputs: {row.output_uri}")
        if row.name.startswith("c") and not (attempt in started and started[attempt].says_it_ended):
            broken.append(f"{row.run}/{row.name} succeeded, and attempt {attempt} did not run")


async def _rows(world: World, query: TextClause) -> Sequence[Row[tuple[Any, ...]]]:
    while True:
        try:
            async with world.store.for_org(ORG) as tx:
                return await tx.rows(query)
        except UnavailableError:
            pass  # its connection was killed with those of the replicas
