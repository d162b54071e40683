"""What is read off a world: rows of its database, counters of its replicas, its processes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Row, text

from shared.model.ids import OrgName
from tests.faults.world import Program, Shape, World, running
from tests.servers.postgres import DatabaseForTest

_REPORTS = 'volary_link_reports_total{{verdict="{verdict}"}}'
_STATUSES = ("applied", "repeated", "stale")


async def rows(
    world: World, org: OrgName, query: str, **values: object
) -> "Sequence[Row[tuple[Any, ...]]]":
    async with world.store.for_org(org) as tx:
        return await tx.rows(text(query), values)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a world can be put."""

    home: Path
    database: DatabaseForTest
    superuser_url: str = field(repr=False)

    @asynccontextmanager
    async def world(self, shape: Shape) -> AsyncIterator[World]:
        async with running(self.home, self.database, self.superuser_url, shape) as world:
            yield world


@dataclass(slots=True)
class Reports:
    """How many reports were heard, by verdict, over all lives of all replicas."""

    heard: "dict[tuple[str, int, str], float]" = field(default_factory=dict)

    async def watch(self, world: World) -> None:
        """Look twice a second: what a replica counted since is lost when it is killed."""
        while True:
            await self.look(world)
            await asyncio.sleep(0.5)

    async def look(self, world: World) -> None:
        for replica in world.replicas:
            life = replica.program.lives
            for status in _STATUSES:
                count = await replica.counted(_REPORTS.format(status=status))
                if replica.program.lives == life:
                    key = replica.program.name, life, status
                    self.heard[key] = max(count, self.heard.get(key, 0.0))

    def total(self, status: str) -> float:
        return sum(count for key, count in self.heard.items() if key[2] == status)

    @property
    def ratio(self) -> float:
        """Reports heard for each that was news."""
        return sum(self.heard.values()) / max(1.0, self.total("applied"))


def process_of(program: Program) -> psutil.Process:
    if program.process is None:
        raise RuntimeError(f"{program.name} was never started")
    return psutil.Process(program.process.pid)


def cpu_seconds(program: Program) -> float:
    times = process_of(program).cpu_times()
    return float(times.user + times.system)


def memory_bytes(program: Program) -> int:
    return int(process_of(program).memory_info().rss)
