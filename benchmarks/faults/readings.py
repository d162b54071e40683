"""Reads measurements of a world: database rows, replicas' metrics, CPU and memory of processes."""

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

_REPORTS = 'volary_link_reports_total{{status="{status}"}}'
_STATUSES = ("applied", "repeated", "stale")


async def rows(
    world: World, org: OrgName, query: str, **values: object
) -> "Sequence[Row[tuple[Any, ...]]]":
    async with world.store.for_org(org) as tx:
        return await tx.rows(text(query), values)


@dataclass(frozen=True, slots=True)
class Ground:
    """The directory and database server for a world."""

    home: Path
    database: DatabaseForTest
    superuser_url: str = field(repr=False)

    @asynccontextmanager
    async def world(self, shape: Shape) -> AsyncIterator[World]:
        async with running(self.home, self.database, self.superuser_url, shape) as world:
            yield world


@dataclass(slots=True)
class Reports:
    """Counts reports received, by ack status, over all restarts of all replicas."""

    counts: "dict[tuple[str, int, str], float]" = field(default_factory=dict)

    async def watch(self, world: World) -> None:
        """Poll twice a second: counts since the last poll are lost when a replica is killed."""
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
                    self.counts[key] = max(count, self.counts.get(key, 0.0))

    def total(self, status: str) -> float:
        return sum(count for key, count in self.counts.items() if key[2] == status)

    @property
    def ratio(self) -> float:
        """Reports received per report applied."""
        return sum(self.counts.values()) / max(1.0, self.total("applied"))


def process_of(program: Program) -> psutil.Process:
    if program.process is None:
        raise RuntimeError(f"{program.name} has not been started")
    return psutil.Process(program.process.pid)


def cpu_seconds(program: Program) -> float:
    times = process_of(program).cpu_times()
    return float(times.user + times.system)


def memory_bytes(program: Program) -> int:
    return int(process_of(program).memory_info().rss)
