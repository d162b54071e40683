"""
The drill: a database that is lost and restored from an older copy, while agents go on.

After the backup an attempt begins, one ends, and a new action begins; another attempt ends while
there is no control plane. Nothing of it may run twice, and no result that exists may be lost.
"""

import signal
from collections.abc import Mapping
from pathlib import Path
from random import Random

import asyncpg
import pytest

from controlplane.core.errors import NotReadyError
from controlplane.core.restores import FindingKind
from controlplane.embedded import databases
from controlplane.embedded.postgres import program
from controlplane.store.database import open_database
from controlplane.usecases import backups
from controlplane.usecases.restores import Restores
from shared.blobs.options import S3Options
from shared.blobs.store import open_store
from shared.kit.clock import SystemClock
from shared.model.ids import ClusterName
from shared.model.phases import Phase
from tests.faults.ledger import overlaps, started_twice
from tests.faults.load import Load, Pace
from tests.faults.world import ORG, Shape, World, running
from tests.running import until
from tests.servers.postgres import DatabaseForTest, PostgresForTests

_LONG = 600_000  # milliseconds: longer than the test
_OPTIONS = S3Options()


class _Drill:
    """Reads the database as its owner, and names the processes of actions."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.actions: dict[str, str] = {}  # by name: ids, which a restored database may not have

    async def fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.world.database.owner_url)
        try:
            found: list[asyncpg.Record] = await connection.fetch(query, *values)
            return found
        finally:
            await connection.close()

    async def phases(self) -> Mapping[str, Phase]:
        rows = await self.fetch("SELECT id, name, phase FROM actions")
        self.actions |= {row["name"]: str(row["id"]) for row in rows}
        return {row["name"]: Phase(row["phase"]) for row in rows}

    async def until_phase(self, phase: Phase, *names: str) -> None:
        async def are_there() -> bool:
            phases = await self.phases()
            return all(phases.get(name) is phase for name in names)

        await until(are_there, f"{names} are {phase.name}", at_most=60, output=self.world.output)

    async def cordon(self, *, cordoned: bool) -> None:
        await self.fetch(
            "UPDATE clusters SET cordoned = $1, wanted_version = wanted_version + 1", cordoned
        )

    def starts(self, name: str) -> int:
        return sum(str(each.attempt.action) == self.actions[name] for each in self.world.ledger.ran)

    def runs(self, name: str) -> bool:
        return any(
            str(each.attempt.action) == self.actions[name] and each.died_at is None
            for each in self.world.ledger.ran
        )

    async def until_runs(self, name: str, *, expected: bool = True) -> None:
        async def is_so() -> bool:
            return self.runs(name) is expected

        await until(is_so, f"{name} runs: {expected}", at_most=60, output=self.world.output)


async def _lose(superuser_url: str, database: DatabaseForTest) -> None:
    """Destroy the database, and make an empty one in its place."""
    connection = await asyncpg.connect(superuser_url)
    try:
        await connection.execute(f'DROP DATABASE "{database.name}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{database.name}" OWNER {databases.OWNER}')
        await connection.execute(
            f'GRANT CONNECT ON DATABASE "{database.name}" TO {databases.LOGIN}'
        )
    finally:
        await connection.close()


@pytest.mark.timeout(400)
async def test_restored_database_runs_nothing_twice_and_takes_results_that_exist(
    postgres_server: PostgresForTests, test_database: DatabaseForTest, tmp_path: Path
) -> None:
    superuser = postgres_server.superuser_url
    shape = Shape(replicas=(ORG,))
    async with running(tmp_path / "world", test_database, superuser, shape) as world:
        drill, load = _Drill(world), Load(world, Random(1), Pace())
        root = await load.begin()
        await load.chore(root, "before", 10)
        await load.chore(root, "leased", _LONG)
        await drill.until_phase(Phase.SUCCEEDED, "before")
        await drill.until_phase(Phase.RUNNING, "leased")
        await drill.cordon(cordoned=True)
        for name, lasts in (("finished", 10), ("offline", 6_000), ("begun", _LONG)):
            await load.chore(root, name, lasts)
        await drill.until_phase(Phase.QUEUED, "finished", "offline", "begun")

        copy = str(tmp_path / "copy")
        url = test_database.owner_url
        await backups.take_backup(url, copy, options=_OPTIONS, bundled=program)

        await drill.cordon(cordoned=False)
        await drill.until_phase(Phase.SUCCEEDED, "finished")
        await load.chore(root, "new", _LONG)
        await drill.until_phase(Phase.RUNNING, "offline", "begun", "new")
        [replica] = world.replicas
        await replica.program.end(signal.SIGKILL)
        await _lose(superuser, test_database)
        await drill.until_runs("offline", expected=False)  # nobody takes its report yet

        await backups.restore_backup(url, copy, options=_OPTIONS, bundled=program)
        await drill.cordon(cordoned=False)  # the copy is from before that; it alone holds nothing
        database = open_database(test_database.url, pool_size=2)
        world.stack.push_async_callback(database.close)
        restores = Restores(database, SystemClock(), open_store(world.blobs.as_uri()))
        with pytest.raises(NotReadyError, match="the agents of local, other have not reported"):
            await restores.release(ORG)
        await replica.program.start()
        await world.until_ready(replica)

        async def have_reported() -> bool:
            report = await restores.report(ORG)
            return all(each.reconciled_at is not None for each in report.clusters)

        await until(have_reported, "agents report", at_most=60, output=world.output)
        await drill.until_phase(Phase.SUCCEEDED, "offline")  # its agent had the report still
        await drill.until_runs("new", expected=False)  # stopped: the copy does not have it
        report = await restores.report(ORG)
        assert {each.name for each in report.clusters} == {"local", "other"}
        found = {(each.kind, str(each.attempt.action)) for each in report.findings}
        of = drill.actions
        assert (FindingKind.ADOPTED, of["begun"]) in found
        assert (FindingKind.ADOPTED, of["offline"]) in found
        assert (FindingKind.STOPPED, of["new"]) in found
        assert drill.runs("begun")
        assert drill.runs("leased")
        assert (await drill.phases())["finished"] is Phase.QUEUED  # it waits for the release

        finished, released = await restores.release(ORG)
        assert (finished, set(released)) == (1, {ClusterName("local"), ClusterName("other")})
        await drill.until_phase(Phase.SUCCEEDED, "finished")
        await load.chore(root, "after", 10)
        await drill.until_phase(Phase.SUCCEEDED, "after")  # work goes on
        assert await restores.release(ORG) == (0, [])

        ran = world.ledger.ran
        assert [*started_twice(ran), *overlaps(ran)] == []
        names = ("before", "leased", "finished", "offline", "begun", "new", "after")
        assert {name: drill.starts(name) for name in names} == dict.fromkeys(names, 1)
        await load.finish()
