"""
Measures dispatch at a constant rate while a random process is killed every ten seconds.

Two replicas and one agent without a standby: it is back when it has restarted. Lost and
duplicated work is found by the final check of the fault tests, from the ledger that the
tasks' processes write; most actions are sleeps, which have no process.
"""

import asyncio
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from benchmarks.faults.readings import Ground, Reports, rows
from benchmarks.stack import percentile, table
from tests.faults.kinds import Harm, Kind
from tests.faults.load import Pace
from tests.faults.storm import Reckoning, storm
from tests.faults.world import ORG, Shape

_EVERY_SECONDS = 10.0
_SLOTS = 96  # the agent's default on a machine of 24 GiB; few slots limit the throughput
_SHAPE = Shape(agents=((ORG, "local"),), slots=_SLOTS, timings={})
_TIMES = """
SELECT extract(epoch FROM t.started_at) AS started, t.number,
       extract(epoch FROM t.started_at - a.created_at) AS took
FROM attempts t JOIN actions a ON a.org = t.org AND a.id = t.action_id
WHERE t.org = :org AND t.started_at IS NOT NULL ORDER BY t.started_at
"""


@dataclass(slots=True)
class Killer:
    """Kills one random process every ten seconds and records the time and its kind."""

    minutes: float
    rate: float
    began_at: float = field(default_factory=time.time)
    kills: "list[tuple[float, str]]" = field(default_factory=list)

    def kinds(self) -> Iterator[Kind]:
        while len(self.kills) < self.minutes * 60 / _EVERY_SECONDS:
            yield self._kill

    async def _kill(self, harm: Harm) -> None:
        world = harm.world
        program = harm.chance.choice([each for each in world.programs if each.is_running])
        self.kills.append((time.time(), program.name.split("-", maxsplit=1)[0]))
        program.send(signal.SIGKILL)
        await asyncio.sleep(self.began_at + len(self.kills) * _EVERY_SECONDS - time.time())

    def gaps(self, whom: str, starts: Sequence[float]) -> Sequence[float]:
        """Return, for each kill of that kind, the longest time without a start, in seconds."""
        found = []
        for at, killed in self.kills:
            if killed == whom:
                end = at + _EVERY_SECONDS
                inside = [at, *(start for start in starts if at < start < end), end]
                found.append(max(b - a for a, b in pairwise(inside)))
        return found


async def measure(ground: Ground, minutes: float, rate: float, chance: Random) -> None:
    async with ground.world(_SHAPE) as world:
        killer, reports = Killer(minutes, rate), Reports()
        pace = Pace(sleeps=rate, chores=0.5, victims=0.05, calls=4_000)
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(reports.watch(world))
            reckoning = await storm(world, chance, killer.kinds(), pace, at_once=1)
            await reports.look(world)
            watching.cancel()
        found = await rows(world, ORG, _TIMES)
    _tell(killer, reckoning, reports, [(float(r.started), float(r.took), r.number) for r in found])


def _tell(
    killer: Killer,
    reckoning: Reckoning,
    reports: Reports,
    started: "Sequence[tuple[float, float, int]]",
) -> None:
    starts = [at for at, _, _ in started]
    first = [took for _, took, number in started if number == 1]
    lost = reckoning.asked - reckoning.ends.total()
    title = f"Kills: {killer.rate:.0f} actions/s for {killer.minutes:g} min, a kill every 10 s"
    with table(title, "measure", "value") as it:
        it.add_row("actions enqueued and acknowledged", f"{reckoning.asked}")
        it.add_row("  ended", ", ".join(f"{n} {name}" for name, n in reckoning.ends.items()))
        it.add_row("  failed, by reason", f"{dict(reckoning.failures) or 0}")
        it.add_row("  lost", f"{max(0, lost)}")
        it.add_row("attempts; processes", f"{reckoning.attempts}; {reckoning.processes}")
        it.add_row("invariants violated", f"{len(reckoning.broken)}")
        for what in reckoning.broken[:10]:
            it.add_row(f"  {what[:80]}", "")
        for whom in ("replica", "agent"):
            gaps = killer.gaps(whom, starts)
            if gaps:
                shown = " / ".join(f"{percentile(gaps, share):.2f}" for share in (0.5, 0.99, 1))
                it.add_row(
                    f"no start after a kill of one {whom} ({len(gaps)}), p50/p99/max s", shown
                )
        shown = " / ".join(f"{percentile(first, share):.3f}" for share in (0.5, 0.99, 1))
        it.add_row("enqueue to first start, p50/p99/max s", shown)
        it.add_row("reports received per report applied", f"{reports.ratio:.4f}")


async def measure_delay(ground: Ground, seconds: float, rate: float, chance: Random) -> None:
    """Measure dispatch with 100 ms latency each way on the link, and no faults."""

    def rest() -> Iterator[Kind]:
        yield lambda _: asyncio.sleep(seconds)

    async with ground.world(_SHAPE) as world:
        for link in world.agents[0].links:
            link.delay = 0.1
        pace, reports = Pace(sleeps=rate, chores=0.5, victims=0.05, calls=4_000), Reports()
        reckoning = await storm(world, chance, rest(), pace, at_once=1)
        await reports.look(world)
    title = f"Acknowledgements 200 ms late: {rate:.0f} actions/s for {seconds:.0f} s"
    with table(title, "measure", "value") as it:
        it.add_row("actions; invariants violated", f"{reckoning.asked}; {len(reckoning.broken)}")
        it.add_row("reports applied", f"{reports.total('applied'):.0f}")
        it.add_row("reports received per report applied", f"{reports.ratio:.4f}")
